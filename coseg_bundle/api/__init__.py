"""The front door in Python: `coseg_bundle.load()` and what it gives."""

"""The MONAI Label application: what it asks for, answered by `coseg_bundle.service`."""

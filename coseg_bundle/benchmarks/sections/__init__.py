"""A module for each section of `scripts/bench.py`; its `lines` measures and says what it found."""

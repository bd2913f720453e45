"""Whole slides, in the order of the work: read, segment, run, results; `pipeline` walks through them."""

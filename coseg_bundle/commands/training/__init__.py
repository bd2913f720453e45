"""Commands for data and training."""

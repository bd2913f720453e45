"""Commands that score predictions."""

"""Commands that segment."""

"""Whole slides: reading, tiles, and every nucleus once."""

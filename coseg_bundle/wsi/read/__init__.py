"""A slide or a large image, read at any resolution."""

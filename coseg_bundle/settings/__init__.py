"""Settings by name: which there are, and what makes sense for them."""

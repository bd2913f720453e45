"""Commands about results that are there."""

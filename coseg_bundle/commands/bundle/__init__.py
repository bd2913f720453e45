"""Commands about the bundle itself."""

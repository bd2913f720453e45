"""What is measured of each nucleus."""

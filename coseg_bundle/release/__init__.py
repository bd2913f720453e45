"""The bundle as it is released: the archive, and the checks that it must pass."""

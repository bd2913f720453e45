"""What every server of ours has in common."""

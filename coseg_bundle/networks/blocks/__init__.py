"""What the network's parts are built of: SAM 2's blocks under SAM 2's names, and layers that several parts share."""

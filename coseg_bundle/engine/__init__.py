"""What computes a network, with how many threads, and what it computes on."""

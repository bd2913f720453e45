"""What a person draws, what the network answers, and what becomes of both."""

"""What other programs say of an image: objects that were drawn, label maps, and which of them are nuclei."""

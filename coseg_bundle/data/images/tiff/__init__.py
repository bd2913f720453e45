"""TIFF: which of its pages are the image, which its smaller copies, and what of their tiles is missing."""

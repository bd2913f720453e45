"""Answers about regions of images and slides, corrections that go in, and training on what was drawn.

MONAI Label's application is one face of it; nothing here knows MONAI Label.
"""

"""Not scanned: the constant areas that scanners and viewers fill an image with, which are no tissue.

Fill is what varies by almost nothing over a square of some microns, which no tissue does, in a colour that is neither
glass nor one that a stain gives: black and grey, or any other whose darkest channel is not green, which eosin and
haematoxylin both absorb most. Whether a pixel is fill depends on nothing but its surroundings, at most `REACH_PX` away,
so that pieces of a slide agree.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SQUARE_PX = 25
"""Side of the square, px of the network: 6 um at 0.25 mpp. No pigment or nucleus is flat over as much."""

_GROWTH_PX = 12
"""How far beyond the squares fill is followed: JPEG and resampling soften its edges, and corners hold no square."""

REACH_PX = SQUARE_PX + 2 * _GROWTH_PX + 4
"""How far around a pixel its answer depends on the image."""

_VARIATION = 6
"""Largest difference inside of a square, of 255: JPEG's noise on a constant. Black pigment varies by 8 and more."""

_GLASS = 120, 200
"""From here on, in the darkest and in the brightest channel, a constant area is glass, clear or tinted."""

_GREY = 12
"""Largest difference between the channels of a grey."""

_BLACK = 40
"""Up to here, in the brightest channel, a constant area is black, whatever its hue."""

_LIKE = 20
"""Largest difference from the fill beside it, of 255, with which a pixel at its edge belongs to it."""

_MARGIN_PX = 1
"""Width of the edge that counts as fill too: half fill and half tissue, it looks like neither."""


def find_fill(rgb: NDArray[np.uint8], square_px: int = SQUARE_PX) -> NDArray[np.bool_]:
    """Finds the pixels that were filled in.

    Args:
        rgb: `(H, W, 3)` uint8, at the network's resolution.
        square_px: Side of the smallest fill, odd.

    Returns:
        `(H, W)` bool.

    Example:
        >>> image = np.random.default_rng(0).integers(90, 250, (64, 64, 3)).astype(np.uint8)
        >>> image[:, 32:] = 0
        >>> fill = find_fill(image)
        >>> bool(fill[:, 32:].all()), bool(fill[:, :28].any())
        (True, False)
    """
    nothing = np.zeros(rgb.shape[:2], bool)
    if min(rgb.shape[:2]) < square_px or not may_hold_fill(rgb):
        return nothing
    calm = cv2.medianBlur(rgb, 3)  # single pixels do not count
    squares = _flat(calm, square_px) & _filler_colour(calm)
    if not squares.any():
        return nothing
    inside = cv2.dilate(squares.astype(np.uint8), np.ones((square_px, square_px), np.uint8))
    return _followed(calm, inside) > 0


def whitened(rgb: NDArray[np.uint8], fill: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with white in place of the fill: what the network sees."""
    return np.where(fill[..., None], np.uint8(255), rgb) if fill.any() else rgb


def may_hold_fill(rgb: NDArray[np.uint8]) -> bool:
    """Whether there is anything in a part of an image that `find_fill` would have to look at."""
    return bool((_flat(rgb, 5) & _filler_colour(rgb)).any())


def _flat(rgb: NDArray[np.uint8], side: int) -> NDArray[np.bool_]:
    """Centres of squares inside the image that vary by almost nothing."""
    square = np.ones((side, side), np.uint8)
    spread = cv2.dilate(rgb, square).astype(np.int16) - cv2.erode(rgb, square)
    flat: NDArray[np.bool_] = spread.max(-1) <= _VARIATION
    half = side // 2
    border = np.zeros_like(flat)
    border[half : flat.shape[0] - half, half : flat.shape[1] - half] = True
    return flat & border


def _filler_colour(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = (rgb[..., i].astype(np.int16) for i in range(3))
    low, high = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    grey, stain = high - low <= _GREY, green - low <= _GREY
    glass = (low >= _GLASS[0]) & (high >= _GLASS[1])
    return ~glass & (grey | ~stain | (high <= _BLACK))


def _followed(rgb: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill and the pixels like it that hang together with it, a little way around."""
    window = (2 * _GROWTH_PX + 1,) * 2
    weight = cv2.boxFilter(inside.astype(np.float32), -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    colour = cv2.boxFilter(
        rgb.astype(np.float32) * inside[..., None], -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    colour /= np.maximum(weight, 1)[..., None]
    like = (np.abs(rgb - colour).max(-1) <= _LIKE) & (weight > 0.5)
    grown = inside
    for _ in range(_GROWTH_PX):
        grown = cv2.dilate(grown, np.ones((3, 3), np.uint8)) & (like | (inside > 0)).astype(np.uint8)
    closed = cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return cv2.dilate(closed, np.ones((2 * _MARGIN_PX + 1,) * 2, np.uint8))

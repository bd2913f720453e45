"""Not scanned: the constant areas that scanners and viewers fill an image with, which are no tissue.

Fill is what varies by almost nothing over a square of some microns, which no tissue does, in a colour that is neither
glass nor one that a stain gives: black and grey, or any other whose darkest channel is not green, which eosin and
haematoxylin both absorb most. Whether a pixel is fill depends on nothing but its surroundings, at most `REACH_PX` away,
so that pieces of a slide agree.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SQUARE_PX = 25
"""Side of the square, px of the network: 6 um at 0.25 mpp. No pigment or nucleus is flat over as much."""

_GROWTH_PX = 12
"""How far beyond the squares fill is followed: JPEG and resampling soften its edges, and corners hold no square."""

_SOFT_PX = 3
"""How far beyond that the fill shines into the tissue at most, where the edge is soft."""

REACH_PX = SQUARE_PX + 4 * _GROWTH_PX + 12
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

_SAME = 2
"""Largest difference of a pixel that is fill whatever lies around it."""

_NOISY = 0.5
"""An edge is noisy, as JPEG leaves it, where more than this share of the pixels beside the fill is like it. At a sharp
edge those that are like it are dark tissue."""

_MIXED = 0.8
"""A pixel at the edge is mixed of fill and tissue where it differs from the fill by less than this share of what the
pixels behind it do. At a sharp edge they differ alike, and all of the tissue is kept, as beside white."""


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
    return _softened(rgb, _followed(rgb, inside)) > 0


def whitened(rgb: NDArray[np.uint8], fill: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with white in place of the fill: what the network sees."""
    return np.where(fill[..., None], np.uint8(255), rgb) if fill.any() else rgb


def may_hold_fill(rgb: NDArray[np.uint8]) -> bool:
    """Whether there is anything in a part of an image that `find_fill` would have to look at."""
    return bool((_flat(rgb, 5) & _filler_colour(rgb)).any())


def darkest(rgb: NDArray[Any]) -> NDArray[Any]:
    """The least of each pixel's channels `(H, W, 3)`; NumPy's `min` takes ten times as long over so few."""
    red, green, blue = cv2.split(rgb)
    return cv2.min(cv2.min(red, green), blue)


def brightest(rgb: NDArray[Any]) -> NDArray[Any]:
    """The largest of each pixel's channels `(H, W, 3)`."""
    red, green, blue = cv2.split(rgb)
    return cv2.max(cv2.max(red, green), blue)


def _flat(rgb: NDArray[np.uint8], side: int) -> NDArray[np.bool_]:
    """Centres of squares inside the image that vary by almost nothing."""
    spread = cv2.morphologyEx(rgb, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))  # largest less smallest
    flat = cv2.inRange(spread, (0, 0, 0), (_VARIATION,) * 3) > 0
    half = side // 2
    border = np.zeros_like(flat)
    border[half : flat.shape[0] - half, half : flat.shape[1] - half] = True
    return flat & border


def _filler_colour(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    low, high = darkest(rgb), brightest(rgb)
    grey, stain = high - low <= _GREY, rgb[..., 1] - low <= _GREY
    glass = (low >= _GLASS[0]) & (high >= _GLASS[1])
    return ~glass & (grey | ~stain | (high <= _BLACK))


def _followed(rgb: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill and the pixels like it that hang together with it, a little way around."""
    difference = _difference(rgb, inside)
    grown = _grown(inside, difference <= _SAME)
    like = difference <= _LIKE
    edge = _dilated(grown) - grown
    noisy = _mean_around(like.astype(np.uint8), edge) > _NOISY
    grown = _grown(grown, like & noisy)
    return np.asarray(cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)), np.uint8)


def _grown(fill: NDArray[np.uint8], among: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill and those of some pixels that hang together with it."""
    allowed = among.astype(np.uint8) | fill
    for _ in range(_GROWTH_PX):
        fill = _dilated(fill) & allowed
    return fill


def _softened(rgb: NDArray[np.uint8], fill: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill and the pixels around it that are mixed of fill and tissue; none where the edge is sharp."""
    difference = _difference(rgb, fill)
    reached = [fill]
    for _ in range(_SOFT_PX + 2):
        reached.append(_dilated(reached[-1]))
    softened = fill
    for within, edge, behind in zip(reached, reached[1:], reached[3:], strict=False):
        mixed = _mean_around(difference, edge - within) < _MIXED * _mean_around(difference, behind - edge)
        softened = softened | (_dilated(softened) & (edge - within) & mixed.astype(np.uint8))
    return softened


def _difference(rgb: NDArray[np.uint8], fill: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Largest difference of every pixel from the fill around it, whole numbers; infinite where there is none."""
    colour = _mean_around(rgb, fill)
    return np.where(np.isnan(colour[..., 0]), np.float32(np.inf), np.round(np.abs(rgb - colour).max(-1)))


def _mean_around(values: NDArray[Any], where: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean of the values where a mask is, over the square around every pixel; NaN where it holds nothing.

    Of whole numbers, so that the sums are the same in whichever part of an image they are made.
    """
    window = (2 * _GROWTH_PX + 1,) * 2
    picked = np.where((where > 0).reshape(where.shape + (1,) * (values.ndim - 2)), values, 0).astype(np.float32)
    total, weight = (
        cv2.boxFilter(part, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
        for part in (picked, where.astype(np.float32))
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(total / weight.reshape(where.shape + (1,) * (values.ndim - 2)), np.float32)


def _dilated(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)

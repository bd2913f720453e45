"""Where there is tissue on a slide, from a thumbnail."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.wsi.read.reader import UNREADABLE
from coseg_bundle.wsi.segment.tiling import TileGrid

THUMBNAIL_PX = 2048
"""Longer side of the thumbnail that tissue is looked for in."""

_SATURATION = (8, 30)
"""Least and largest threshold on the saturation, of 255: blank glass stays below the first, stained tissue is above
the second; in between Otsu's method decides."""

_OUTLINE = (0, 160, 0)


def find_foreground(thumbnail: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Finds stained pixels; parts that could not be read count as stained, so that they are tried again as tiles.

    Args:
        thumbnail: `(h, w, 3)` uint8.

    Returns:
        `(h, w)` bool, a few pixels wider than what is stained.
    """
    broken = (thumbnail == UNREADABLE).all(-1)
    smooth = cv2.GaussianBlur(thumbnail, (5, 5), 0).astype(np.int16)
    saturation = (smooth.max(-1) - smooth.min(-1)).astype(np.uint8)  # chroma: dark grey pen and dust have none
    otsu, _ = cv2.threshold(saturation[~broken].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    stained = saturation > np.clip(otsu, *_SATURATION)
    stained = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.dilate(stained | broken.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0


def foreground_tiles(mask: NDArray[np.bool_], grid: TileGrid) -> list[int]:
    """Indices of the tiles whose cores hold foreground.

    Args:
        mask: `(h, w)` over the plane of the grid, at any resolution.
        grid: The tiles.
    """
    height, width = mask.shape
    counts = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = []
    for tile in grid:
        x0, x1 = tile.core.x0 * width // grid.width, -(-tile.core.x1 * width // grid.width)
        y0, y1 = tile.core.y0 * height // grid.height, -(-tile.core.y1 * height // grid.height)
        if counts[y1, x1] - counts[y0, x1] - counts[y1, x0] + counts[y0, x0]:
            found.append(tile.index)
    return found


def without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The foreground with what it encloses, such as the lumen of a gland."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0


def draw_foreground(thumbnail: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The thumbnail with the foreground outlined and the rest dimmed."""
    canvas = np.where(mask[..., None], thumbnail, thumbnail // 2 + 100).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, _OUTLINE, 2)
    return canvas

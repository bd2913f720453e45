"""Watershed from markers: scikit-image's where it is installed, otherwise the same in Python.

Priority flooding (Meyer 1994; Barnes et al. 2014) in scikit-image's order, so that both give the same pixels. The light
installation has no scikit-image, which brings SciPy along: 190 MB for one function of the inference. Only clumps of
nuclei are flooded, so the slower one costs little beside the network (`docs/decisions/engines.md`).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray


def watershed(depth: NDArray[np.float64], seeds: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Grows seeds over the sides of pixels, the lowest pixels first.

    Args:
        depth: `(H, W)`, finite.
        seeds: `(H, W)` ids inside the mask; 0 is none. No two of their pixels have the same depth.
        mask: `(H, W)`, what may be flooded.

    Returns:
        `(H, W)` int32; 0 outside of the mask, and in parts of it without a seed.

    Example:
        >>> watershed(np.array([[0.0, 3.0, 1.0]]), np.array([[1, 0, 2]], np.int32), np.ones((1, 3), bool))
        array([[1, 1, 2]], dtype=int32)
    """
    try:
        from skimage import segmentation
    except ModuleNotFoundError:
        return flooded(depth, seeds, mask)
    return np.asarray(segmentation.watershed(depth, seeds, mask=mask), np.int32)


def flooded(depth: NDArray[np.float64], seeds: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """`watershed` without scikit-image. The water is as high as the highest pixel on its way; of pixels that it reaches
    equally high the one comes first that was reached first."""
    width = depth.shape[1] + 2
    level = np.pad(depth, 1).ravel()
    grown = np.pad(np.where(mask, seeds, 0), 1).ravel()
    dry = np.pad(mask, 1).ravel() & (grown == 0)
    levels, ids, free = level.tolist(), grown.tolist(), dry.tolist()  # lists: faster, one number at a time
    shore = [(levels[pixel], 0, pixel) for pixel in np.flatnonzero(grown).tolist()]
    heapify(shore)
    reached = 0
    while shore:
        water, _, pixel = heappop(shore)
        for neighbour in (pixel - width, pixel - 1, pixel + 1, pixel + width):
            if free[neighbour]:
                free[neighbour] = False
                ids[neighbour] = ids[pixel]
                reached += 1
                heappush(shore, (max(levels[neighbour], water), reached, neighbour))
    return np.array(ids, np.int32).reshape(-1, width)[1:-1, 1:-1]

"""Connected pieces of label maps, by OpenCV, which knows masks only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def connected_pieces(label_map: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    """Numbers the 4-connected pieces of equal labels, 1 to N in the order of their first pixels.

    Between any two pixels a third one is put, which is there if the two have the same label: then pieces of labels are
    pieces of a mask.

    Args:
        label_map: `(H, W)`; 0 and negative values are background.

    Returns:
        `(H, W)` int32, and N.

    Example:
        >>> connected_pieces(np.array([[5, 5, 7, 0, 5]]))
        (array([[1, 1, 2, 0, 3]], dtype=int32), 3)
    """
    height, width = label_map.shape
    mask = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    inside = label_map > 0
    mask[::2, ::2] = inside
    mask[::2, 1::2] = inside[:, 1:] & (label_map[:, 1:] == label_map[:, :-1])
    mask[1::2, ::2] = inside[1:] & (label_map[1:] == label_map[:-1])
    count, pieces = cv2.connectedComponents(mask, connectivity=4)
    return np.ascontiguousarray(pieces[::2, ::2]), count - 1

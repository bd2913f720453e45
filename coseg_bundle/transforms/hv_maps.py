"""Training targets of the nuclei: mask and hv map, from instance maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def hv_map(instance_map: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distances of each nucleus pixel to the nucleus' centre of mass, scaled to [-1, 1] per side (HoVer-Net).

    The extreme offsets of an instance are those of its bounding box, so the whole map needs one pass over the pixels
    and no instance is ever compared with the image.

    Args:
        instance_map: `(H, W)`, 0 background; negative values (unlabelled) count as background.

    Returns:
        `(2, H, W)` float32 in [-1, 1]: channel 0 is x (left -1, right 1), channel 1 is y (top -1, bottom 1); 0 on the
        background.

    Example:
        >>> hv_map(np.array([[7, 7, 7]]))[0]
        array([[-1.,  0.,  1.]], dtype=float32)
    """
    result = np.zeros((2, *instance_map.shape), np.float32)
    rows, columns = np.nonzero(instance_map > 0)
    if rows.size == 0:
        return result
    ids = instance_map[rows, columns]
    values, labels = np.unique(ids, return_inverse=True)
    count = np.bincount(labels)
    compact = np.zeros(instance_map.shape, np.int32)
    compact[rows, columns] = labels + 1
    boxes = ndimage.find_objects(compact, max_label=values.size)
    for channel, axis, coordinate in ((0, 1, columns), (1, 0, rows)):
        centre = np.bincount(labels, coordinate) / count
        first = np.array([box[axis].start for box in boxes])
        last = np.array([box[axis].stop - 1 for box in boxes])
        offset = coordinate - centre[labels]
        reach = np.where(offset < 0, (centre - first)[labels], (last - centre)[labels])
        result[channel, rows, columns] = np.divide(offset, reach, out=np.zeros_like(offset), where=reach > 0)
    return result

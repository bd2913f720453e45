"""Detection of nuclei by the distance of centroids (by overlap: `PanopticQuality`'s precision, recall and DQ)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coseg_bundle.metrics.matching import match_points
from coseg_bundle.metrics.panoptic import PanopticQuality
from coseg_bundle.settings.values import check_number


def detection_counts(
    pred_xy: NDArray[np.floating], truth_xy: NDArray[np.floating], radius_px: float
) -> PanopticQuality:
    """Counts centroids that match within a radius, one to one; `precision`, `recall` and `dq` (F1) of the result hold.

    Args:
        pred_xy: `(M, 2)` centroids, px.
        truth_xy: `(N, 2)` centroids, px.
        radius_px: Farthest distance of a match; 12 px at 40x is usual (Sirinukunwattana et al. 2016: 6 px at 20x).

    Raises:
        ValueError: The radius is below 0 or not finite.

    Example:
        >>> detection_counts(np.array([[1.0, 1.0]]), np.array([[2.0, 1.0], [9.0, 9.0]]), radius_px=3).dq
        0.6666666666666666
    """
    check_number("radius_px", radius_px)
    tp = len(match_points(pred_xy, truth_xy, radius_px)[0])
    return PanopticQuality(tp, len(pred_xy) - tp, len(truth_xy) - tp)


def centroids_xy(instance_map: NDArray[np.integer]) -> NDArray[np.float64]:
    """Centroids `(N, 2)` of a map's instances, in the order of their ids, px from the corner of the first pixel.

    Raises:
        ValueError: The map has no integers: those of a mask are one instance, and floats fuse high ids.
    """
    if instance_map.dtype.kind not in "iu":
        raise ValueError(f"Expected an integer label map, got {instance_map.dtype}.")
    ids = np.unique(instance_map)
    ids = ids[ids > 0]
    if not ids.size:
        return np.zeros((0, 2))
    return np.array(ndimage.center_of_mass(instance_map > 0, instance_map, ids))[:, ::-1] + 0.5

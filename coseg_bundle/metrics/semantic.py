"""Scores of label maps, class by class: Dice, IoU, Hausdorff distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coseg_bundle.classes import UNLABELLED


def dice(pred: NDArray[np.integer], truth: NDArray[np.integer], class_ids: Sequence[int]) -> NDArray[np.float64]:
    """Dice coefficient of each class.

    Args:
        pred: Predicted class map, any shape.
        truth: True class map of the same shape; pixels of 255 are unlabelled and leave both maps.
        class_ids: The classes to score.

    Returns:
        One value per class in [0, 1]; NaN for a class that is on neither side.

    Raises:
        ValueError: Shapes differ.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([1, 0, 0]), (1, 2))
        array([0.66666667,        nan])
    """
    overlaps = class_overlaps(pred, truth, class_ids)
    return np.array([2 * intersection / total if total else np.nan for intersection, total in overlaps])


def iou(pred: NDArray[np.integer], truth: NDArray[np.integer], class_ids: Sequence[int]) -> NDArray[np.float64]:
    """Intersection over union of each class (their mean is mIoU); arguments and result as in `dice`.

    Example:
        >>> iou(np.array([1, 1, 0]), np.array([1, 0, 0]), (1, 2))
        array([0.5, nan])
    """
    overlaps = class_overlaps(pred, truth, class_ids)
    return np.array([part / (total - part) if total else np.nan for part, total in overlaps])


def class_overlaps(
    pred: NDArray[np.integer], truth: NDArray[np.integer], class_ids: Sequence[int]
) -> NDArray[np.int64]:
    """Pixels of each class `(len(class_ids), 2)`: in both maps, and the sum of both areas; sums of them pool images.

    Raises:
        ValueError: Shapes differ.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"Expected maps of one shape, got prediction {pred.shape} and truth {truth.shape}.")
    labelled = truth != UNLABELLED
    pred, truth = pred[labelled], truth[labelled]
    masks = ((pred == class_id, truth == class_id) for class_id in class_ids)
    return np.array([((p & t).sum(), p.sum() + t.sum()) for p, t in masks], np.int64).reshape(-1, 2)


_RIM_PX = 5
"""Depth of a rim."""


def labelled_part(mask: NDArray[np.bool_], truth: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What of a predicted mask can be judged: the labelled pixels, without the rims of regions that are not.

    Of a region (8 neighbours) more than half of which is unlabelled, labelled parts no wider than 10 px leave, unless
    they touch the truth: they are where its outline is drawn a little wider than the label's.

    Args:
        mask: Predicted mask `(H, W)` of a class.
        truth: True mask `(H, W)`.
        labelled: Which pixels have a label `(H, W)`.

    Raises:
        ValueError: A mask is none (see `hausdorff_distance`).

    Example:
        >>> mask = np.array([[True, True, True, False]])
        >>> labelled_part(mask, np.array([[False] * 4]), np.array([[False, False, True, True]]))
        array([[False, False, False, False]])
    """
    mask, truth, labelled = (_as_mask(given) for given in (mask, truth, labelled))
    if labelled.all():
        return mask
    cut = mask & labelled
    regions, _ = ndimage.label(mask, np.ones((3, 3)))
    parts, count = ndimage.label(cut, np.ones((3, 3)))
    unknown = np.bincount(regions.ravel(), ~labelled.ravel()) * 2 > np.bincount(regions.ravel())
    kept = np.ones(count + 1, bool)
    kept[1:] = ndimage.maximum(ndimage.distance_transform_edt(cut), parts, np.arange(1, count + 1)) > _RIM_PX
    kept[parts[truth]] = True
    return np.asarray(cut & (~unknown[regions] | kept[parts]))


def hausdorff_distance(pred: NDArray[np.bool_], truth: NDArray[np.bool_], percentile: float = 100.0) -> float:
    """Hausdorff distance of the borders of two masks, or a percentile of it, symmetric.

    Equal to MONAI's `compute_hausdorff_distance` where that is defined.

    Args:
        pred: Predicted mask `(H, W)`; of integers those above 0 are inside.
        truth: True mask `(H, W)`, the same.
        percentile: 100 for the maximum, 95 for HD95.

    Returns:
        Pixels (times mpp: microns); NaN where a mask is empty, for then there is no distance.

    Raises:
        ValueError: Shapes differ, or values are neither bool nor integers from 0.

    Example:
        >>> hausdorff_distance(np.array([[True, False, False]]), np.array([[False, False, True]]))
        2.0
    """
    if pred.shape != truth.shape:
        raise ValueError(f"Expected masks of one shape, got prediction {pred.shape} and truth {truth.shape}.")
    pred, truth = _as_mask(pred), _as_mask(truth)
    if not pred.any() or not truth.any():
        return float("nan")
    pred_border, truth_border = (mask & ~ndimage.binary_erosion(mask) for mask in (pred, truth))
    there = ndimage.distance_transform_edt(~truth_border)[pred_border]
    back = ndimage.distance_transform_edt(~pred_border)[truth_border]
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def _as_mask(given: NDArray[np.bool_ | np.integer]) -> NDArray[np.bool_]:
    if given.dtype.kind not in "biu" or given.min(initial=0) < 0:
        raise ValueError(f"Expected a mask of bool, or of integers from 0, got {given.dtype}; compare it first.")
    return np.asarray(given > 0)

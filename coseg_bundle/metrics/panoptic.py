"""Panoptic quality of instances (Kirillov et al., CVPR 2019; for nuclei: Graham et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.metrics.contingency import Contingency, check_instance_maps, contingency
from coseg_bundle.metrics.matching import assign
from coseg_bundle.metrics.semantic import labelled_part


@dataclass(frozen=True)
class PanopticQuality:
    """Counts of one comparison; sums of them pool several images.

    Attributes:
        tp: Matched pairs.
        fp: Predicted instances without a match.
        fn: True instances without a match.
        iou_sum: Sum of the matched pairs' IoU.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    @property
    def precision(self) -> float:
        """Share of the predicted instances that match; NaN without any."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true instances that match; NaN without any."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float("nan")

    @property
    def dq(self) -> float:
        """Detection quality (F1 of the matches); NaN when there is nothing on either side."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else float("nan")

    @property
    def sq(self) -> float:
        """Segmentation quality (mean IoU of the matches); NaN without a match."""
        return self.iou_sum / self.tp if self.tp else float("nan")

    @property
    def pq(self) -> float:
        """DQ x SQ; NaN when there is nothing on either side, 0 without a match."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.iou_sum / total if total else float("nan")

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        return PanopticQuality(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum)


def panoptic_quality(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    iou_threshold: float = 0.5,
    table: Contingency | None = None,
) -> PanopticQuality:
    """Matches instances whose IoU is above the threshold and counts.

    From 0.5 on a match is unique by itself; below, the assignment with the largest sum of IoU is taken.

    Args:
        pred: Predicted instance map `(H, W)`, 0 background.
        truth: True instance map `(H, W)`, 0 background, -1 unlabelled.
        iou_threshold: A match needs an IoU above it, in [0, 1).
        table: Overlaps of the two maps, where they are known already.

    Raises:
        ValueError: The maps do not fit (see `contingency`) or the threshold is out of range.

    Example:
        >>> panoptic_quality(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]]))
        PanopticQuality(tp=1, fp=1, fn=0, iou_sum=0.6666666666666666)
    """
    if not 0 <= iou_threshold < 1:
        raise ValueError(f"Expected an iou_threshold in [0, 1), got {iou_threshold}.")
    table = contingency(pred, truth) if table is None else table
    above = table.iou > iou_threshold
    pairs, iou = table.pairs[above], table.iou[above]
    if iou_threshold < 0.5:
        iou = iou[assign(pairs, iou)]
    tp = len(iou)
    return PanopticQuality(tp, len(table.pred_area) - tp, len(table.truth_area) - tp, float(iou.sum()))


def matched_pairs(table: Contingency, iou_threshold: float = 0.5) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids (truth, pred) of the instances that `panoptic_quality` matches, `(K, 2)`, and their IoU, `(K,)`."""
    above = np.flatnonzero(table.iou > iou_threshold)
    chosen = above[assign(table.pairs[above], table.iou[above])]
    truth_row, pred_row = table.pairs[chosen].T
    return np.stack([table.truth_ids[truth_row], table.pred_ids[pred_row]], axis=1), table.iou[chosen]


def panoptic_quality_by_class(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    pred_types: NDArray[np.integer],
    truth_types: NDArray[np.integer],
    class_ids: Sequence[int],
    iou_threshold: float = 0.5,
) -> dict[int, PanopticQuality]:
    """Panoptic quality of each class: instances of other classes leave both maps. The mean over classes is mPQ.

    Args:
        pred: Predicted instance map `(H, W)`.
        truth: True instance map `(H, W)`, -1 unlabelled.
        pred_types: Predicted type map `(H, W)`.
        truth_types: True type map `(H, W)`; nuclei of 255 (unlabelled type) leave both maps with their pixels.
        class_ids: Classes to score.
        iou_threshold: As in `panoptic_quality`.

    Raises:
        ValueError: As `panoptic_quality`, or a type map has another shape.
    """
    check_instance_maps(pred, truth)
    for types in (pred_types, truth_types):
        if types.shape != pred.shape:
            raise ValueError(f"Expected type maps of the instance maps' shape {pred.shape}, got {types.shape}.")
    truth = truth.astype(np.int64)  # -1 is no number without a sign
    known = truth_types != UNLABELLED
    scores = {}
    for class_id in class_ids:
        of_pred = np.where(pred_types == class_id, pred, 0)
        of_truth = np.where((truth > 0) & known & (truth_types != class_id), 0, truth)
        scores[class_id] = panoptic_quality(of_pred, np.where(known, of_truth, -1), iou_threshold)
    return scores


def tissue_panoptic_quality(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    class_ids: Sequence[int],
    min_area_px: int = 0,
    iou_threshold: float = 0.5,
) -> dict[int, PanopticQuality]:
    """Panoptic quality of tissue regions: the connected components (8 neighbours) of each class.

    Args:
        pred: Predicted tissue map `(H, W)`.
        truth: True tissue map `(H, W)`, 255 unlabelled.
        class_ids: Classes to score.
        min_area_px: Smaller components leave both maps; the authors' code drops those below 25,000 at 1024 x 1024.
        iou_threshold: As in `panoptic_quality`.
    """
    labelled = truth != UNLABELLED
    scores = {}
    for class_id in class_ids:
        of_truth = truth == class_id
        regions = _regions(labelled_part(pred == class_id, of_truth, labelled), min_area_px)
        scores[class_id] = panoptic_quality(regions, _regions(of_truth, min_area_px), iou_threshold)
    return scores


def _regions(mask: NDArray[np.bool_], min_area_px: int) -> NDArray[np.integer]:
    regions = ndimage.label(mask, np.ones((3, 3)))[0]
    small = np.bincount(regions.ravel()) < min_area_px
    return np.where(small[regions], 0, regions)

"""Panoptic quality of instances (Kirillov et al., CVPR 2019; for nuclei: Graham et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from coseg_bundle.metrics.contingency import Contingency, contingency


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
    if iou_threshold < 0.5 and len(pairs):
        pairs, iou = _assign(pairs, iou)
    tp = len(pairs)
    return PanopticQuality(tp, len(table.pred_area) - tp, len(table.truth_area) - tp, float(iou.sum()))


def _assign(pairs: NDArray[np.int64], iou: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One-to-one assignment with the largest sum of IoU."""
    truth_ids, rows = np.unique(pairs[:, 0], return_inverse=True)
    pred_ids, columns = np.unique(pairs[:, 1], return_inverse=True)
    gain = np.zeros((truth_ids.size, pred_ids.size))
    gain[rows, columns] = iou
    chosen_rows, chosen_columns = linear_sum_assignment(gain, maximize=True)
    matched = gain[chosen_rows, chosen_columns] > 0
    chosen_rows, chosen_columns = chosen_rows[matched], chosen_columns[matched]
    return np.stack([truth_ids[chosen_rows], pred_ids[chosen_columns]], 1), gain[chosen_rows, chosen_columns]


def aggregated_jaccard_index(
    pred: NDArray[np.integer], truth: NDArray[np.integer], table: Contingency | None = None
) -> float:
    """AJI (Kumar et al., IEEE TMI 2017): each true nucleus takes the prediction of the highest IoU, used or not.

    Args:
        pred: Predicted instance map `(H, W)`, 0 background.
        truth: True instance map `(H, W)`, 0 background, -1 unlabelled.
        table: Overlaps of the two maps, where they are known already.

    Returns:
        In [0, 1]; NaN when there is nothing on either side.

    Example:
        >>> aggregated_jaccard_index(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]]))
        0.5
    """
    table = contingency(pred, truth) if table is None else table
    iou = table.iou
    order = np.lexsort((-iou, table.pairs[:, 0]))
    _, first = np.unique(table.pairs[order, 0], return_index=True)
    best = order[first]
    truth_rows, pred_rows = table.pairs[best].T
    overlap = int(table.overlap[best].sum())
    union = int((table.truth_area[truth_rows] + table.pred_area[pred_rows]).sum()) - overlap
    union += int(np.delete(table.truth_area, truth_rows).sum() + np.delete(table.pred_area, np.unique(pred_rows)).sum())
    return overlap / union if union else float("nan")

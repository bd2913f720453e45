"""The overlap of two label maps, counted once: every instance metric is computed from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Contingency:
    """Areas of the instances of two maps and of their overlaps, without any mask.

    Attributes:
        truth_ids: `(N,)` ids of the true instances, rising.
        pred_ids: `(M,)` ids of the predicted instances that count, rising.
        truth_area: `(N,)` pixels of each true instance.
        pred_area: `(M,)` pixels of each predicted instance.
        pairs: `(K, 2)` row numbers (truth, pred) of the instances that overlap.
        overlap: `(K,)` common pixels of each pair.
    """

    truth_ids: NDArray[np.int64]
    pred_ids: NDArray[np.int64]
    truth_area: NDArray[np.int64]
    pred_area: NDArray[np.int64]
    pairs: NDArray[np.int64]
    overlap: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each overlapping pair, `(K,)`."""
        union = self.truth_area[self.pairs[:, 0]] + self.pred_area[self.pairs[:, 1]] - self.overlap
        return self.overlap / union


def contingency(pred: NDArray[np.integer], truth: NDArray[np.integer]) -> Contingency:
    """Counts overlaps in one pass over the pixels, then by runs of equal ones.

    Nobody knows whether a predicted instance is right that lies on unlabelled pixels, even where its rim does not. So
    it leaves the map as a whole where more than half of it is unlabelled, unless it matches (IoU above 0.5): the rule
    for void pixels of Kirillov et al. 2019, section 4.1.

    Args:
        pred: Predicted instance map `(H, W)`, 0 background.
        truth: True instance map `(H, W)`, 0 background; pixels of -1 are unlabelled and leave both maps.

    Raises:
        ValueError: Shapes differ, values are no integers, or ids are negative or beyond int64.
    """
    check_instance_maps(pred, truth)
    truth, pred, length = _runs(truth.ravel(), pred.ravel())
    void = np.flatnonzero((truth < 0) & (pred > 0))
    void_ids, void_length = pred[void], length[void]
    foreground = (truth >= 0) & ((truth > 0) | (pred > 0))
    truth, pred, length = truth[foreground], pred[foreground], length[foreground]
    truth_ids, truth_row = np.unique(truth, return_inverse=True)
    pred_ids, pred_row = np.unique(pred, return_inverse=True)
    keys, pair = np.unique(truth_row * max(pred_ids.size, 1) + pred_row, return_inverse=True)
    pairs = np.stack(np.divmod(keys, max(pred_ids.size, 1)), axis=1)
    truth_area, pred_area, overlap = (_sums(row, length) for row in (truth_row, pred_row, pair))
    both = (truth_ids[pairs[:, 0]] > 0) & (pred_ids[pairs[:, 1]] > 0)
    has_truth_0, has_pred_0 = int(truth_ids[:1].tolist() == [0]), int(pred_ids[:1].tolist() == [0])
    table = Contingency(
        truth_ids[has_truth_0:],
        pred_ids[has_pred_0:],
        truth_area[has_truth_0:],
        pred_area[has_pred_0:],
        pairs[both] - (has_truth_0, has_pred_0),
        overlap[both],
    )
    return _labelled(table, void_ids, void_length) if void.size else table


def check_instance_maps(pred: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
    """Refuses what `contingency` cannot count.

    Raises:
        ValueError: As `contingency` says.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"Expected maps of one shape, got prediction {pred.shape} and truth {truth.shape}.")
    if pred.dtype.kind not in "iu" or truth.dtype.kind not in "iu":
        raise ValueError(f"Expected integer label maps, got {pred.dtype} and {truth.dtype}.")
    if pred.size and (pred.min() < 0 or truth.min() < -1):
        raise ValueError("Expected ids from 0 (truth: -1 for unlabelled pixels), got negative ones.")
    if (highest := max(pred.max(initial=0), truth.max(initial=0))) > np.iinfo(np.int64).max:
        raise ValueError(f"Expected ids up to {np.iinfo(np.int64).max}, got {highest}; relabel the map.")


def _labelled(table: Contingency, void_ids: NDArray[np.int64], void_length: NDArray[np.int64]) -> Contingency:
    """A table without the predictions that are mostly unlabelled: their ids and lengths, run by run, on such pixels."""
    beside = np.isin(void_ids, table.pred_ids)
    rows = np.searchsorted(table.pred_ids, void_ids[beside])
    void_area = np.bincount(rows, void_length[beside], len(table.pred_ids))
    kept = void_area <= table.pred_area  # at most half of it
    kept[table.pairs[table.iou > 0.5, 1]] = True
    pairs = kept[table.pairs[:, 1]]
    renumbered = table.pairs[pairs]
    renumbered[:, 1] = (np.cumsum(kept) - 1)[renumbered[:, 1]]
    return replace(
        table,
        pred_ids=table.pred_ids[kept],
        pred_area=table.pred_area[kept],
        pairs=renumbered,
        overlap=table.overlap[pairs],
    )


def _runs(truth: NDArray[np.integer], pred: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
    """Both maps `(P,)` as runs of equal pixels: ids of truth and prediction, and length; there are few to sort."""
    begins = np.ones(truth.size, bool)
    begins[1:] = (truth[1:] != truth[:-1]) | (pred[1:] != pred[:-1])
    start = np.flatnonzero(begins)
    return truth[start].astype(np.int64), pred[start].astype(np.int64), np.diff(start, append=truth.size)


def _sums(row: NDArray[np.intp], length: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(row, weights=length).astype(np.int64)  # float64 is exact up to 2^53 pixels

"""Aggregated Jaccard index (Kumar et al., IEEE TMI 2017) and its one-to-one form AJI+ (Graham et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.metrics.contingency import Contingency, contingency
from coseg_bundle.metrics.matching import assign


@dataclass(frozen=True)
class Jaccard:
    """Pixels of an intersection and of a union; sums of them pool several images."""

    intersection: int = 0
    union: int = 0

    @property
    def value(self) -> float:
        """Intersection over union; NaN when there is nothing on either side."""
        return self.intersection / self.union if self.union else float("nan")

    def __add__(self, other: Jaccard) -> Jaccard:
        return Jaccard(self.intersection + other.intersection, self.union + other.union)


def aggregated_jaccard(table: Contingency, plus: bool = False) -> Jaccard:
    """The sums whose quotient is AJI.

    AJI: each true instance takes the prediction of the highest IoU, even one that another took. AJI+: one-to-one, with
    the largest sum of IoU. Instances without a partner add their area to the union.

    Args:
        table: Overlaps of the two maps.
        plus: Whether to count AJI+.
    """
    chosen = assign(table.pairs, table.iou) if plus else _best_of_each_truth(table)
    truth_rows, pred_rows = table.pairs[chosen].T
    intersection = int(table.overlap[chosen].sum())
    union = int((table.truth_area[truth_rows] + table.pred_area[pred_rows]).sum()) - intersection
    alone = np.delete(table.truth_area, truth_rows).sum() + np.delete(table.pred_area, np.unique(pred_rows)).sum()
    return Jaccard(intersection, union + int(alone))


def aggregated_jaccard_index(
    pred: NDArray[np.integer], truth: NDArray[np.integer], plus: bool = False, table: Contingency | None = None
) -> float:
    """AJI, or AJI+ with `plus`.

    Args:
        pred: Predicted instance map `(H, W)`, 0 background.
        truth: True instance map `(H, W)`, 0 background, -1 unlabelled.
        plus: Whether to count AJI+.
        table: Overlaps of the two maps, where they are known already.

    Returns:
        In [0, 1]; NaN when there is nothing on either side.

    Example:
        >>> aggregated_jaccard_index(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]]))
        0.5
    """
    return aggregated_jaccard(contingency(pred, truth) if table is None else table, plus).value


def _best_of_each_truth(table: Contingency) -> NDArray[np.int64]:
    order = np.lexsort((-table.iou, table.pairs[:, 0]))
    return np.asarray(order[np.unique(table.pairs[order, 0], return_index=True)[1]])

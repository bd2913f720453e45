"""What is counted on one image. Counts of several images add up, so that every score exists per image and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.metrics import (
    Jaccard,
    PanopticQuality,
    aggregated_jaccard,
    class_overlaps,
    contingency,
    hausdorff_distance,
    labelled_part,
    panoptic_quality,
    panoptic_quality_by_class,
    tissue_panoptic_quality,
)

DISTANCES = ("tissue_hd", "tissue_hd95")
"""Scores that are distances; every other score is a share."""

UNIT = "pixels of the images"
"""What distances are in, at whatever resolution maps are compared: as the paper's are, and as two reports can be."""

AddableT = TypeVar("AddableT")
Scores = dict[str, float]


@dataclass(frozen=True)
class NucleiCounts:
    """Counts of nuclei.

    Attributes:
        panoptic: Matches at IoU above 0.5.
        aji: Sums of AJI.
        aji_plus: Sums of AJI+.
        overlap: Pixels in both foregrounds, and the sum of both areas.
        by_class: Matches of each class by name, where there are types.
    """

    panoptic: PanopticQuality = field(default_factory=PanopticQuality)
    aji: Jaccard = field(default_factory=Jaccard)
    aji_plus: Jaccard = field(default_factory=Jaccard)
    overlap: tuple[int, int] = (0, 0)
    by_class: dict[str, PanopticQuality] = field(default_factory=dict)

    def __add__(self, other: NucleiCounts) -> NucleiCounts:
        overlap = (self.overlap[0] + other.overlap[0], self.overlap[1] + other.overlap[1])
        by_class = _add_by_name(self.by_class, other.by_class, PanopticQuality())
        sums = self.panoptic + other.panoptic, self.aji + other.aji, self.aji_plus + other.aji_plus
        return NucleiCounts(*sums, overlap, by_class)

    @property
    def none_found(self) -> bool:
        """Whether there are nuclei in the labels and none in the prediction."""
        return not self.panoptic.tp + self.panoptic.fp and self.panoptic.fn > 0

    def scores(self) -> Scores:
        """The scores by name; NaN where undefined."""
        total = self.overlap[1]
        scores = {
            "nuclei_f1": self.panoptic.dq,
            "nuclei_precision": self.panoptic.precision,
            "nuclei_recall": self.panoptic.recall,
            "nuclei_aji": self.aji.value,
            "nuclei_aji_plus": self.aji_plus.value,
            "nuclei_dice": 2 * self.overlap[0] / total if total else float("nan"),
            "nuclei_pq": self.panoptic.pq,
            "nuclei_dq": self.panoptic.dq,
            "nuclei_sq": self.panoptic.sq,
        }
        if self.by_class:
            scores |= {f"nuclei_pq_{name}": quality.pq for name, quality in self.by_class.items()}
            scores |= {f"nuclei_f1_{name}": quality.dq for name, quality in self.by_class.items()}
            scores["nuclei_mpq"] = mean_of_known([quality.pq for quality in self.by_class.values()])
        return scores


def count_nuclei(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    pred_types: NDArray[np.integer] | None = None,
    truth_types: NDArray[np.integer] | None = None,
    class_names: Sequence[str] = (),
) -> NucleiCounts:
    """Counts one image.

    Args:
        pred: Predicted instance map `(H, W)`.
        truth: True instance map `(H, W)`, -1 unlabelled.
        pred_types: Predicted type map; without it, or without the true one, no class is scored.
        truth_types: True type map.
        class_names: Nuclei class names, background first.
    """
    table = contingency(pred, truth)
    labelled = truth >= 0
    in_pred, in_truth = (pred > 0) & labelled, truth > 0
    overlap = int((in_pred & in_truth).sum()), int(in_pred.sum() + in_truth.sum())
    by_class = {}
    if pred_types is not None and truth_types is not None:
        ids = range(1, len(class_names))
        qualities = panoptic_quality_by_class(pred, truth, pred_types, truth_types, ids)
        by_class = {class_names[i]: quality for i, quality in qualities.items()}
    panoptic = panoptic_quality(pred, truth, table=table)
    return NucleiCounts(panoptic, aggregated_jaccard(table), aggregated_jaccard(table, plus=True), overlap, by_class)


@dataclass(frozen=True)
class TissueCounts:
    """Counts of tissue classes, each by name, the background class left out.

    Attributes:
        overlaps: Pixels in both maps, and the sum of both areas.
        regions: Matches of connected components.
        distances: Hausdorff distances `(HD, HD95)`, pixels of the image; NaN where a side lacks the class. They do not
            add up: a sum keeps the farthest.
    """

    overlaps: dict[str, tuple[int, int]] = field(default_factory=dict)
    regions: dict[str, PanopticQuality] = field(default_factory=dict)
    distances: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __add__(self, other: TissueCounts) -> TissueCounts:
        overlaps, distances = {}, {}
        for name in {**self.overlaps, **other.overlaps}:
            a, b = self.overlaps.get(name, (0, 0)), other.overlaps.get(name, (0, 0))
            overlaps[name] = (a[0] + b[0], a[1] + b[1])
            nowhere = (float("nan"), float("nan"))
            c, d = self.distances.get(name, nowhere), other.distances.get(name, nowhere)
            distances[name] = (float(np.fmax(c[0], d[0])), float(np.fmax(c[1], d[1])))
        return TissueCounts(overlaps, _add_by_name(self.regions, other.regions, PanopticQuality()), distances)

    def scores(self) -> Scores:
        """The means over classes, and the Dice of each; NaN where undefined."""
        dice = {name: 2 * both / total if total else float("nan") for name, (both, total) in self.overlaps.items()}
        iou = [both / (total - both) if total else float("nan") for both, total in self.overlaps.values()]
        qualities = list(self.regions.values())
        scores = {
            "tissue_dice": mean_of_known(list(dice.values())),
            "tissue_miou": mean_of_known(iou),
            "tissue_hd": mean_of_known([hd for hd, _ in self.distances.values()]),
            "tissue_hd95": mean_of_known([hd95 for _, hd95 in self.distances.values()]),
            "tissue_pq": mean_of_known([quality.pq for quality in qualities]),
            "tissue_dq": mean_of_known([quality.dq for quality in qualities]),
            "tissue_sq": mean_of_known([quality.sq for quality in qualities]),
        }
        return scores | {f"tissue_dice_{name}": value for name, value in dice.items()}


def count_tissue(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    class_names: Sequence[str],
    min_area_px: int = 0,
    pixel: float = 1.0,
) -> TissueCounts:
    """Counts one image.

    Args:
        pred: Predicted tissue map `(H, W)`.
        truth: True tissue map `(H, W)`, 255 unlabelled.
        class_names: Tissue class names; the first one is background and not scored.
        min_area_px: Smaller connected components take no part in the panoptic scores.
        pixel: Side of the maps' pixels, in pixels of the image.
    """
    ids = range(1, len(class_names))
    known = truth != UNLABELLED
    overlaps = class_overlaps(pred, truth, ids)
    regions = tissue_panoptic_quality(pred, truth, ids, min_area_px)
    masks = {i: (labelled_part(pred == i, truth == i, known), truth == i) for i in ids}
    farthest = {i: (hausdorff_distance(*masks[i]), hausdorff_distance(*masks[i], percentile=95)) for i in ids}
    return TissueCounts(
        {class_names[i]: (int(row[0]), int(row[1])) for i, row in zip(ids, overlaps, strict=True)},
        {class_names[i]: quality for i, quality in regions.items()},
        {class_names[i]: (hd * pixel, hd95 * pixel) for i, (hd, hd95) in farthest.items()},
    )


def _add_by_name(a: dict[str, AddableT], b: dict[str, AddableT], zero: AddableT) -> dict[str, AddableT]:
    return {name: a.get(name, zero) + b.get(name, zero) for name in {**a, **b}}  # type: ignore[operator]


def mean_of_known(values: Sequence[float]) -> float:
    """Mean of what is defined; NaN when nothing is.

    Example:
        >>> mean_of_known([1.0, float("nan"), 0.0])
        0.5
    """
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def mean_over_images(scores: Sequence[Scores]) -> Scores:
    """Mean of each score over the images where it is defined (the paper's aggregation)."""
    names = dict.fromkeys(name for row in scores for name in row)
    return {name: mean_of_known([row.get(name, float("nan")) for row in scores]) for name in names}

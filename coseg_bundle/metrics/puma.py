"""The official scores of the PUMA challenge, odd rules included (its published evaluator, tracks 1 and 2).

They are kept apart from the other metrics because they differ from them on purpose: nothing here is NaN, a class that
an image lacks counts as 0 in the mean over files, and nuclei match by class, score and distance, not by overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MATCH_RADIUS_PX = 15
"""A prediction matches when its centroid lies closer than this."""

TISSUE_CLASSES = {
    1: "tissue_stroma",
    2: "tissue_blood_vessel",
    3: "tissue_tumor",
    4: "tissue_epidermis",
    5: "tissue_necrosis",
}
"""The scored classes; 0 is white background."""

_EPSILON = 1e-5


@dataclass(frozen=True)
class Nucleus:
    """A polygon of a challenge file as the evaluator sees it.

    Attributes:
        name: Class name.
        centroid_xy: Mean of the polygon's vertices (not of its area).
        score: Confidence; 1 where the file gives none.
    """

    name: str
    centroid_xy: tuple[float, float]
    score: float = 1.0


@dataclass(frozen=True)
class NucleiScore:
    """Counts of one class; sums of them pool files."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def f1(self) -> float:
        """2PR / (P + R), 0 where undefined."""
        precision = self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0
        recall = self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def __add__(self, other: NucleiScore) -> NucleiScore:
        return NucleiScore(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


def read_nuclei(content: Mapping[str, Any]) -> list[Nucleus]:
    """Nuclei of a challenge JSON (`polygons` of `name`, `path_points`, `score`); those below 3 points are left out.

    Raises:
        ValueError: There is no list of polygons. Polygons that are none raise what Python does.
    """
    polygons = content.get("polygons") if isinstance(content, Mapping) else None
    if not isinstance(polygons, list):
        raise ValueError(f"no list under polygons, but {type(polygons).__name__}")
    nuclei = []
    for polygon in polygons:
        points = polygon["path_points"]
        if len(points) >= 3:
            x, y = np.mean(np.array([point[:2] for point in points]), axis=0).tolist()
            nuclei.append(Nucleus(str(polygon["name"]), (float(x), float(y)), float(polygon.get("score", 1))))
    return nuclei


def score_nuclei(pred: Sequence[Nucleus], truth: Sequence[Nucleus]) -> dict[str, NucleiScore]:
    """Counts of one file for each class that occurs in it.

    True nuclei choose in file order: among the predictions of their class that lie closer than 15 px and are left, the
    highest score, then the nearest, then the first. The prediction that is used up is the first one left with the
    chosen centroid, which matters where predictions lie exactly on each other.
    """
    scores = {}
    for name in sorted({nucleus.name for nucleus in (*pred, *truth)}):
        of_pred = [nucleus for nucleus in pred if nucleus.name == name]
        of_truth = [nucleus for nucleus in truth if nucleus.name == name]
        tp = _matches(of_pred, of_truth)
        scores[name] = NucleiScore(tp, len(of_pred) - tp, len(of_truth) - tp)
    return scores


def _matches(pred: Sequence[Nucleus], truth: Sequence[Nucleus]) -> int:
    centroids = np.array([nucleus.centroid_xy for nucleus in pred]).reshape(-1, 2)
    confidence = np.array([nucleus.score for nucleus in pred], float)
    left = np.ones(len(pred), bool)
    matched = 0
    for nucleus in truth:
        distance = np.linalg.norm(centroids - np.array(nucleus.centroid_xy), axis=1)
        near = np.flatnonzero(left & (distance < MATCH_RADIUS_PX))
        if not near.size:
            continue
        best = near[np.lexsort((distance[near], -confidence[near]))[0]]
        same_place = left & (centroids == centroids[best]).all(1)
        left[np.flatnonzero(same_place)[0]] = False
        matched += 1
    return matched


@dataclass(frozen=True)
class PumaNucleiScores:
    """Scores of several files.

    Attributes:
        f1: Of each class, the mean over all files; a file without the class counts as 0.
        macro_f1: Mean of `f1` over classes (`macro_f1_nuclei_average` of the evaluator).
        summed_f1: Of each class, from the counts of all files together.
        summed_macro_f1: Mean of `summed_f1` over classes.
    """

    f1: dict[str, float]
    macro_f1: float
    summed_f1: dict[str, float]
    summed_macro_f1: float


def aggregate_nuclei(files: Sequence[Mapping[str, NucleiScore]]) -> PumaNucleiScores:
    """Scores of several files, from `score_nuclei` of each.

    Raises:
        ValueError: There is no file.
    """
    if not files:
        raise ValueError("Expected at least one file to score.")
    names = sorted({name for file in files for name in file})
    f1 = {name: sum(file[name].f1 for file in files if name in file) / len(files) for name in names}
    sums = {name: sum((file[name] for file in files if name in file), NucleiScore()) for name in names}
    summed = {name: total.f1 for name, total in sums.items()}
    return PumaNucleiScores(f1, _mean(f1.values()), summed, _mean(summed.values()))


def tissue_dice(pred: NDArray[np.integer], truth: NDArray[np.integer]) -> dict[str, float]:
    """Dice of each class of one image, 1 where neither map has it, and their mean as `average_dice`.

    Args:
        pred: `(1024, 1024)` class ids; other sizes are for the caller to bring there by nearest neighbours.
        truth: The same.
    """
    scores = {}
    for class_id, name in TISSUE_CLASSES.items():
        both, total = _overlap(pred, truth, class_id)
        scores[name] = (2 * both + _EPSILON) / (total + _EPSILON) if total else 1.0
    return {**scores, "average_dice": _mean(scores.values())}


def tissue_micro_dice(pairs: Iterable[tuple[NDArray[np.integer], NDArray[np.integer]]]) -> dict[str, float]:
    """Dice of each class over all images (pred, truth) as if they were one, and their mean as `average_micro_dice`.

    A class without any overlap scores 0, also where neither side has it.
    """
    sums = dict.fromkeys(TISSUE_CLASSES, (0, 0))
    for pred, truth in pairs:
        for class_id in TISSUE_CLASSES:
            both, total = _overlap(pred, truth, class_id)
            sums[class_id] = (sums[class_id][0] + both, sums[class_id][1] + total)
    scores = {
        TISSUE_CLASSES[class_id]: (2 * both + _EPSILON) / (total + _EPSILON) if both else 0.0
        for class_id, (both, total) in sums.items()
    }
    return {**scores, "average_micro_dice": _mean(scores.values())}


def _overlap(pred: NDArray[np.integer], truth: NDArray[np.integer], class_id: int) -> tuple[int, int]:
    if pred.shape != truth.shape:
        raise ValueError(f"Expected maps of one shape, got prediction {pred.shape} and truth {truth.shape}.")
    in_pred, in_truth = pred == class_id, truth == class_id
    return int((in_pred & in_truth).sum()), int(in_pred.sum() + in_truth.sum())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

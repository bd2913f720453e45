"""Scores a folder of predictions: per image, mean over images, pooled."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.images import read_image, read_label_of, stem_of
from coseg_bundle.evaluation.counts import (
    NucleiCounts,
    Scores,
    TissueCounts,
    count_nuclei,
    count_tissue,
    mean_over_images,
)
from coseg_bundle.evaluation.prediction_files import extra_predictions, read_prediction

PAPER_TABLES = {
    "Tissue semantic segmentation (the paper's table 1)": {
        "Dice": "tissue_dice",
        "mIoU": "tissue_miou",
        "HD": "tissue_hd",
        "HD95": "tissue_hd95",
    },
    "Nuclei instance segmentation (table 2)": {
        "F1": "nuclei_f1",
        "Precision": "nuclei_precision",
        "Recall": "nuclei_recall",
        "AJI": "nuclei_aji",
        "AJI+": "nuclei_aji_plus",
        "Dice": "nuclei_dice",
    },
    "Panoptic segmentation (table 3)": {
        "PQ tissue": "tissue_pq",
        "DQ tissue": "tissue_dq",
        "SQ tissue": "tissue_sq",
        "PQ nuclei": "nuclei_pq",
        "DQ nuclei": "nuclei_dq",
        "SQ nuclei": "nuclei_sq",
    },
}
_IN_PIXELS = ("tissue_hd", "tissue_hd95")
"""Distances; every other score is a share and printed in percent."""


@dataclass
class Report:
    """Scores of a folder of predictions.

    Attributes:
        per_image: Scores by image; a score that is undefined there is NaN.
        mean: Mean of each score over the images where it is defined: the paper's aggregation.
        pooled: Scores of all images' counts together.
        missing: Images whose prediction lacks a labelled task, as `"image: task"`. They count as empty predictions.
        extra: Predictions without an image in the datalist.
    """

    per_image: dict[str, Scores] = field(default_factory=dict)
    mean: Scores = field(default_factory=dict)
    pooled: Scores = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    _counts: tuple[NucleiCounts, TissueCounts] = field(default=(NucleiCounts(), TissueCounts()), repr=False)

    def add(self, image: str, of_nuclei: NucleiCounts | None, of_tissue: TissueCounts | None) -> None:
        """Takes an image in; None stands for a task that it has no labels for.

        Raises:
            ValueError: There is an image of this name already.
        """
        if image in self.per_image:
            raise ValueError(f"Two images are called {image}; rename one of them.")
        self.per_image[image] = {
            name: value
            for counts in (of_nuclei, of_tissue)
            if counts is not None
            for name, value in counts.scores().items()
        }
        nuclei, tissue = self._counts
        self._counts = nuclei + (of_nuclei or NucleiCounts()), tissue + (of_tissue or TissueCounts())
        self.mean = mean_over_images(list(self.per_image.values()))
        pooled = {**self._counts[0].scores(), **self._counts[1].scores()}
        self.pooled = {name: value for name, value in pooled.items() if name in self.mean}


def evaluate(
    items: Sequence[dict[str, Any]],
    predictions: Path,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int = 0,
) -> Iterator[Report]:
    """Scores images one after the other.

    Args:
        items: Items of a datalist, with absolute paths.
        predictions: Folder of predictions (see `prediction_files`).
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first.
        min_tissue_area_px: Smaller tissue regions take no part in the panoptic scores.

    Yields:
        The report so far, after each image; the last one is complete.

    Raises:
        ImageFileError: A label or a prediction is unusable.
        ValueError: Two images have the same stem.
    """
    stems = [stem_of(item[keys.IMAGE]) for item in items]
    if len(set(stems)) < len(stems):
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        raise ValueError(f"Predictions are found by the image's stem, and two images are called {', '.join(twice)}.")
    report = Report(extra=extra_predictions(predictions, stems))
    for stem, item in zip(stems, items, strict=True):
        of_nuclei, of_tissue, missing = _count_files(
            item, predictions, stem, tissue_classes, nuclei_classes, min_tissue_area_px
        )
        report.missing += [f"{stem}: {task}" for task in missing]
        report.add(stem, of_nuclei, of_tissue)
        yield report


def _count_files(
    item: dict[str, Any],
    predictions: Path,
    stem: str,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int,
) -> tuple[NucleiCounts | None, TissueCounts | None, list[str]]:
    """Counts of the tasks that the item has labels for, and the tasks without a prediction."""
    wanted = [key for key in (keys.INSTANCES, keys.TISSUE) if key in item]
    image = item[keys.IMAGE]
    shape = read_image(image).rgb.shape[:2]
    truth = {key: read_label_of(image, shape, item[key]) for key in keys.LABELS if key in item}
    found = read_prediction(predictions, stem, shape, nuclei_classes, wanted)
    nothing = np.zeros(shape, np.int32)
    of_nuclei, of_tissue = count_image(
        nothing if found.instance_map is None else found.instance_map,
        nothing if found.tissue_map is None else found.tissue_map,
        found.type_map,
        truth,
        tissue_classes,
        nuclei_classes,
        min_tissue_area_px,
    )
    missing = [
        task
        for task, counts, given in (
            ("nuclei", of_nuclei, found.instance_map),
            ("tissue", of_tissue, found.tissue_map),
        )
        if counts is not None and given is None
    ]
    return of_nuclei, of_tissue, missing


def count_image(
    instance_map: NDArray[np.integer],
    tissue_map: NDArray[np.integer],
    type_map: NDArray[np.integer] | None,
    truth: Mapping[str, NDArray[np.integer]],
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int = 0,
) -> tuple[NucleiCounts | None, TissueCounts | None]:
    """Counts the tasks that an image has labels for; None for the others.

    Args:
        instance_map: Predicted instances `(H, W)`.
        tissue_map: Predicted tissue class ids `(H, W)`.
        type_map: Predicted type ids `(H, W)`, or None.
        truth: The labels `(H, W)` that there are, by the names of `keys.LABELS`.
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first.
        min_tissue_area_px: Smaller tissue regions take no part in the panoptic scores.
    """
    instances, tissue = truth.get(keys.INSTANCES), truth.get(keys.TISSUE)
    of_nuclei, of_tissue = None, None
    if instances is not None and (instances != UNLABELLED_INSTANCE).any():
        of_nuclei = count_nuclei(instance_map, instances, type_map, truth.get(keys.TYPES), nuclei_classes)
    if tissue is not None and (tissue != UNLABELLED).any():
        of_tissue = count_tissue(tissue_map, tissue, tissue_classes, min_tissue_area_px)
    return of_nuclei, of_tissue


def write_report(report: Report, folder: Path, title: str) -> None:
    """Writes `report.json`, `per_image.csv` and `report.md`; NaN becomes null, an empty cell, a dash."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "aggregations": {"mean": "mean over images, undefined scores left out", "pooled": "counts of all images added"},
        "mean": _plain(report.mean),
        "pooled": _plain(report.pooled),
        "per_image": {stem: _plain(scores) for stem, scores in report.per_image.items()},
        "missing": report.missing,
        "extra": report.extra,
    }
    with whole_file(folder / "report.json") as path:
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with whole_file(folder / "per_image.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *report.mean])
        for stem, scores in report.per_image.items():
            values = [scores.get(name, float("nan")) for name in report.mean]
            writer.writerow([stem, *("" if np.isnan(value) else f"{value:.6f}" for value in values)])
    with whole_file(folder / "report.md") as path:
        path.write_text(markdown(report, title), encoding="utf-8")


def markdown(report: Report, title: str) -> str:
    """The paper's three tables, each with both aggregations, and what was missing."""
    lines = [f"# {title}", "", f"{len(report.per_image)} images. Percent; distances in pixels."]
    for heading, columns in PAPER_TABLES.items():
        if not any(name in report.mean for name in columns.values()):
            continue
        lines += ["", f"## {heading}", "", f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for label, scores in (("mean over images", report.mean), ("pooled", report.pooled)):
            cells = [_cell(name, scores.get(name, float("nan"))) for name in columns.values()]
            lines.append(f"| {label} | {' | '.join(cells)} |")
    if any(name in report.pooled for name in _IN_PIXELS):
        lines += ["", "Pooled distances are the farthest of all images."]
    for what, names in (
        ("Without a prediction, counted as empty", report.missing),
        ("Not in the datalist", report.extra),
    ):
        if names:
            lines += ["", f"{what}: {', '.join(names)}."]
    return "\n".join(lines) + "\n"


def _cell(name: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.1f}" if name in _IN_PIXELS else f"{100 * value:.2f}"


def _plain(scores: Scores) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in scores.items()}

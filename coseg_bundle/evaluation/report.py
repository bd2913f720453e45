"""Scores a folder of predictions: per image, mean over images, pooled."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import not_replaced, whole_file
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.images import ImageFileError, read_image, read_instances_of, read_label_of, stem_of
from coseg_bundle.data.images.files import first_line, spares_others
from coseg_bundle.data.images.orientation import turned_beside_labels
from coseg_bundle.data.labels.maps import untyped
from coseg_bundle.evaluation.counts import (
    DISTANCES,
    UNIT,
    NucleiCounts,
    Scores,
    TissueCounts,
    count_nuclei,
    count_tissue,
    mean_of_known,
    mean_over_images,
)
from coseg_bundle.evaluation.prediction_files import (
    PredictedMaps,
    extra_predictions,
    names_of,
    other_files,
    read_prediction,
    untrained_of,
)
from coseg_bundle.evaluation.scored import nuclei_of_no_class, of_no_class, only_background, unlike_pixels

_PICTURES = ("scores.png", *(f"{which}_{task}.png" for which in ("worst", "best") for task in ("nuclei", "tissue")))
_FILES = ("report.json", "per_image.csv", "report.md", *_PICTURES)

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
_OPTION = {keys.TISSUE: "tissue-classes", keys.TYPES: "nuclei-classes"}


@dataclass
class Report:
    """Scores of a folder of predictions.

    Attributes:
        per_image: Scores by image; a score that is undefined there is NaN.
        mean: Mean of each score over the images where it is defined: the paper's aggregation.
        pooled: Scores of all images' counts together.
        missing: Images whose prediction lacks a labelled task, as `"image: task"`. They count as empty predictions.
        extra: Predictions without an image in the datalist.
        failed: A sentence for each image, or task of an image, that could not be scored; it is in no score.
        notes: Sentences on how files were read, and on what was left out of them.
        none_found: Images with labelled nuclei in which none was found.
        labels: Checksums of the labels of each image (`label_checksums`).
    """

    per_image: dict[str, Scores] = field(default_factory=dict)
    mean: Scores = field(default_factory=dict)
    pooled: Scores = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    none_found: list[str] = field(default_factory=list)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
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
        if of_nuclei is not None and of_nuclei.none_found:
            self.none_found.append(image)
        nuclei, tissue = self._counts
        self._counts = nuclei + (of_nuclei or NucleiCounts()), tissue + (of_tissue or TissueCounts())
        self.mean = mean_over_images(list(self.per_image.values()))
        pooled = {**self._counts[0].scores(), **self._counts[1].scores()}
        self.pooled = {name: value for name, value in pooled.items() if name in self.mean}

    def leave_out_classes(self) -> None:
        """Takes the scores of nuclei classes out: where no prediction tells any, they are of empty ones."""
        of_classes = {name for name in self.mean if name.startswith((*_OF_CLASS, "nuclei_mpq"))}
        for scores in (*self.per_image.values(), self.mean, self.pooled):
            for name in of_classes & scores.keys():
                del scores[name]
        nuclei, tissue = self._counts
        self._counts = replace(nuclei, by_class={}), tissue


def evaluate(
    items: Sequence[dict[str, Any]],
    predictions: Path,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int = 0,
    tissue_by_name: bool = False,
) -> Iterator[Report]:
    """Scores images one after the other; one whose files cannot be used does not stop the others.

    Args:
        items: Items of a datalist, with absolute paths.
        predictions: Folder of predictions (see `prediction_files`).
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first.
        min_tissue_area_px: Smaller tissue regions take no part in the panoptic scores.
        tissue_by_name: Whether tissue of `coseg predict`, which says its names, is told by them; by its ids otherwise.

    Yields:
        The report so far, after each image; the last one is complete.

    Raises:
        ImageFileError: No image can be scored.
        ValueError: An image is in the datalist twice.
    """
    stems = names_of(items)
    report = Report(extra=extra_predictions(predictions, {*stems, *(stem_of(item[keys.IMAGE]) for item in items)}))
    tissue, with_classes = set[int](), set[bool]()
    without_class = 0
    for stem, item in zip(stems, items, strict=True):
        try:
            classes = tissue_classes, nuclei_classes
            counted = _count_files(item, predictions, stem, *classes, min_tissue_area_px, tissue_by_name)
        except Exception as error:
            if not spares_others(error):
                raise
            report.failed.append(f"{stem}: {first_line(error)}")
        else:
            report.missing += [f"{stem}: {task}" for task in counted.missing]
            report.failed += [f"{stem}: {sentence}" for sentence in counted.unscored]
            report.notes += counted.notes
            report.add(stem, counted.nuclei, counted.tissue)
            tissue |= counted.tissue_ids
            with_classes |= counted.with_classes
            without_class += counted.without_class
        yield report
    if not report.per_image:
        raise ImageFileError(f"None of the {len(items)} images can be scored. First: {report.failed[0]}")
    if with_classes == {False}:
        report.leave_out_classes()
    scored = [item for stem, item in zip(stems, items, strict=True) if stem in report.per_image]
    report.notes += (*only_background(tissue), *of_no_class(without_class), *unlike_pixels(scored))
    if report.missing:
        report.notes += other_files(predictions, stems)


@dataclass(frozen=True)
class _Counted:
    """What was counted on one image: None for a task without labels; tasks without a prediction; what was said; the ids
    of its tissue label; whether nuclei that were found have classes, where any were; labelled nuclei without a class,
    where classes are scored."""

    nuclei: NucleiCounts | None
    tissue: TissueCounts | None
    missing: list[str]
    unscored: list[str]
    notes: list[str]
    tissue_ids: set[int]
    with_classes: set[bool]
    without_class: int


def _count_files(
    item: dict[str, Any],
    predictions: Path,
    stem: str,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int,
    tissue_by_name: bool,
) -> _Counted:
    image = item[keys.IMAGE]
    shape = read_image(image).rgb.shape[:2]
    untrained = untrained_of(predictions, stem, image)
    truth, notes = _labels_of(item, shape, stem, untrained)
    wanted = [key for key in (keys.INSTANCES, keys.TISSUE) if key in truth]
    named = tissue_classes if tissue_by_name else ()
    found = read_prediction(predictions, stem, shape, nuclei_classes, wanted, image, named)
    nothing = np.zeros(shape, np.int32)
    if found.instance_map is not None and found.instance_map.any():
        with_classes = {found.type_map is not None and "types" not in untrained}
    else:  # every nucleus was missed, whatever its class
        found, with_classes = replace(found, type_map=nothing, unknown=""), set()
    unscored, of_classes = _leave_out_unknown(truth, found, nuclei_classes, stem)
    notes += (*found.notes, *of_classes)
    _check_ids(truth, found, item, tissue_classes, nuclei_classes)
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
    tissue_ids = set(np.unique(truth.get(keys.TISSUE, ())).tolist())
    without_class = nuclei_of_no_class(truth)
    return _Counted(of_nuclei, of_tissue, missing, unscored, notes, tissue_ids, with_classes, without_class)


def _labels_of(
    item: Mapping[str, Any], shape: tuple[int, int], stem: str, untrained: Collection[str]
) -> tuple[dict[str, NDArray[np.integer]], list[str]]:
    """The labels by which an image is judged, and what is said of them: not those of tasks that nobody taught."""
    image, notes = item[keys.IMAGE], [*turned_beside_labels(Path(item[keys.IMAGE]))]
    truth: dict[str, NDArray[np.integer]] = {
        key: read_label_of(image, shape, item[key]) for key in (keys.TYPES, keys.TISSUE) if key in item
    }
    if keys.INSTANCES in item:
        truth[keys.INSTANCES], of_truth = read_instances_of(image, shape, item[keys.INSTANCES])
        notes += of_truth
    if {keys.TYPES, keys.INSTANCES} <= truth.keys():
        truth[keys.TYPES][untyped(truth[keys.TYPES], truth[keys.INSTANCES])] = UNLABELLED
    for task, key in (("nuclei", keys.INSTANCES), ("types", keys.TYPES), ("tissue", keys.TISSUE)):
        if task in untrained and truth.pop(key, None) is not None:
            notes.append(f"{stem}: {task} not scored, the weights that predicted it were trained without labels for it")
    return truth, notes


def _leave_out_unknown(
    truth: dict[str, NDArray[np.integer]], found: PredictedMaps, nuclei_classes: Sequence[str], stem: str
) -> tuple[list[str], list[str]]:
    """Takes labels out whose classes mean nothing to the prediction: what is not scored for that, and what is said."""
    unscored, notes = [], []
    if found.unknown_tissue:
        truth.pop(keys.TISSUE)
        unscored.append(f"tissue: {found.unknown_tissue}")
    if keys.TYPES in truth:
        if len(nuclei_classes) <= 2:  # the classes of the labels say nothing to a network that knows none
            truth.pop(keys.TYPES)
            notes.append(f"{stem}: its labels have classes of nuclei, and the class names only one: none is scored")
        elif found.unknown:
            unscored.append(f"classes of nuclei: {found.unknown}")
        elif found.type_map is None:
            notes.append(f"{stem}: classes of nuclei are not scored, the prediction has none")
    elif found.unknown:
        notes.append(f"{found.unknown}; they are not scored")
    return unscored, notes


def _check_ids(
    truth: Mapping[str, NDArray[np.integer]],
    found: PredictedMaps,
    item: Mapping[str, Any],
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
) -> None:
    """Raises ImageFileError where a label, or a prediction that a label judges, has ids that no name has."""
    for key, names, predicted in (
        (keys.TISSUE, tissue_classes, found.tissue_map),
        (keys.TYPES, nuclei_classes, found.type_map),
    ):
        if key not in truth:
            continue
        label = truth[key]
        known = [*range(len(names)), UNLABELLED]
        judged = label != UNLABELLED
        for what, ids in (
            (f"the label {item[key]}", np.unique(label)),
            ("the prediction", np.unique(predicted[judged]) if predicted is not None else np.array([], int)),
        ):
            allowed = known if what != "the prediction" else known[:-1]
            if unknown := sorted(set(ids.tolist()) - set(allowed)):
                raise ImageFileError(
                    f"{what} has the ids {', '.join(map(str, unknown[:8]))} for {key}, and names are given for 0 to "
                    f"{len(names) - 1} ({', '.join(names)}); name all classes with --{_OPTION[key]}."
                )


def count_image(
    instance_map: NDArray[np.integer],
    tissue_map: NDArray[np.integer],
    type_map: NDArray[np.integer] | None,
    truth: Mapping[str, NDArray[np.integer]],
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    min_tissue_area_px: int = 0,
    pixel: float = 1.0,
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
        pixel: Side of the maps' pixels, in pixels of the image.
    """
    instances, tissue = truth.get(keys.INSTANCES), truth.get(keys.TISSUE)
    of_nuclei, of_tissue = None, None
    if instances is not None and (instances != UNLABELLED_INSTANCE).any():
        of_nuclei = count_nuclei(instance_map, instances, type_map, truth.get(keys.TYPES), nuclei_classes)
    if tissue is not None and (tissue != UNLABELLED).any():
        of_tissue = count_tissue(tissue_map, tissue, tissue_classes, min_tissue_area_px, pixel)
    return of_nuclei, of_tissue


def check_report(folder: Path) -> None:
    """Keeps a report from taking the place of other files.

    Raises:
        ValueError: A file has the name of one of a report, and no `report.json` of ours is beside it.
    """
    others = [name for name in _FILES if (folder / name).exists()]
    with suppress(OSError, ValueError, RecursionError):
        others = [] if "aggregations" in json.loads((folder / "report.json").read_text(encoding="utf-8")) else others
    if others:
        raise ValueError(not_replaced(folder / others[0], "evaluate"))


def write_report(report: Report, folder: Path, title: str) -> None:
    """Writes `report.json`, `per_image.csv` and `report.md`; NaN becomes null, an empty cell, a dash. Pictures of the
    report before, which `write_plots` made of other scores, go.

    Raises:
        ValueError: Others wrote what is there.
    """
    check_report(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PICTURES:
        (folder / name).unlink(missing_ok=True)
    content = {
        "aggregations": {"mean": "mean over images, undefined scores left out", "pooled": "counts of all images added"},
        "distances": UNIT,
        "mean": _plain(report.mean),
        "pooled": _plain(report.pooled),
        "per_image": {stem: _plain(scores) for stem, scores in report.per_image.items()},
        "missing": report.missing,
        "extra": report.extra,
        "failed": report.failed,
        "notes": report.notes,
        "none_found": report.none_found,
        "labels": report.labels,
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
    lines = [f"# {title}", "", f"{len(report.per_image)} images. Percent; distances in {UNIT}."]
    for heading, columns in PAPER_TABLES.items():
        if not any(name in report.mean for name in columns.values()):
            continue
        lines += ["", f"## {heading}", "", f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for label, scores in (("mean over images", report.mean), ("pooled", report.pooled)):
            cells = [_cell(name, scores.get(name, float("nan"))) for name in columns.values()]
            lines.append(f"| {label} | {' | '.join(cells)} |")
    if any(name in report.pooled for name in DISTANCES):
        lines += ["", "Pooled distances are the farthest of all images."]
    lines += _by_class(report)
    if report.none_found:
        many, total = len(report.none_found), sum("nuclei_pq" in row for row in report.per_image.values())
        listed = ", ".join(report.none_found[:20]) + (", ..." if many > 20 else "")
        lines += ["", f"Found no nuclei at all in {many} of {total} images with labelled nuclei: {listed}."]
    for what, names in (
        ("Without a prediction, counted as empty", report.missing),
        ("Predictions of images that are not in this section of the datalist", report.extra),
    ):
        if names:
            lines += ["", f"{what}: {', '.join(names)}."]
    for heading, sentences in (
        ("Not scored", report.failed),
        ("What was left out, and how files were read", report.notes),
    ):
        if sentences:
            lines += ["", f"## {heading}", "", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join(lines) + "\n"


def _by_class(report: Report) -> list[str]:
    """The table of nuclei classes, where they were scored."""
    names = [name.removeprefix(_OF_CLASS[0]) for name in report.mean if name.startswith(_OF_CLASS[0])]
    if not names:
        return []
    lines = ["", "## Nuclei by class", "", f"| | {' | '.join(names)} | mean |", "|---|" + "---:|" * (len(names) + 1)]
    for label, scores in (("mean over images", report.mean), ("pooled", report.pooled)):
        for score in ("PQ", "F1"):
            values = [scores.get(f"nuclei_{score.lower()}_{name}", float("nan")) for name in names]
            values.append(mean_of_known(values))
            lines.append(f"| {score}, {label} | {' | '.join(_cell('', value) for value in values)} |")
    return [
        *lines,
        "",
        "The last column is the mean of those before it. A dash stands for a class that occurs neither in the labels "
        "nor in the prediction.",
        "",
        f"mPQ, the mean over images of the mean of each image's classes: {_cell('', report.mean['nuclei_mpq'])}.",
    ]


_OF_CLASS = "nuclei_pq_", "nuclei_f1_"


def _cell(name: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.1f}" if name in DISTANCES else f"{100 * value:.2f}"


def _plain(scores: Scores) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in scores.items()}

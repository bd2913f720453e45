"""The official scores of folders of challenge files, matched by stem."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import not_replaced, whole_file
from coseg_bundle.classes import NUCLEI_PRESETS, PUMA_TRACK1_OF_TRACK2, UNLABELLED
from coseg_bundle.data.annotations import annotations_of
from coseg_bundle.data.images import ImageFileError, read_label, stem_of
from coseg_bundle.data.images.files import sentence_of, spares_others
from coseg_bundle.data.labels.json_files import kind_of
from coseg_bundle.data.listing import listed
from coseg_bundle.data.puma import ROI_SIZE, Track
from coseg_bundle.metrics.puma import (
    TISSUE_CLASSES,
    Nucleus,
    aggregate_nuclei,
    read_nuclei,
    score_nuclei,
    tissue_dice,
    tissue_micro_dice,
)
from coseg_bundle.postprocessing.resample import resample_nearest

Task = Literal["nuclei", "tissue"]
_SUFFIXES: dict[Task, tuple[str, ...]] = {"nuclei": (".json", ".geojson"), "tissue": (".tif", ".tiff", ".png")}
_OF_OTHERS: dict[Task, tuple[tuple[str, ...], str]] = {
    "nuclei": (("_tissue",), "outlines of tissue, which is scored by maps (`coseg puma prepare` paints them)"),
    "tissue": (("_nuclei", "_inst", "_type"), "maps of nuclei, which are scored by JSON or GeoJSON"),
}
"""How the names of files end that are of the other task, and what they are."""

_ENDINGS = ("_nuclei", "_tissue", "_inst")
_SAID = ("missing", "extra", "failed", "notes")


def score_folders(predictions: Path, truth: Path, track: Track | None = None) -> dict[str, Any]:
    """Scores nuclei (JSON, GeoJSON) and tissue (TIFF) of two folders.

    Args:
        predictions: Folder, searched to any depth.
        truth: The same; it says which files there are.
        track: 1 merges ten classes to three before scoring; without, classes are those of the track that fits them.

    Returns:
        `{"nuclei": {...}, "tissue": {...}, "missing": [...], "extra": [...], "failed": [...], "notes": [...]}`; a task
        without truth is absent. A missing prediction counts as an empty one, what cannot be read is in no score, and
        notes are on what was left out, and on classes that are none of PUMA's.

    Raises:
        ImageFileError: There is no truth, or nothing of it can be scored.
    """
    result: dict[str, Any] = {kind: [] for kind in _SAID}
    scorers: dict[Task, Callable[..., dict[str, Any]]] = {"nuclei": _score_nuclei, "tissue": _score_tissue}
    for task, score in scorers.items():
        pred_files, truth_files = (_by_stem(folder, task, result["notes"]) for folder in (predictions, truth))
        result["missing"] += [f"{task}: {stem}" for stem in sorted(truth_files.keys() - pred_files.keys())]
        if truth_files:
            result["extra"] += [f"{task}: {stem}" for stem in sorted(pred_files.keys() - truth_files.keys())]
            pairs = {stem: (pred_files.get(stem), path) for stem, path in sorted(truth_files.items())}
            if scored := score(pairs, track, result):
                result[task] = scored
    if not result.keys() & _SUFFIXES.keys() and result["failed"]:
        raise ImageFileError(f"No file of {truth} can be scored. First: {result['failed'][0]}")
    if not result.keys() & _SUFFIXES.keys():
        why = "".join(f" {sentence}." for sentence in result["notes"])
        raise ImageFileError(f"{truth}: no nuclei (JSON, GeoJSON) and no tissue (TIFF) to score against.{why}")
    return result


def check_scores(path: Path, *folders: Path) -> None:
    """Keeps scores from taking the place of another file, and from lying among those that are scored.

    Args:
        path: Where they go.
        folders: What is scored.

    Raises:
        ValueError: They would.
    """
    if inside := [folder for folder in folders if path.resolve().is_relative_to(folder.resolve())]:
        raise ValueError(f"{path} would lie in {inside[0]}, whose files are scored; give another --output.")
    ours = False
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        there = json.loads(path.read_text(encoding="utf-8")).keys()
        ours = {"missing", "extra", "failed"} <= there and bool(there & _SUFFIXES.keys())
    if os.path.lexists(path) and not ours:
        raise ValueError(not_replaced(path, "puma score"))


def write_scores(scores: Mapping[str, Any], path: Path) -> None:
    """Writes the scores as JSON; `check_scores` has let the place pass."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")


def _by_stem(folder: Path, task: Task, notes: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    others = []
    endings, what = _OF_OTHERS[task]
    for path in listed(folder, _SUFFIXES[task], deep=True).files:
        stem = stem_of(path)
        if stem.endswith(endings):
            others.append(path)
            continue
        for ending in _ENDINGS:
            stem = stem.removesuffix(ending)
        if stem in found:
            raise ImageFileError(
                f"{path} and {found[stem]} are both the {task} of {stem}; give a folder with one of them."
            )
        found[stem] = path
    if others:
        notes.append(f"{folder}: left out: {len(others)} {what} (first: {others[0].name})")
    return found


def _nuclei(path: Path | None, track: Track | None, notes: list[str]) -> list[Nucleus]:
    if path is None:
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        is_geojson = kind_of(content) == "GeoJSON"  # an empty list too: nothing was found
        nuclei = [] if is_geojson else read_nuclei(content)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ImageFileError(f"{path}: expected a challenge file of polygons, got something else ({error}).") from error
    if is_geojson:
        drawn = annotations_of(content, path)
        drawn.raise_if_skipped()
        notes += (f"{path}: {note}" for note in drawn.notes)
        centroids = [(region.name, region.rings_xy[0].mean(axis=0)) for region in drawn.regions]
        nuclei = [Nucleus(name, (float(x), float(y))) for name, (x, y) in centroids]
    merged = PUMA_TRACK1_OF_TRACK2 if track == 1 else {}
    return [Nucleus(merged.get(n.name, n.name), n.centroid_xy, n.score) for n in nuclei]


def _score_nuclei(
    pairs: Mapping[str, tuple[Path | None, Path]], track: Track | None, result: dict[str, Any]
) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {"predictions": Counter(), "truth": Counter()}

    def score(*paths: Path | None) -> Any:
        sides = [_nuclei(path, track, result["notes"]) for path in paths]
        for count, nuclei in zip(counts.values(), sides, strict=True):
            count.update(nucleus.name for nucleus in nuclei)
        return score_nuclei(*sides)

    files = _each(pairs, score, result["failed"])
    if not files:
        return {}
    result["notes"] += _of_no_class(counts, track)
    per_file = {
        stem: {name: {**asdict(score), "f1": score.f1} for name, score in scores.items()}
        for stem, scores in files.items()
    }
    return {**asdict(aggregate_nuclei(list(files.values()))), "files": per_file}


def _of_no_class(counts: Mapping[str, Counter[str]], track: Track | None) -> list[str]:
    """A sentence for each side that has nuclei of names that its track has not; the track that fits, if none is given.

    The evaluator takes any name for a class, which is 0 in the mean where the other side has none of it.
    """
    found = {name for count in counts.values() for name in count}
    tracks: tuple[Track, ...] = (track,) if track else (2, 1)
    classes = {number: NUCLEI_PRESETS[f"puma_track{number}"].names[1:] for number in tracks}
    fits = min(tracks, key=lambda number: len(found.difference(classes[number])))
    sentences = []
    for side, count in counts.items():
        if unknown := sorted(count.keys() - set(classes[fits])):
            named = ", ".join(f"{count[name]} of {name!r}" for name in unknown)
            sentences.append(
                f"{side}: nuclei of no class of PUMA's track {fits} ({', '.join(classes[fits])}): {named}; each name "
                "counts as a class in the mean"
            )
    return sentences


def _tissue(path: Path | None, *, unlabelled: bool = False) -> NDArray[np.int32]:
    """A map of `ROI_SIZE`. Where a truth is unlabelled it is of no class: the evaluator knows nothing else."""
    if path is None:
        return np.zeros(ROI_SIZE, np.int32)
    label = read_label(path)
    ids = set(np.unique(label).tolist())
    if ids & TISSUE_CLASSES.keys() and unlabelled:  # a mask of 0 and 255 is no truth
        ids.discard(UNLABELLED)
    if ids - {0, *TISSUE_CLASSES}:
        raise ImageFileError(
            f"{path}: expected ids of PUMA's tissue classes, 0 to {max(TISSUE_CLASSES)} (in a truth with some of 1 to "
            f"{max(TISSUE_CLASSES)} also {UNLABELLED}, unlabelled), got {', '.join(map(str, sorted(ids)[:8]))}; give "
            "maps of tissue."
        )
    return resample_nearest(label, ROI_SIZE)


def _score_tissue(
    pairs: Mapping[str, tuple[Path | None, Path]], _: Track | None, result: dict[str, Any]
) -> dict[str, Any]:
    def maps(pred: Path | None, truth: Path) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        return _tissue(pred), _tissue(truth, unlabelled=True)

    per_file = _each(pairs, lambda p, t: tissue_dice(*maps(p, t)), result["failed"])
    if not per_file:
        return {}
    micro = tissue_micro_dice(maps(*pairs[stem]) for stem in per_file)
    mean = float(np.mean([scores["average_dice"] for scores in per_file.values()]))
    return {"average_dice": mean, "micro_dice": micro, "files": per_file}


def _each(
    pairs: Mapping[str, tuple[Path | None, Path]], score: Callable[[Path | None, Path], Any], failed: list[str]
) -> dict[str, Any]:
    """The score of each pair of files that can be read; a sentence goes to `failed` for every other."""
    scores = {}
    for stem, (prediction, truth) in pairs.items():
        try:
            scores[stem] = score(prediction, truth)
        except Exception as error:
            if not spares_others(error):
                raise
            failed.append(sentence_of(prediction or truth, error))
    return scores

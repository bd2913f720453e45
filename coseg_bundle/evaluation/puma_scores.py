"""The official scores of folders of challenge files, matched by stem."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.images import ImageFileError, read_label, stem_of
from coseg_bundle.data.images.files import sentence_of, spares_others
from coseg_bundle.data.listing import listed
from coseg_bundle.data.puma import ROI_SIZE
from coseg_bundle.metrics.puma import (
    Nucleus,
    aggregate_nuclei,
    read_nuclei,
    score_nuclei,
    tissue_dice,
    tissue_micro_dice,
)
from coseg_bundle.postprocessing.resample import resample_nearest

_NUCLEI = (".json", ".geojson")
_TISSUE = (".tif", ".tiff", ".png")
_ENDINGS = ("_nuclei", "_tissue", "_inst")


def score_folders(predictions: Path, truth: Path, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Scores nuclei (JSON, GeoJSON) and tissue (TIFF) of two folders.

    Args:
        predictions: Folder, searched to any depth.
        truth: The same; it says which files there are.
        names: Class name to score for each class name of the files, as `PUMA_TRACK1_OF_TRACK2`; unchanged without.

    Returns:
        `{"nuclei": {...}, "tissue": {...}, "missing": [...], "extra": [...], "failed": [...]}`; a task without truth
        is absent. A missing prediction counts as an empty one, and what cannot be read is in no score.

    Raises:
        ImageFileError: There is no truth, or nothing of it can be scored.
    """
    result: dict[str, Any] = {"missing": [], "extra": [], "failed": []}
    for task, suffixes, score in (("nuclei", _NUCLEI, _score_nuclei), ("tissue", _TISSUE, _score_tissue)):
        pred_files, truth_files = _by_stem(predictions, suffixes), _by_stem(truth, suffixes)
        result["missing"] += [f"{task}: {stem}" for stem in sorted(truth_files.keys() - pred_files.keys())]
        if truth_files:
            result["extra"] += [f"{task}: {stem}" for stem in sorted(pred_files.keys() - truth_files.keys())]
            pairs = {stem: (pred_files.get(stem), path) for stem, path in sorted(truth_files.items())}
            if scored := score(pairs, names or {}, result["failed"]):
                result[task] = scored
    if not result.keys() & {"nuclei", "tissue"} and result["failed"]:
        raise ImageFileError(f"No file of {truth} can be scored. First: {result['failed'][0]}")
    if not result.keys() & {"nuclei", "tissue"}:
        raise ImageFileError(f"{truth}: no nuclei (JSON, GeoJSON) and no tissue (TIFF) to score against.")
    return result


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in listed(folder, suffixes, deep=True).files:
        stem = stem_of(path)
        for ending in _ENDINGS:
            stem = stem.removesuffix(ending)
        if stem in found:
            raise ImageFileError(f"{path} and {found[stem]} have the same stem; keep one of them.")
        found[stem] = path
    return found


def _nuclei(path: Path | None, names: Mapping[str, str]) -> list[Nucleus]:
    if path is None:
        return []
    if path.suffix.lower() == ".geojson":
        centroids = [(region.name, region.rings_xy[0].mean(axis=0)) for region in read_annotations(path).regions]
        nuclei = [Nucleus(name, (float(x), float(y))) for name, (x, y) in centroids]
    else:
        try:
            nuclei = read_nuclei(json.loads(path.read_text(encoding="utf-8-sig")))
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ImageFileError(
                f"{path}: expected a challenge file of polygons, got something else ({error})."
            ) from error
    return [Nucleus(names.get(n.name, n.name), n.centroid_xy, n.score) for n in nuclei]


def _score_nuclei(
    pairs: Mapping[str, tuple[Path | None, Path]], names: Mapping[str, str], failed: list[str]
) -> dict[str, Any]:
    files = _each(pairs, lambda p, t: score_nuclei(_nuclei(p, names), _nuclei(t, names)), failed)
    if not files:
        return {}
    per_file = {
        stem: {name: {**asdict(score), "f1": score.f1} for name, score in scores.items()}
        for stem, scores in files.items()
    }
    return {**asdict(aggregate_nuclei(list(files.values()))), "files": per_file}


def _tissue(path: Path | None) -> NDArray[np.int32]:
    return np.zeros(ROI_SIZE, np.int32) if path is None else resample_nearest(read_label(path), ROI_SIZE)


def _score_tissue(
    pairs: Mapping[str, tuple[Path | None, Path]], _: Mapping[str, str], failed: list[str]
) -> dict[str, Any]:
    per_file = _each(pairs, lambda p, t: tissue_dice(_tissue(p), _tissue(t)), failed)
    if not per_file:
        return {}
    micro = tissue_micro_dice((_tissue(p), _tissue(t)) for p, t in map(pairs.__getitem__, per_file))
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

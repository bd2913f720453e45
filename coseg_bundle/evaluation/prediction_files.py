"""Finds and reads predictions, ours or anyone's, by the stem of their image."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.image_io import LABEL_SUFFIXES, ImageFileError, read_label, suffix_of
from coseg_bundle.data.polygons import read_geojson_instances

SUFFIXES = (*LABEL_SUFFIXES, ".mat", ".geojson")

_PLACES = {
    "instances": ("{stem}/instances", "nuclei/{stem}", "instances/{stem}", "{stem}_inst", "{stem}"),
    "tissue": ("{stem}/tissue", "tissue/{stem}", "{stem}_tissue"),
    "types": ("{stem}/types", "nuclei_type/{stem}", "types/{stem}", "{stem}_type"),
}
"""Where each kind of prediction is looked for, in this order, with any of the suffixes."""


@dataclass(frozen=True)
class PredictedMaps:
    """The predictions of one image; None where there is no file.

    Attributes:
        instance_map: `(H, W)` int32.
        type_map: `(H, W)`.
        tissue_map: `(H, W)`.
    """

    instance_map: NDArray[np.int32] | None = None
    type_map: NDArray[np.integer] | None = None
    tissue_map: NDArray[np.integer] | None = None


def find_prediction(folder: Path, stem: str, kind: str) -> Path | None:
    """The file of one kind (`instances`, `tissue`, `types`) of one image, or None."""
    for place in _PLACES[kind]:
        base = folder / place.format(stem=stem)
        for suffix in SUFFIXES:
            path = base.with_name(base.name + suffix)
            if path.is_file():
                return path
    return None


def read_prediction(
    folder: Path, stem: str, shape: tuple[int, int], nuclei_classes: Sequence[str], wanted: Sequence[str]
) -> PredictedMaps:
    """Reads the predictions of one image.

    Args:
        folder: The folder of predictions.
        stem: Stem of the image's file name.
        shape: Height and width of the image.
        nuclei_classes: Class names, background first; they give ids to the names in `nuclei.csv` and GeoJSON.
        wanted: Which kinds to read.

    Raises:
        ImageFileError: A file is unreadable or has another size than the image; the message names it.
    """
    maps: dict[str, NDArray[np.integer] | None] = {}
    if "instances" in wanted and (path := find_prediction(folder, stem, "instances")):
        maps["instance_map"], maps["type_map"] = _read_nuclei(path, shape, nuclei_classes)
    if maps.get("instance_map") is not None and (path := find_prediction(folder, stem, "types")):
        maps["type_map"] = _of_shape(read_label(path), shape, path)
    if "tissue" in wanted and (path := find_prediction(folder, stem, "tissue")):
        maps["tissue_map"] = _of_shape(read_label(path), shape, path)
    return PredictedMaps(**maps)  # type: ignore[arg-type]


def _read_nuclei(
    path: Path, shape: tuple[int, int], classes: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.integer] | None]:
    suffix = suffix_of(path)
    if suffix == ".geojson":
        instance_map, names = read_geojson_instances(path, shape)
        return instance_map, _types_from_names(instance_map, names, classes)
    if suffix == ".mat":
        return _read_mat(path, shape)
    instance_map = _of_shape(read_label(path), shape, path)
    table = path.with_name("nuclei.csv")
    if path.stem == "instances" and table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            names = {int(row["instance_id"]): row["type"] for row in csv.DictReader(file)}
        return instance_map, _types_from_names(instance_map, names, classes)
    return instance_map, None


def _read_mat(path: Path, shape: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.integer] | None]:
    """HoVer-Net's layout: `inst_map`, and `inst_type` with a class for each id in rising order."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path))
        instance_map = _of_shape(np.asarray(content["inst_map"]), shape, path)
    except (ValueError, KeyError, TypeError, NotImplementedError, MatReadError) as error:
        raise ImageFileError(f"{path}: expected a MAT file with inst_map, got something else ({error}).") from error
    if instance_map.min(initial=0) < 0 or (instance_map != np.round(instance_map)).any():
        raise ImageFileError(f"{path}: expected whole numbers from 0 in inst_map; export ids, not probabilities.")
    instance_map = instance_map.astype(np.int32)
    types = np.asarray(content.get("inst_type", [])).ravel()
    ids = np.unique(instance_map[instance_map > 0])
    if types.size != ids.size or not ids.size:
        return instance_map, None
    of_id = np.zeros(ids.max() + 1, np.int32)
    of_id[ids] = types
    return instance_map, of_id[instance_map]


def _types_from_names(
    instance_map: NDArray[np.int32], names: dict[int, str], classes: Sequence[str]
) -> NDArray[np.integer] | None:
    """Type map of instances whose class names are known; None unless every name is a class."""
    id_of = {name: class_id for class_id, name in enumerate(classes)}
    if not set(names.values()) <= set(id_of):
        return None
    of_instance = np.zeros(max(int(instance_map.max(initial=0)), *names, 0) + 1, np.int32)
    for instance_id, name in names.items():
        of_instance[instance_id] = id_of[name]
    return of_instance[instance_map]


def _of_shape(label_map: NDArray[np.integer], shape: tuple[int, int], path: Path) -> NDArray[np.int32]:
    if label_map.shape != shape:
        raise ImageFileError(
            f"{path} has shape {label_map.shape} and its image {shape}; export the prediction at the size of the image."
        )
    return label_map  # type: ignore[return-value]

"""Finds and reads predictions, ours or anyone's, by the stem of their image."""

from __future__ import annotations

import csv
import glob
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.arrays import as_ids, read_mat
from coseg_bundle.data.images import IMAGE_SUFFIXES, LABEL_SUFFIXES, ImageFileError, read_label, stem_of, suffix_of
from coseg_bundle.data.polygons import read_geojson_instances

SUFFIXES = (*LABEL_SUFFIXES, ".mat", ".geojson")

_PLACES = {
    "instances": ("{stem}/instances", "nuclei/{stem}", "instances/{stem}", "{stem}_inst", "{stem}"),
    "tissue": ("{stem}/tissue", "tissue/{stem}", "{stem}_tissue"),
    "types": ("{stem}/types", "nuclei_type/{stem}", "types/{stem}", "{stem}_type"),
}
"""Where each kind of prediction is looked for, in this order, with any of the suffixes."""

_FOLDERS = {place.split("/")[0] for places in _PLACES.values() for place in places if place.endswith("/{stem}")}


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
    """The file of one kind (`instances`, `tissue`, `types`) of one image, or None.

    Raises:
        ImageFileError: Two folders of results have the stem: an image with another suffix was segmented too.
    """
    ours = sorted(path for suffix in IMAGE_SUFFIXES for path in folder.glob(f"{glob.escape(stem + suffix)}/{kind}.tif"))
    if len(ours) > 1:
        raise ImageFileError(f"{ours[0].parent} and {ours[1].parent} are results of two images; remove one of them.")
    if ours:
        return ours[0]
    for place in _PLACES[kind]:
        base = folder / place.format(stem=stem)
        for suffix in SUFFIXES:
            path = base.with_name(base.name + suffix)
            if path.is_file():
                return path
    return None


def extra_predictions(folder: Path, stems: Collection[str]) -> list[str]:
    """Stems of predictions, in any of the places, that no image has."""
    files = [
        path for path in (*folder.glob("*"), *folder.glob("*/*")) if suffix_of(path) in SUFFIXES and path.is_file()
    ]
    found = {_stem_of_prediction(path.relative_to(folder)) for path in files}
    return sorted(stem for stem in found if stem and stem not in stems)


def _stem_of_prediction(path: Path) -> str | None:
    folder, name = path.parent.name, stem_of(path)
    if folder:
        if name in _PLACES:  # STEM/instances.tif
            return stem_of(folder) if suffix_of(folder) in IMAGE_SUFFIXES else folder
        return name if folder in _FOLDERS else None
    for ending in ("_inst", "_tissue", "_type"):
        name = name.removesuffix(ending)
    return name


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
        try:
            with table.open(newline="", encoding="utf-8") as file:
                names = {int(row["instance_id"]): row["type"] for row in csv.DictReader(file)}
        except (ValueError, KeyError, TypeError) as error:
            raise ImageFileError(f"{table}: expected columns instance_id and type ({error}); predict again.") from error
        return instance_map, _types_from_names(instance_map, names, classes)
    return instance_map, None


def _read_mat(path: Path, shape: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.integer] | None]:
    """HoVer-Net's layout: `inst_map`, and `inst_type` with a class for each id in rising order."""
    content = read_mat(path, "inst_map")
    instance_map = as_ids(content["inst_map"], f"{path}: inst_map", shape)
    types = as_ids(np.reshape(content.get("inst_type", []), -1), f"{path}: inst_type")
    ids = np.unique(instance_map[instance_map > 0])
    if types.size != ids.size or not ids.size:
        return instance_map, None
    row = np.where(instance_map > 0, np.searchsorted(ids, instance_map) + 1, 0)
    return instance_map, np.concatenate([[0], types])[row]


def _types_from_names(
    instance_map: NDArray[np.int32], names: dict[int, str], classes: Sequence[str]
) -> NDArray[np.integer] | None:
    """Type map of instances whose class names are known; None unless every name is a class."""
    id_of = {name: class_id for class_id, name in enumerate(classes)}
    if not set(names.values()) <= set(id_of):
        return None
    present, row = np.unique(instance_map, return_inverse=True)
    types = np.array([id_of[names[i]] if i in names else 0 for i in present.tolist()], np.int32)
    return types[row].reshape(instance_map.shape)


def _of_shape(label_map: NDArray[np.integer], shape: tuple[int, int], path: Path) -> NDArray[np.int32]:
    if label_map.shape != shape:
        raise ImageFileError(
            f"{path} has shape {label_map.shape} and its image {shape}; export the prediction at the size of the image."
        )
    return label_map  # type: ignore[return-value]

"""Finds and reads predictions, ours or anyone's, by the stem of their image."""

from __future__ import annotations

import csv
import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, place_of
from coseg_bundle.data.classes import told_by_name
from coseg_bundle.data.images import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    ImageFileError,
    composed,
    read_label,
    spellings,
    stem_of,
    suffix_of,
)
from coseg_bundle.data.images.volumes import check_same_axes
from coseg_bundle.data.labels.foreign import (
    ENDINGS,
    NUCLEI_SUFFIXES,
    NucleiMap,
    misnamed,
    nuclei_suffix,
    read_nuclei,
    stem_of_nuclei,
)
from coseg_bundle.data.labels.nuclei import first_of
from coseg_bundle.data.labels.objects import known_class
from coseg_bundle.data.labels.partners import distinct_names
from coseg_bundle.fingerprint import is_junk
from coseg_bundle.writers.folders import check_own, recorded, without_mark
from coseg_bundle.writers.summary import SUMMARY, BrokenRecordError, read_record, untrained_in

_PLACES = {
    "instances": (
        "{stem}/instances",
        *(f"{place}{{stem}}{ending}" for place in ("nuclei/", "instances/", "mat/", "json/", "") for ending in ENDINGS),
    ),
    "tissue": ("{stem}/tissue", "tissue/{stem}", "{stem}_tissue"),
    "types": ("{stem}/types", "nuclei_type/{stem}", "types/{stem}", "{stem}_type"),
}
"""Where each kind of prediction is looked for, in this order, with any of the suffixes; `mat/` and `json/` are
HoVer-Net's."""

_NUCLEI_SUFFIXES = sorted(NUCLEI_SUFFIXES, key=IMAGE_SUFFIXES.__contains__)
"""Those first that only labels have: a copy of the image may lie beside them."""

_FOLDERS = {place.split("/")[0] for places in _PLACES.values() for place in places if "/{stem}" in place}


@dataclass(frozen=True)
class PredictedMaps:
    """The predictions of one image; None where there is no file.

    Attributes:
        instance_map: `(H, W)` int32.
        type_map: `(H, W)`.
        tissue_map: `(H, W)`.
        notes: Sentences on how the files were read.
        unknown: A sentence where the nuclei have classes that are not known; then they have no `type_map`.
        unknown_tissue: The same of tissue; then there is no `tissue_map`.
    """

    instance_map: NDArray[np.int32] | None = None
    type_map: NDArray[np.integer] | None = None
    tissue_map: NDArray[np.integer] | None = None
    notes: tuple[str, ...] = ()
    unknown: str = ""
    unknown_tissue: str = ""


def names_of(items: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each image of a datalist, by which its predictions are found: its stem, with folders in front
    (`x_a`, as `coseg datalist` calls them) where two have the same.

    Raises:
        ValueError: An image is there twice.
    """
    images = [Path(item[keys.IMAGE]) for item in items]
    if twice := [str(image) for image, number in Counter(images).items() if number > 1]:
        raise ValueError(f"{twice[0]} is in the datalist twice; remove one of the two items.")
    top = Path(os.path.commonpath([image.parent for image in images])) if images else Path()
    return list(distinct_names(images, top).values())


def find_prediction(folder: Path, stem: str, kind: str, image: str | PathLike[str] | None = None) -> Path | None:
    """The file of one kind (`instances`, `tissue`, `types`) of one image, or None.

    Args:
        folder: The folder of predictions.
        stem: Name of the image.
        kind: What is looked for.
        image: The image: it may lie in the folder and is no prediction of itself, and results say whose they are.

    Raises:
        ImageFileError: Two folders of results have the stem: an image with another suffix was segmented too.
        ResultsFolderError: It is not what `coseg predict` wrote there.
    """
    ours = [path for place in _results_of(folder, stem, image) if (path := place / f"{kind}.tif").is_file()]
    if len(ours) > 1:
        raise ImageFileError(f"{ours[0].parent} and {ours[1].parent} are results of two images; remove one of them.")
    if ours:
        return _own(ours[0])
    first = next(_candidates(folder, stem, kind, image), None)
    return first and _own(first)


def _candidates(folder: Path, stem: str, kind: str, image: str | PathLike[str] | None) -> Iterator[Path]:
    """The files that may be the prediction, the first one preferred."""
    suffixes = _NUCLEI_SUFFIXES if kind == "instances" else LABEL_SUFFIXES
    for place, suffix, name in product(_PLACES[kind], suffixes, spellings(stem, image)):
        path = folder / (place.format(stem=name) + suffix)
        if path.is_file() and (image is None or not path.samefile(image)):
            yield path


def _others(path: Path, folder: Path, stem: str, image: str | PathLike[str] | None) -> Iterator[str]:
    """A sentence for each other file of the same nuclei; HoVer-Net writes two, and the image may have a copy there."""
    copies = [folder / (name + suffix) for name in spellings(stem, image) for suffix in IMAGE_SUFFIXES]
    for other in _candidates(folder, stem, "instances", image):
        if (
            not other.samefile(path)
            and other not in copies
            and (path.parent.name, other.parent.name) != ("mat", "json")
        ):
            yield f"{other}: not read, {path.relative_to(folder)} is about the same image"


def _own(path: Path) -> Path:
    """The same path, whose file is what `coseg predict` wrote where it wrote the folder."""
    with suppress(OSError, BrokenRecordError):  # none of ours, or said by `untrained_of`
        check_own(
            path.parent,
            read_record(path.parent / SUMMARY),
            path.name,
            *(["nuclei.csv"] if path.stem == "instances" else []),
        )
    return path


def extra_predictions(folder: Path, stems: Collection[str]) -> list[str]:
    """Stems of predictions, in any of the places, that no image has."""
    files = [path for path in (*folder.glob("*"), *folder.glob("*/*")) if _may_be_prediction(path.relative_to(folder))]
    found = {_stem_of_prediction(path.relative_to(folder)) for path in files if path.is_file()}
    return sorted(stem for stem in found if stem and stem not in stems)


def other_files(folder: Path, stems: Collection[str]) -> list[str]:
    """What lies in JSON files that are called as no image is: a sentence for each of the first three."""
    sentences = []
    for path in sorted(folder.glob("*.json"))[:3]:
        if not is_junk(path.name) and stem_of_nuclei(path) not in stems:
            try:
                sentences.append(misnamed(path))
            except (ImageFileError, OSError):
                continue
    return sentences


def untrained_of(folder: Path, stem: str, image: str | PathLike[str] | None = None) -> tuple[str, ...]:
    """Tasks that `coseg predict` left out of the results of an image, since nobody taught them to the network."""
    for path in [*(folder / name for name in spellings(stem, image)), *_results_of(folder, stem, image)]:
        if (path / SUMMARY).is_file():
            try:
                return untrained_in(read_record(path / SUMMARY))
            except BrokenRecordError as error:
                raise ImageFileError(f"{error}; predict again.") from error
    return ()


def _results_of(folder: Path, stem: str, image: str | PathLike[str] | None) -> list[Path]:
    """Folders of results of an image: called as it is, or made from it where several images have its name."""
    named = list[Path]()
    for name, suffix in product(spellings(stem, image), IMAGE_SUFFIXES):
        path = folder / (name + suffix)
        if path.is_dir() and not any(map(path.samefile, named)):  # a Mac finds one folder under each spelling
            named.append(path)
    if named or image is None:
        return named
    image = Path(image)
    of_name = sorted(path.parent for path in folder.glob(f"{glob.escape(image.name)}*/{SUMMARY}"))
    return [path for path in of_name if _is_made_from(path, image.resolve())]


def _is_made_from(folder: Path, image: Path) -> bool:
    try:
        made_from = recorded(folder)
    except BrokenRecordError:
        return False
    return made_from is not None and made_from.get("file") == str(image)


def _may_be_prediction(path: Path) -> bool:
    suffix = nuclei_suffix(path)
    return suffix in NUCLEI_SUFFIXES and not suffix.startswith(".json") and not any(map(is_junk, path.parts))


def _stem_of_prediction(path: Path) -> str | None:
    folder, name = map(composed, (path.parent.name, path.name[: len(path.name) - len(nuclei_suffix(path))]))
    if folder:
        if name in _PLACES:  # STEM/instances.tif
            folder = without_mark(folder)
            return stem_of(folder) if suffix_of(folder) in IMAGE_SUFFIXES else folder
        return stem_of_nuclei(path) if folder in _FOLDERS else None
    for ending in ("_tissue", "_type"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return stem_of_nuclei(path)


def read_prediction(
    folder: Path,
    stem: str,
    shape: tuple[int, int],
    nuclei_classes: Sequence[str],
    wanted: Sequence[str],
    image: str | PathLike[str] | None = None,
    tissue_classes: Sequence[str] = (),
) -> PredictedMaps:
    """Reads the predictions of one image.

    Args:
        folder: The folder of predictions.
        stem: Stem of the image's file name.
        shape: Height and width of the image.
        nuclei_classes: Class names, background first; they give ids to the names in `nuclei.csv` and GeoJSON.
        wanted: Which kinds to read.
        image: The image, where it may lie in the folder.
        tissue_classes: Class names of the labels; by them the tissue of `coseg predict`, which says its own, gets their
            ids.

    Raises:
        ImageFileError: A file is unreadable or has another size or (NIfTI) other axes than the image; the message names
            it.
    """
    found, read = PredictedMaps(), list[Path]()
    if "instances" in wanted and (path := find_prediction(folder, stem, "instances", image)):
        found = _read_nuclei(path, stem, shape, nuclei_classes)
        found = replace(found, notes=(*found.notes, *_others(path, folder, stem, image)))
        read.append(path)
        if types := find_prediction(folder, stem, "types", image):
            found = replace(found, type_map=_of_shape(read_label(types), shape, types), unknown="")
            read.append(types)
    if "tissue" in wanted and (path := find_prediction(folder, stem, "tissue", image)):
        found = replace(found, **_read_tissue(path, shape, tissue_classes))
        read.append(path)
    if image is not None:
        for path in read:
            check_same_axes(Path(image), path)
    return found


def _read_tissue(path: Path, shape: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    tissue_map = _of_shape(read_label(path), shape, path)
    names = _written_down(path.parent, "tissue_classes") if classes else ()
    if not names or list(names) == list(classes):
        return {"tissue_map": tissue_map}
    told = told_by_name(classes, names)
    if told is None or len(set(told)) < len(told):
        of_labels, of_network = ", ".join(classes), ", ".join(names)
        return {"unknown_tissue": f"{path}: it has the classes {of_network}, and the labels {of_labels}"}
    ids = np.arange(max(len(names), int(tissue_map.max(initial=0)) + 1), dtype=np.int32)
    ids[: len(names)] = 0
    ids[told] = np.arange(len(told))
    return {"tissue_map": ids[tissue_map]}


def _written_down(folder: Path, kind: str) -> Sequence[str]:
    """The class names that `coseg predict` wrote down beside its files; none for those of others."""
    with suppress(BrokenRecordError):  # said by `untrained_of`
        names = (recorded(folder) or {}).get(kind)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    return ()


def _read_nuclei(path: Path, stem: str, shape: tuple[int, int], classes: Sequence[str]) -> PredictedMaps:
    nuclei = read_nuclei(path, shape, stem)
    names, table = nuclei.names, path.with_name("nuclei.csv")
    if stem_of(path) == "instances" and table.is_file():
        names = _names_of(table)
    if names is None:
        return _without_names(path, nuclei)
    class_of = {i: _class_of(name, classes) for i, name in names.items()}
    unknown = sorted({names[i] for i, known in class_of.items() if known is None and names[i]})
    if unknown and told_by_name(classes, _written_down(path.parent, "nuclei_classes")) is not None:
        counted = f"{path}: the labels have no {first_of(unknown)}, so that counts as none of their classes"
        nuclei, unknown = replace(nuclei, notes=(*nuclei.notes, counted)), []
    if unknown:
        sentence = f"{path}: unknown classes {first_of(unknown)}, expected some of {', '.join(classes)}"
        return PredictedMaps(nuclei.instances, notes=nuclei.notes, unknown=sentence)
    if not any(names.values()):
        return PredictedMaps(nuclei.instances, notes=nuclei.notes)
    notes = nuclei.notes
    if without := sum(not name for name in names.values()):
        notes += (f"{path}: {without} nuclei have no class",)
    id_of = {i: classes.index(known) for i, known in class_of.items() if known}
    present, row = np.unique(nuclei.instances, return_inverse=True)
    types = np.array([id_of.get(i, 0) for i in present.tolist()], np.int32)[row].reshape(shape)
    return PredictedMaps(nuclei.instances, types, notes=notes)


def _without_names(path: Path, nuclei: NucleiMap) -> PredictedMaps:
    types, notes = nuclei.types, nuclei.notes
    if types is not None and (unsaid := types == UNLABELLED).any():
        without = len(np.unique(nuclei.instances[unsaid]))
        types, notes = np.where(unsaid, 0, types), (*notes, f"{path}: {without} nuclei have no class")
    return PredictedMaps(nuclei.instances, types, notes=notes)


def _class_of(name: str, classes: Sequence[str]) -> str | None:
    place = place_of(name, classes)
    return classes[place] if place is not None else known_class(name, classes)


def _names_of(table: Path) -> dict[int, str]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return {int(row["instance_id"]): row["type"] or "" for row in csv.DictReader(file)}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ImageFileError(f"{table}: expected columns instance_id and type ({error}); predict again.") from error


def _of_shape(label_map: NDArray[np.integer], shape: tuple[int, int], path: Path) -> NDArray[np.int32]:
    if label_map.shape != shape:
        raise ImageFileError(
            f"{path} has shape {label_map.shape} and its image {shape}; export the prediction at the size of the image."
        )
    return label_map  # type: ignore[return-value]

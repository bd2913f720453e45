"""Which labels of a datalist can score a network, why the others cannot, and how to know them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.classes import TISSUE_PRESETS, UNLABELLED, place_of
from coseg_bundle.data.classes import KINDS, class_names_of, told_by_name
from coseg_bundle.data.classes.check import Merging
from coseg_bundle.data.datalist import Section, load_datalist, read_class_tables
from coseg_bundle.data.images.files import ImageFileError, first_line, spares_others
from coseg_bundle.data.images.orientation import turned_beside_labels
from coseg_bundle.data.labels.maps import count_within
from coseg_bundle.evaluation.prediction_files import names_of
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.settings.values import SAME_SCALE

_TASKS = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
_WORDS = {keys.INSTANCES: "Nuclei", keys.TYPES: "Classes of nuclei", keys.TISSUE: "Tissue"}
_UNNAMED = {keys.TISSUE: TISSUE_PRESETS["gland"].names}
"""What labels without names are taken for wherever they are read."""

_UNTAUGHT = "the weights were trained without labels for it"


@dataclass(frozen=True)
class Scored:
    """What is scored.

    Attributes:
        items: Items of the datalist, without the labels that cannot be scored.
        notes: A sentence for each kind of label that is left out, missing, or merged by what the weights say.
        tissue_merge: The network's class id for each tissue id of the labels, as `LoadHistologyd` takes it.
        nuclei_merge: The same for type maps.
        tissue_unknown: Tissue classes of the network that the labels do not know.
        types_unknown: The same of nuclei.
    """

    items: list[dict[str, Any]]
    notes: tuple[str, ...]
    tissue_merge: Merging = None
    nuclei_merge: Merging = None
    tissue_unknown: tuple[int, ...] = ()
    types_unknown: tuple[int, ...] = ()


def scored_items(
    dataset_file: str,
    section: Section,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    tissue_merge: Merging = None,
    nuclei_merge: Merging = None,
    untrained: Sequence[str] = (),
    training: Mapping[str, Any] | None = None,
) -> Scored:
    """The items of a section, with the labels that the network has an answer to.

    Where the datalist names its classes, its ids are told by name; it may know fewer than the network. Where it does
    not name them, they are those of the network, or merged as they were for its training.

    Args:
        dataset_file: The datalist.
        section: `training`, `validation` or `testing`.
        tissue_classes: The network's tissue class names.
        nuclei_classes: Its nuclei class names, background first.
        tissue_merge: As `LoadHistologyd` takes it; labels whose classes are merged are not compared by name.
        nuclei_merge: The same for type maps.
        untrained: Tasks that nobody taught the network.
        training: What the weights say of their training (`About.training`): how it merged classes.

    Raises:
        DatalistError: The datalist cannot be used.
        ValueError: No label can be scored.
    """
    items = load_datalist(dataset_file, section)
    reasons = {key: _UNTAUGHT for key, task in _TASKS.items() if task in untrained}
    if keys.TYPES not in reasons and len(nuclei_classes) <= 2:
        reasons[keys.TYPES] = f"the network knows one class of nuclei ({nuclei_classes[-1]})"
    notes = []
    merges: dict[str, Merging] = {"tissue_merge": tissue_merge, "nuclei_merge": nuclei_merge}
    unknown: dict[str, tuple[int, ...]] = {}
    labelled = {key for item in items for key in item}
    for kind, names in (("tissue_classes", tissue_classes), ("nuclei_classes", nuclei_classes)):
        key, merge = KINDS[kind], kind.replace("classes", "merge")
        if key in reasons or merges[merge] is not None or key not in labelled:
            continue
        named, taught = class_names_of(dataset_file, kind, ()), (training or {}).get(merge)
        told = told_by_name(named, names) if named else None
        merged = isinstance(taught, Mapping) and sorted({str(item.get(keys.DATASET)) for item in items} & set(taught))
        if not named:
            merges[merge] = taught
            if merged or (taught and not isinstance(taught, Mapping)):
                notes.append(f"{_WORDS[key]}: the datalist names none, so ids are merged as in the weights' training.")
            elif tuple(names) != _UNNAMED.get(key):
                counted = ", ".join(f"{number} {name}" for number, name in enumerate(names))
                notes.append(f"{_WORDS[key]}: the datalist names no classes, so ids count as {counted}.")
        elif told is not None:
            merges[merge] = told
            if unknown_of := tuple(number for number in range(1, len(names)) if number not in told):
                unknown[key] = unknown_of
                of_network = ", ".join(names[number] for number in unknown_of)
                notes.append(f"{_WORDS[key]}: the labels have no {of_network}, so that counts as {named[0]}.")
            if merged:
                notes.append(
                    f"{_WORDS[key]}: ids are those that the datalist names, not those of {', '.join(merged)} in the "
                    "weights' training; take the names out of the datalist where the files have those."
                )
        elif isinstance(taught, Sequence) and len(taught) == len(named) and not _contradict(taught, named, names):
            merges[merge] = taught
            pairs = zip(named, taught, strict=True)
            counted = ", ".join(f"{name} as {names[i] if 0 <= i < len(names) else 'none'}" for name, i in pairs)
            notes.append(f"{_WORDS[key]}: merged as the weights' training did, {counted}.")
        else:
            of_network, of_labels = ", ".join(names), ", ".join(named)
            reasons[key] = f"the datalist has the classes {of_labels}, and the network {of_network}"
    for key, word in _WORDS.items():
        if not any(key in item for item in items):
            notes.append(f"{word}: not scored, no image of {section} has labels for it.")
        elif key in reasons:
            notes.append(f"{word}: not scored, {reasons[key]}.")
    kept = [{name: value for name, value in item.items() if name not in reasons} for item in items]
    if not any({keys.INSTANCES, keys.TISSUE} & item.keys() for item in kept):
        raise ValueError(
            f"{dataset_file} has nothing in {section} that this network can be scored on. {' '.join(notes)}"
        )
    of_tissue, of_types = (unknown.get(key, ()) for key in (keys.TISSUE, keys.TYPES))
    return Scored(kept, tuple(notes), **merges, tissue_unknown=of_tissue, types_unknown=of_types)


def _contradict(merge: Sequence[int], labels: Sequence[str], network: Sequence[str]) -> bool:
    """Whether a merge would count a class that the network knows as another."""
    return any(place_of(name, network) not in (None, number) for name, number in zip(labels, merge, strict=True))


@dataclass(frozen=True)
class Readable:
    """The items whose files can be read.

    Attributes:
        items: These.
        names: A name for each of their images, by its path.
        failed: A sentence for each of the others.
        notes: Sentences on how they were read, and where the tissue labels say nothing of any class, nuclei have none,
            or the images' pixels differ in size.
    """

    items: list[dict[str, Any]]
    names: dict[str, str]
    failed: tuple[str, ...]
    notes: tuple[str, ...] = ()


def readable_items(
    items: Sequence[dict[str, Any]], load: Callable[[dict[str, Any]], tuple[Mapping[Any, Any], Sequence[str]]]
) -> Readable:
    """Reads everything once, little beside the network, so that a file that is broken does not stop the others.

    Args:
        items: Items of a datalist.
        load: What reads an item, and says how (`LoadHistologyd.read`).

    Raises:
        ImageFileError: None can be read.
        ValueError: An image is there twice.
    """
    kept, names, failed, notes = [], {}, [], list[str]()
    tissue: set[int] = set()
    without_class = 0
    for name, item in zip(names_of(items), items, strict=True):
        try:
            loaded, said = load(item)
            if keys.TISSUE in item:
                tissue |= set(np.unique(loaded[keys.TISSUE]).tolist())
            without_class += nuclei_of_no_class({key: np.asarray(loaded[key]) for key in keys.LABELS if key in item})
        except Exception as error:
            if not spares_others(error):
                raise
            failed.append(f"{name}: {first_line(error)}")
        else:
            notes += (*turned_beside_labels(Path(item[keys.IMAGE])), *said)
            kept.append(item)
            names[str(item[keys.IMAGE])] = name
    if not kept:
        raise ImageFileError(f"None of the {len(items)} images can be scored. First: {failed[0]}")
    of_labels = (*only_background(tissue), *of_no_class(without_class), *unlike_pixels(kept))
    return Readable(kept, names, tuple(failed), (*notes, *of_labels))


def label_checksums(items: Iterable[Mapping[str, Any]], dataset_file: str | PathLike[str]) -> dict[str, dict[str, str]]:
    """A checksum of each kind of label that an image has, by the image's path.

    A kind differs where its file does, wherever it lies, and, of class maps, where the datalist names other classes.

    Args:
        items: Items of a datalist, with absolute paths.
        dataset_file: The datalist.

    Raises:
        DatalistError: The datalist cannot be read.
        OSError: A label cannot be read.
    """
    tables = {KINDS[kind]: table for kind, table in read_class_tables(dataset_file).items()}
    return {
        item[keys.IMAGE]: {key: _checksum(Path(item[key]), tables.get(key)) for key in keys.LABELS if key in item}
        for item in items
    }


def _checksum(label: Path, names: Mapping[str, str] | None) -> str:
    said = json.dumps(names, sort_keys=True)
    return hashlib.sha256(f"{fingerprint(label)} {said}".encode()).hexdigest()[:8]


def only_background(tissue_ids: Collection[int]) -> tuple[str, ...]:
    """What to say of tissue labels that have no class but the first one and unlabelled pixels: masks of 0 and 255."""
    if set(tissue_ids) != {0, UNLABELLED}:
        return ()
    return (
        f"Tissue: no label has anything but 0 and {UNLABELLED}, which means unlabelled; save masks as 0 and the id of "
        "their class.",
    )


def unlike_pixels(items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What to say of distances, which are in pixels of the images, where those differ in size or some are unknown."""
    sizes = [item.get(keys.MPP) for item in items if keys.TISSUE in item]
    known = sorted(size for size in sizes if size)
    unknown = len(sizes) - len(known)
    if not known or (known[-1] / known[0] - 1 <= SAME_SCALE and not unknown):
        return ()
    of_unknown = f", those of {unknown} images unknown" if unknown else ""
    return (
        f"Tissue: the images' pixels are {known[0]:.4g} to {known[-1]:.4g} um{of_unknown}, so distances (HD, HD95) in "
        "pixels mean different lengths: look at those of each image.",
    )


def nuclei_of_no_class(truth: Mapping[str, NDArray[np.integer]]) -> int:
    """How many nuclei of an image's labels, by their keys, are of unlabelled type; none where they have no types."""
    if not {keys.TYPES, keys.INSTANCES} <= truth.keys():
        return 0
    return count_within(truth[keys.TYPES] == UNLABELLED, truth[keys.INSTANCES])


def of_no_class(nuclei: int) -> tuple[str, ...]:
    """What to say of so many nuclei whose labels have no class."""
    if not nuclei:
        return ()
    return (f"Classes of nuclei: {nuclei} nuclei of the labels have none, and count in no class.",)

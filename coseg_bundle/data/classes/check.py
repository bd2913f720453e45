"""What there is in the labels of a datalist, said before a training starts."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import UNLABELLED
from coseg_bundle.data.classes.both import said_of_both
from coseg_bundle.data.classes.names import KINDS, class_names_of
from coseg_bundle.data.datalist import DatalistError, check_datasets, load_datalist, read_datalist, said_of_resolutions
from coseg_bundle.data.images import read_instances, read_label
from coseg_bundle.data.images.orientation import orientation_of
from coseg_bundle.data.labels.maps import count_within

logger = logging.getLogger(__name__)

_ANY = "nucleus"
"""The one class of nuclei where nobody names any: it is right for all of them."""

Merging = Sequence[int] | Mapping[str, Sequence[int]] | None


@dataclass(frozen=True)
class Labels:
    """What the labels of a training teach.

    Attributes:
        untrained: Tasks (`tissue`, `nuclei`, `types`) without any label, which no other network teaches and nobody
            taught the network before either.
    """

    untrained: tuple[str, ...]


def check_labels(
    dataset_file: str,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    tissue_merge: Merging = None,
    nuclei_merge: Merging = None,
    known: Sequence[str] = (),
    cache: str | None = None,
    taught: Sequence[str] = (),
) -> Labels:
    """Compares labels and class names. Warns of names without a label, of classes that no validation
    label has, of tasks without labels, and of images that are trained on and validated by.

    Args:
        dataset_file: A datalist with training and validation.
        tissue_classes: Tissue class names; an id is a position.
        nuclei_classes: Nuclei class names, background first.
        tissue_merge: As `LoadHistologyd` takes it.
        nuclei_merge: The same for type maps.
        known: Tasks that the network knows from the weights that it starts from.
        cache: File that remembers the ids of label files, by size and time of change.
        taught: Tasks that other networks teach this one: images without labels are of use for them.

    Raises:
        DatalistError: Labels have ids without a name, the datalist names the classes otherwise, a merge names an
            unknown dataset, or there are no labels at all.
    """
    training = load_datalist(dataset_file, "training")
    if not taught and not any(key in item for item in training for key in (keys.INSTANCES, keys.TISSUE)):
        raise DatalistError(
            f"{dataset_file}: no training image has labels ({keys.INSTANCES} or {keys.TISSUE}), so there is nothing to "
            "learn; put them into nuclei/ or tissue/ beside images/, with the images' stems, and list them anew."
        )
    validation = load_datalist(dataset_file, "validation")
    items = training + validation
    for sentence in (*said_of_both(training, validation), *said_of_resolutions(items)):
        logger.warning("%s.", sentence.rstrip("."))
    remembered = _Remembered(cache)
    if typed := len(nuclei_classes) > 2:
        _warn_of_untyped([item for item in training if _merged([0], nuclei_merge, item) == {0}], remembered)
    highest = max((remembered.highest(item[keys.INSTANCES]) for item in training if keys.INSTANCES in item), default=-1)
    untrained = ["nuclei"] if highest < 0 else []  # -1 is unlabelled
    if highest == 0:
        logger.warning("No training label has a nucleus: all that was looked at is background.")
    for kind, names, merge in (
        ("tissue_classes", tissue_classes, tissue_merge),
        ("nuclei_classes", nuclei_classes, nuclei_merge),
    ):
        key = KINDS[kind]
        if isinstance(merge, Mapping):
            every = [item for of_section in read_datalist(dataset_file).values() for item in of_section]
            check_datasets(kind.replace("classes", "merge"), merge, every)
        ids = {item[key]: _merged(remembered.ids(item[key]), merge, item) for item in items if key in item}
        if key == keys.TYPES and not typed:
            _check_unused_types(ids, dataset_file, nuclei_classes)
            continue
        if merge is None:
            _check_names(dataset_file, kind, names)
        _check_ids(ids, kind, names)
        if key == keys.TISSUE:
            _warn_of_masks([path for path in ids if remembered.ids(path) == [0, UNLABELLED]])
        learnt = set().union(*(ids[item[key]] for item in training if key in item)) - {UNLABELLED}
        if not learnt - ({0} if key == keys.TYPES else set()):  # type 0 is no nucleus, or one that nobody typed
            untrained.append("types" if key == keys.TYPES else "tissue")
        elif absent := [f"{name} (id {number})" for number, name in enumerate(names) if number not in learnt]:
            logger.warning("No training label has the class %s of %s.", ", ".join(absent), kind)
        validated = set().union(*(ids[item[key]] for item in validation if key in item))
        if validated & learnt and (lacking := [names[i] for i in range(1, len(names)) if i in learnt - validated]):
            logger.warning(
                "No validation label has the class %s of %s: it has no say in which weights are the best.",
                ", ".join(lacking),
                kind,
            )
    _warn_of_turns(items, remembered)
    remembered.write()
    untrained = [task for task in untrained if task not in taught]
    for task in untrained:
        name = "classes of nuclei" if task == "types" else task
        fate = "knows of it may fade" if task in known else "says of it means nothing, and its weights say so"
        logger.warning("No training image has labels for %s: what the network %s.", name, fate)
    return Labels(tuple(task for task in untrained if task not in known))


def _merged(ids: Sequence[int], merge: Merging, item: Mapping[str, Any]) -> set[int]:
    table = merge.get(str(item.get(keys.DATASET, ""))) if isinstance(merge, Mapping) else merge
    return set(ids) if table is None else {table[i] if 0 <= i < len(table) else i for i in ids}


def _check_ids(ids: Mapping[str, set[int]], kind: str, names: Sequence[str]) -> None:
    known = {*range(len(names)), UNLABELLED}
    strange = {path: found - known for path, found in ids.items() if found - known}
    if strange:
        listed = ", ".join(map(str, sorted(set().union(*strange.values()))))
        raise DatalistError(
            f"{len(strange)} label files (first: {next(iter(strange))}) have ids without a name in {kind}: {listed}; "
            f"it names {', '.join(f'{number} {name}' for number, name in enumerate(names))}. Name them, or merge them "
            f"with {kind.removesuffix('_classes')}_merge."
        )


def _check_names(dataset_file: str, kind: str, names: Sequence[str]) -> None:
    named = class_names_of(dataset_file, kind, names)
    if named != list(names):
        raise DatalistError(
            f"{dataset_file} names the {kind} {', '.join(named)}, and the configuration {', '.join(names)}: a class id "
            f"is a position, so leave {kind} out, or change the names in the datalist."
        )


def _check_unused_types(ids: Mapping[str, set[int]], dataset_file: str, names: Sequence[str]) -> None:
    """Types are not learnt where all nuclei are of one class; others than that one would be taken for it."""
    classes = sorted(set().union(*ids.values()) - {0, UNLABELLED})
    if not set(classes) - {1}:
        return
    if list(names[1:]) != [_ANY]:
        _check_ids(ids, "nuclei_classes", names)
    logger.warning(
        "%s has labels for nuclei classes (ids %s), which nuclei_classes (%s) does not name: they are not learnt.",
        dataset_file,
        ", ".join(map(str, classes)),
        ", ".join(names),
    )


def _warn_of_masks(paths: Sequence[str]) -> None:
    """Says which tissue maps look like masks, of which nothing but the background is learnt."""
    if paths:
        logger.warning(
            "%d tissue maps have 0 and %d alone (first: %s), and %d is unlabelled: write a mask as 0 and 1.",
            len(paths),
            UNLABELLED,
            paths[0],
            UNLABELLED,
        )


def _warn_of_untyped(items: Sequence[Mapping[str, Any]], remembered: _Remembered) -> None:
    """Says how many nuclei have the type 0, for items whose merge makes no class of it."""
    pairs = [(item[keys.TYPES], item[keys.INSTANCES]) for item in items if {keys.TYPES, keys.INSTANCES} <= item.keys()]
    counts = {types: number for types, instances in pairs if (number := remembered.untyped(types, instances))}
    if counts:
        logger.warning(
            "%d nuclei in %d type maps have no class (first: %s): they are nuclei of unlabelled type.",
            sum(counts.values()),
            len(counts),
            next(iter(counts)),
        )


def _warn_of_turns(items: Sequence[Mapping[str, Any]], remembered: _Remembered) -> None:
    """Says where an image is turned before it is looked at and its label is not, or otherwise."""
    pairs = [(item[keys.IMAGE], item[key]) for item in items for key in keys.LABELS if key in item]
    unlike = [pair for pair in pairs if len({remembered.orientation(path) for path in pair}) > 1]
    if unlike:
        (image, label), count = unlike[0], len(unlike)
        logger.warning(
            "%d labels have another orientation tag than their image (first: %s says %d, %s says %d): each is turned "
            "as it says itself, so a label that was drawn on the unturned pixels does not fit; look at one.",
            count,
            image,
            remembered.orientation(image),
            label,
            remembered.orientation(label),
        )


class _Remembered:
    """The ids of label files and the orientation of all files, remembered as long as a file stays as it is."""

    def __init__(self, cache: str | None) -> None:
        self.path = None if cache is None else Path(cache)
        self.known: dict[str, Any] = {}
        if self.path is not None and self.path.is_file():
            try:
                self.known = dict(json.loads(self.path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                self.known = {}  # it only saves time

    def ids(self, path: str) -> list[int]:
        return list(self._of(path, "ids", lambda: np.unique(read_label(path)).tolist()))

    def untyped(self, types: str, instances: str) -> int:
        """Nuclei of type 0; none where the two maps are of different sizes, which the loader compares."""

        def find() -> int:
            type_map, instance_map = read_label(types), read_instances(instances)[0]
            self._of(types, "ids", lambda: np.unique(type_map).tolist())  # the file is open: not once more
            return count_within(type_map == 0, instance_map) if type_map.shape == instance_map.shape else 0

        stat = os.stat(instances)
        return int(self._of(types, f"untyped of {instances}, {stat.st_mtime_ns}, {stat.st_size}", find))

    def highest(self, path: str) -> int:
        """The highest id of an instance map; -1 where nothing is labelled."""
        return int(self._of(path, "highest", lambda: int(read_instances(path)[0].max(initial=-1))))

    def orientation(self, path: str) -> int:
        return int(self._of(path, "orientation", lambda: orientation_of(Path(path))))

    def _of(self, path: str, what: str, find: Callable[[], Any]) -> Any:
        stat = os.stat(path)
        state = [stat.st_mtime_ns, stat.st_size]
        known = self.known.get(path)
        if not isinstance(known, dict) or known.get("state") != state:
            known = self.known[path] = {"state": state}
        if what not in known:
            known[what] = find()
        return known[what]

    def write(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as partial:
                partial.write_text(json.dumps(self.known), encoding="utf-8")

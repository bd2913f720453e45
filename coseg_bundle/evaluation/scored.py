"""Which labels of a datalist can score a network, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coseg_bundle import keys
from coseg_bundle.data.classes import KINDS, class_names_of
from coseg_bundle.data.classes.check import Merging
from coseg_bundle.data.datalist import Section, load_datalist
from coseg_bundle.data.images.files import ImageFileError, first_line, spares_others
from coseg_bundle.evaluation.prediction_files import names_of

_TASKS = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
_WORDS = {keys.INSTANCES: "Nuclei", keys.TYPES: "Classes of nuclei", keys.TISSUE: "Tissue"}
_UNTAUGHT = "the weights were trained without labels for it"


@dataclass(frozen=True)
class Scored:
    """What is scored.

    Attributes:
        items: Items of the datalist, without the labels that cannot be scored.
        notes: A sentence for each kind of label that is left out, missing, or merged by what the weights say.
        tissue_merge: The network's class id for each tissue id of the labels, as `LoadHistologyd` takes it.
        nuclei_merge: The same for type maps.
    """

    items: list[dict[str, Any]]
    notes: tuple[str, ...]
    tissue_merge: Merging = None
    nuclei_merge: Merging = None


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

    Where the datalist names its classes, its ids are told by name. Where it does not, they are those of the network, or
    merged as they were for its training.

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
    for kind, names in (("tissue_classes", tissue_classes), ("nuclei_classes", nuclei_classes)):
        key, merge = KINDS[kind], kind.replace("classes", "merge")
        if key in reasons or merges[merge] is not None:
            continue
        named, taught = class_names_of(dataset_file, kind, ()), (training or {}).get(merge)
        known, labels = [name.casefold() for name in names], [name.casefold() for name in named]
        merged = isinstance(taught, Mapping) and sorted({str(item.get(keys.DATASET)) for item in items} & set(taught))
        if not named:
            merges[merge] = taught
            if merged or (taught and not isinstance(taught, Mapping)):
                notes.append(f"{_WORDS[key]}: the datalist names none, so ids are merged as in the weights' training.")
        elif sorted(labels) == sorted(known):
            merges[merge] = [known.index(name) for name in labels]
            if merged:
                notes.append(
                    f"{_WORDS[key]}: ids are those that the datalist names, not those of {', '.join(merged)} in the "
                    "weights' training; take the names out of the datalist where the files have those."
                )
        elif isinstance(taught, Sequence) and len(taught) == len(named) and not _contradict(taught, labels, known):
            merges[merge] = taught
            counted = (
                f"{name} as {names[i] if 0 <= i < len(names) else 'none'}"
                for name, i in zip(named, taught, strict=True)
            )
            notes.append(f"{_WORDS[key]}: merged as the weights' training did, {', '.join(counted)}.")
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
    return Scored(kept, tuple(notes), **merges)


def _contradict(merge: Sequence[int], labels: Sequence[str], known: Sequence[str]) -> bool:
    """Whether a merge would count a class that the network knows as another."""
    return any(name in known and known.index(name) != number for name, number in zip(labels, merge, strict=True))


@dataclass(frozen=True)
class Readable:
    """The items whose files can be read.

    Attributes:
        items: These.
        names: A name for each of their images, by its path.
        failed: A sentence for each of the others.
    """

    items: list[dict[str, Any]]
    names: dict[str, str]
    failed: tuple[str, ...]


def readable_items(items: Sequence[dict[str, Any]], load: Callable[[dict[str, Any]], Any]) -> Readable:
    """Reads everything once, little beside the network, so that a file that is broken does not stop the others.

    Args:
        items: Items of a datalist.
        load: What reads an item.

    Raises:
        ImageFileError: None can be read.
        ValueError: An image is there twice.
    """
    kept, names, failed = [], {}, []
    for name, item in zip(names_of(items), items, strict=True):
        try:
            load(item)
        except Exception as error:
            if not spares_others(error):
                raise
            failed.append(f"{name}: {first_line(error)}")
        else:
            kept.append(item)
            names[str(item[keys.IMAGE])] = name
    if not kept:
        raise ImageFileError(f"None of the {len(items)} images can be scored. First: {failed[0]}")
    return Readable(kept, names, tuple(failed))

"""Which labels of a datalist can score a network, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coseg_bundle import keys
from coseg_bundle.data.classes import class_names_of
from coseg_bundle.data.datalist import Section, load_datalist

_TASKS = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
_WORDS = {keys.INSTANCES: "Nuclei", keys.TYPES: "Classes of nuclei", keys.TISSUE: "Tissue"}
_UNTAUGHT = "the weights were trained without labels for it"


@dataclass(frozen=True)
class Scored:
    """What is scored.

    Attributes:
        items: Items of the datalist, without the labels that cannot be scored.
        notes: A sentence for each kind of label that is left out, or missing.
    """

    items: list[dict[str, Any]]
    notes: tuple[str, ...]


def scored_items(
    dataset_file: str,
    section: Section,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    tissue_merge: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    nuclei_merge: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    untrained: Sequence[str] = (),
) -> Scored:
    """The items of a section, with the labels that the network has an answer to.

    Args:
        dataset_file: The datalist.
        section: `training`, `validation` or `testing`.
        tissue_classes: The network's tissue class names.
        nuclei_classes: Its nuclei class names, background first.
        tissue_merge: As `LoadHistologyd` takes it; labels whose classes are merged are not compared by name.
        nuclei_merge: The same for type maps.
        untrained: Tasks that nobody taught the network.

    Raises:
        DatalistError: The datalist cannot be used.
        ValueError: No label can be scored.
    """
    items = load_datalist(dataset_file, section)
    reasons = {key: _UNTAUGHT for key, task in _TASKS.items() if task in untrained}
    if keys.TYPES not in reasons and len(nuclei_classes) <= 2:
        reasons[keys.TYPES] = f"the network knows one class of nuclei ({nuclei_classes[-1]})"
    for key, kind, names, merge in (
        (keys.TISSUE, "tissue_classes", tissue_classes, tissue_merge),
        (keys.TYPES, "nuclei_classes", nuclei_classes, nuclei_merge),
    ):
        if key not in reasons and merge is None:
            named = class_names_of(dataset_file, kind, names)
            if named != list(names):
                of_network, of_labels = ", ".join(names), ", ".join(named)
                reasons[key] = f"the datalist has the classes {of_labels}, and the network {of_network}"
    notes = []
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
    return Scored(kept, tuple(notes))

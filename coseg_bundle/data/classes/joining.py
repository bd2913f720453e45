"""Datalists that become one: a class id must mean the same in all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from coseg_bundle import keys
from coseg_bundle.data.classes.names import KINDS, class_names_of
from coseg_bundle.data.datalist import DatalistError, load_datalist

Datalist = dict[str, list[dict[str, Any]]]


def join(datalist: Datalist, names: dict[str, list[str]], others: Iterable[str | PathLike[str]]) -> list[str]:
    """Adds the training items of other datalists, and their class names; their validation items stay out.

    Args:
        datalist: Items by section, with absolute paths; changed in place.
        names: Its class names by kind, each list by label id; changed in place.
        others: Datalists.

    Returns:
        Sentences on labels that take the names of another datalist, since theirs gives none.

    Raises:
        DatalistError: A datalist cannot be used, names a class id otherwise, or has an image that is there already: it
            would count twice, or be trained on and validated by.
    """
    known = {item[keys.IMAGE] for items in datalist.values() for item in items}
    notes: list[str] = []
    for other in others:
        items = load_datalist(other, "training")
        if twice := sorted(known & {item[keys.IMAGE] for item in items}):
            raise DatalistError(f"{other}: {len(twice)} images are listed already (first: {twice[0]}); list each once.")
        for kind, key in KINDS.items():
            listed = [item for of_section in datalist.values() for item in of_section]
            ours, theirs = names.get(kind, []), class_names_of(other, kind, ())
            _check_same(ours, theirs, kind, other)
            if len(theirs) > len(ours):
                names[kind] = theirs
            nameless = listed if not ours else items if not theirs else []
            if (ours or theirs) and (count := sum(key in item for item in nameless)):
                whose = f"of {other}" if nameless is items else f"listed before {other}"
                named = ", ".join(f"{number} {name}" for number, name in enumerate(names[kind]))
                notes.append(f"{count} {key} labels {whose} have no names; they count as {kind} {named}")
        datalist["training"] += items
        known |= {item[keys.IMAGE] for item in items}
    return notes


def _check_same(ours: Sequence[str], theirs: Sequence[str], kind: str, other: str | PathLike[str]) -> None:
    for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their:
            raise DatalistError(
                f"{other}: expected the {kind} of the list that it is joined to, in which {number} is {our}, got "
                f"{number}={their}; rename the class if it is the same, or leave the names out of both lists and map "
                f"the ids of each dataset with {kind.removesuffix('_classes')}_merge."
            )


def alike(names: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each class whose names differ in nothing but upper and lower case.

    Example:
        >>> alike({"nuclei_classes": ["background", "Tumor", "tumor"]})
        ['nuclei_classes: Tumor and tumor differ in case only, and count as different classes']
    """
    sentences = []
    for kind, of_kind in names.items():
        spelt = defaultdict(list)
        for name in of_kind:
            spelt[name.casefold()].append(name)
        sentences += [
            f"{kind}: {' and '.join(spellings)} differ in case only, and count as different classes"
            for spellings in spelt.values()
            if len(spellings) > 1
        ]
    return sentences

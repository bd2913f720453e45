"""Class names as people write them: a list, background first, or a name for each label id."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, ClassMap, place_of
from coseg_bundle.data.datalist import DatalistError, read_class_tables

KINDS = {"tissue_classes": keys.TISSUE, "nuclei_classes": keys.TYPES}
"""The two lists of class names, and the labels that they name."""

_BACKGROUND = "background"


def class_names_of(dataset_file: str | PathLike[str], kind: str, default: Sequence[str]) -> list[str]:
    """Class names that a datalist gives, by label id; `default` where it gives none.

    Args:
        dataset_file: The datalist; an empty name stands for none.
        kind: `tissue_classes` or `nuclei_classes`.
        default: Names, background first.

    Raises:
        DatalistError: The names cannot be used.
    """
    if not os.fspath(dataset_file) or not os.path.isfile(dataset_file):
        return list(default)
    table = read_class_tables(dataset_file).get(kind)
    return list(default) if table is None else _listed(table, kind, str(dataset_file))


def told_by_name(labels: Sequence[str], network: Sequence[str]) -> list[int] | None:
    """The network's class for each class of labels; case counts only where two names differ in nothing else.

    Labels may know fewer classes than the network: what they call background is its first class then.

    Args:
        labels: Names by label id.
        network: The network's, by class id.

    Returns:
        Class ids by label id; None where the network lacks a class of the labels, or they share none but the first.

    Example:
        >>> told_by_name(["background", "Gland"], ["empty", "gland", "other_tissue"])
        [0, 1]
    """
    places = [place_of(name, network) for name in labels]
    if places[:1] == [None] and labels[0].casefold() == _BACKGROUND:
        places[0] = 0
    known = [place for place in places if place is not None]
    named = [place for place in known if place > 0]
    return known if len(known) == len(labels) and named and len(set(named)) == len(named) else None


def names_by_id(texts: Sequence[str], kind: str) -> list[str]:
    """Class names of a command: `background tumour stroma`, or `1=tumour 2=stroma`.

    Args:
        texts: The arguments.
        kind: `tissue_classes` or `nuclei_classes`.

    Returns:
        The names, by label id.

    Raises:
        DatalistError: The names cannot be used.

    Example:
        >>> names_by_id(["2=stroma", "1=tumour"], "nuclei_classes")
        ['background', 'tumour', 'stroma']
    """
    parts = [text.partition("=") for text in texts]
    table = {left: right for left, separator, right in parts if separator}
    table = table or table_of(texts)
    if len(table) != len(texts):
        raise DatalistError(
            f"Expected {kind} as names, background first, or all as ID=NAME, each id once; got {' '.join(texts)}; "
            "where a name has = in it, give all as ID=NAME."
        )
    return _listed(table, kind, "The command")


def table_of(names: Sequence[str]) -> dict[str, str]:
    """Names by label id, as a datalist holds them.

    Example:
        >>> table_of(["background", "gland"])
        {'0': 'background', '1': 'gland'}
    """
    return {str(number): name for number, name in enumerate(names)}


def _listed(table: Mapping[str, str], kind: str, where: str) -> list[str]:
    """Names by id from 0 without a gap; 0 is the background where nothing else is said."""
    if not all(number.isdecimal() for number in table):
        raise DatalistError(f'{where}: expected {kind} as {{"1": "tumour", ...}}, got {dict(table)}.')
    names = {0: _BACKGROUND} | {int(number): name for number, name in table.items()}
    if max(names) >= UNLABELLED:
        raise DatalistError(
            f"{where}: expected label ids of {kind} below {UNLABELLED}, which means unlabelled; got {max(names)}."
        )
    if missing := sorted(set(range(max(names))) - set(names)):
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DatalistError(
            f"{where}: {kind} has no name for label id {', '.join(map(str, missing[:5]))}{more}; expected one for each "
            f"from 1 to {max(names)}."
        )
    if kind == "nuclei_classes" and names[0] != _BACKGROUND:
        raise DatalistError(
            f"{where}: label id 0 of nuclei_classes must be {_BACKGROUND}, got {names[0]}; names are counted from 0, "
            f"so give {_BACKGROUND} first, or ID=NAME."
        )
    try:
        return list(ClassMap([names[number] for number in sorted(names)]).names)
    except ValueError as error:
        raise DatalistError(f"{where}, {kind}: {error}") from error

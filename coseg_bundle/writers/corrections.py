"""Corrections that `coseg view` saved beside results: of which results they are, and what is said of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coseg_bundle.writers.folders import is_own
from coseg_bundle.writers.summary import MADE_FROM, NOT_COMPARED, SUMMARY, BrokenRecordError, read_record

CORRECTIONS = Path("corrections", "patches.json")
"""Where `coseg view` saves what a person corrected of results, in their folder."""

OF_RESULTS = "results"
"""The file's first entry: the content of the results that were corrected."""

UNCORRECTED = (
    "the saved corrections are left out: open the results with coseg view to see them, and for a table with them"
)
"""What is said of everything that is made of the results' own files while corrections lie beside them."""

FORMER = "the saved corrections are of other results than these, which were made anew, and are left out"
"""The same where the results that were corrected are gone."""

_NOT_THE_RESULTS = ("seconds", "versions", "image", "slide", "weights")
"""What a summary says that may differ where the results are the same."""

_HEAD = re.compile(rf'\s*{{\s*"{OF_RESULTS}"\s*:\s*"(\w*)"')


def content_of_results(folder: Path) -> str:
    """SHA-256, in hexadecimal, of what a summary says of its results; empty where there is none.

    Of the same image, weights and settings it is the same again: a run leaves corrections what they are of.
    """
    said = said_of_results(folder)
    return "" if said is None else hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def said_of_results(folder: Path) -> dict[str, Any] | None:
    """What a summary says of its results; None where there is none. The script for QuPath compares it.

    Left out is what changes nothing in them: how long it took, with which versions, and where files lie.
    """
    try:
        summary = read_record(folder / SUMMARY)
    except (OSError, BrokenRecordError):
        return None
    said = {name: value for name, value in summary.items() if name not in _NOT_THE_RESULTS}
    if isinstance(made_from := said.get(MADE_FROM), dict):
        said[MADE_FROM] = {name: value for name, value in made_from.items() if name not in NOT_COMPARED}
    return said


def corrected_results(folder: Path) -> str | None:
    """The content of the results that the saved corrections are of; None where they do not say, or there are none."""
    try:
        with (folder / CORRECTIONS).open(encoding="utf-8", errors="replace") as file:
            head = _HEAD.match(file.read(256))
    except OSError:
        return None
    return head and head[1]


def are_former(folder: Path) -> bool:
    """Whether the saved corrections say that they are of other results; those of former versions do not say."""
    return corrected_results(folder) not in (None, content_of_results(folder))


def doubts_about(path: Path, said: Iterable[str]) -> list[str]:
    """Doubts of results, and that saved corrections are in none of their files.

    Args:
        path: The folder of results, or one of the files in it that its summary names.
        said: The doubts that are known.
    """
    folder = path.parent if path.is_file() and is_own(path.parent, path.name) else path
    known = list(said)
    if not (folder / CORRECTIONS).is_file():
        return known
    sentence = FORMER if are_former(folder) else UNCORRECTED
    return [*(doubt for doubt in known if doubt not in (UNCORRECTED, FORMER)), sentence]

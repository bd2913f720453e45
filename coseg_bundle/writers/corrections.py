"""Corrections that `coseg view` saved beside results: of which results they are, and what is said of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from coseg_bundle.writers.folders import is_own
from coseg_bundle.writers.summary import FILES, MADE_FROM, NOT_COMPARED, SUMMARY, BrokenRecordError, read_record

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

_FORMERLY_LEFT_OUT = frozenset(
    ("seconds", "versions", "image", "slide", "weights", *(f"{MADE_FROM}.{name}" for name in NOT_COMPARED))
)
"""What former versions left out of what a summary says of its results, by dotted names."""

_LEFT_OUT = _FORMERLY_LEFT_OUT | {
    *("read_as", "doubts", "mpp_source", "precision.reason", f"{MADE_FROM}.inference.precision.reason"),
    *(FILES, f"{MADE_FROM}.mpp", f"{MADE_FROM}.nifti"),
}
"""What a summary says that may differ where the results are the same: `mpp` beside `made_from` is that of all."""

_OUTLINES = "nuclei.geojson", "tissue.geojson"
"""What corrections take the place of: of all files these, by their bytes, are the results."""

_HEAD = re.compile(rf'\s*{{\s*"{OF_RESULTS}"\s*:\s*"(\w*)"')


def content_of_results(folder: Path) -> str:
    """SHA-256, in hexadecimal, of what a summary says of its results; empty where there is none.

    Of the same image, weights and settings it is the same again: a run leaves corrections what they are of.
    """
    return _content(said_of_results(folder))


def said_of_results(folder: Path) -> dict[str, Any] | None:
    """What a summary says of its results; None where there is none. The script for QuPath compares it.

    Left out is what changes nothing in them: how long it took, with which versions, where files lie, which other files
    are there, and whether a resolution or a precision was given or found.
    """
    if (summary := _summary(folder)) is None:
        return None
    said = _without(summary, _LEFT_OUT)
    if isinstance(files := summary.get(FILES), dict):
        said[FILES] = {name: files[name] for name in _OUTLINES if name in files}
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
    corrected = corrected_results(folder)
    if corrected in (None, content_of_results(folder)):
        return False
    summary = _summary(folder)  # as former versions knew it again
    return corrected != _content(None if summary is None else _without(summary, _FORMERLY_LEFT_OUT))


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


def _summary(folder: Path) -> dict[str, Any] | None:
    try:
        return read_record(folder / SUMMARY)
    except (OSError, BrokenRecordError):
        return None


def _without(said: dict[str, Any], names: Collection[str], prefix: str = "") -> dict[str, Any]:
    """A record without what dotted names name."""
    return {
        name: _without(value, names, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in said.items()
        if f"{prefix}{name}" not in names
    }


def _content(said: dict[str, Any] | None) -> str:
    return "" if said is None else hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

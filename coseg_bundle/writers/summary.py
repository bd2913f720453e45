"""`summary.json`: what every folder of results ends with, and what the results were made from."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from coseg_bundle.data.images.files import LEFT_OUT
from coseg_bundle.precision import ASKED

SUMMARY = "summary.json"
"""Written last: where it is, the results are complete."""

MADE_FROM = "made_from"
"""What the results depend on, plain values by name: `kind`, `file`, and all that must be the same in a second run."""

FILES = "files"
"""The files beside the summary without which the results are not complete, and the bytes of each; pictures are none of
them."""

NUCLEUS_WIDTH_UM = 3.5, 8.5
"""How wide the middle one of an image's nuclei is, as a circle of its area: 3.6 to 7.4 um in 39 tiles of six sets
(docs/notebook/weights.md)."""

ENOUGH_NUCLEI = 20
"""From so many on their width says something of the image."""

SAME_MPP = 0.05
"""Share by which a resolution that is given may differ from what the file says."""

NOT_COMPARED = ("file", "weights", "slide", "tiles", "foreground")
"""Names of `made_from` that may differ: where a file lies changes nothing, and its content is compared."""

_TRY_AGAIN = "summary.json lists them, coseg slide --overwrite tries them again"

_PRECISION = "inference.precision"

_WORDS = {
    "content": "the content of the file",
    "slide_bytes": "the size of the file",
    "weights_sha256": "weights",
    "network_mpp": "the network's mpp",
}


class BrokenRecordError(ValueError):
    """A JSON file of a folder of results that does not hold what we write there."""


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of packages, by name; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def circle_width(area: Any) -> Any:
    """Diameter of a circle of an area, of each where it is an array."""
    return (4 * area / math.pi) ** 0.5


def doubts(nuclei: int, area_um2: float | None, given: float | None = None, stated: float | None = None) -> list[str]:
    """What speaks against an image's resolution, in sentences for a user.

    Args:
        nuclei: How many were found.
        area_um2: Area of one in the middle, um2.
        given: Microns per pixel that somebody gave.
        stated: What the file says of them.

    Example:
        >>> doubts(500, 4.5)
        ['the nuclei are 2.4 um wide, those of tissue 3.5 to 8.5: is the resolution right?']
    """
    found = []
    if given and stated and abs(given / stated - 1) > SAME_MPP:
        found.append(f"the file says {stated:.4g} um per pixel, and {given:.4g} was given: is that right?")
    if nuclei >= ENOUGH_NUCLEI and area_um2 is not None:
        (low, high), width = NUCLEUS_WIDTH_UM, round(float(circle_width(area_um2)), 1)
        if not low <= width <= high:
            found.append(f"the nuclei are {width} um wide, those of tissue {low} to {high}: is the resolution right?")
    return found


def doubts_in(summary: Mapping[str, Any]) -> list[str]:
    """What makes results doubtful, in sentences for a user: parts that are missing, and the resolution."""
    return [*gaps_in(summary), *listed_doubts(summary)]


def listed_doubts(summary: Mapping[str, Any]) -> list[str]:
    """`doubts` as they stand there: of a summary those of the resolution, of a record of measures all; former versions
    have none."""
    return _listed(summary, "doubts")


def broken_boxes(summary: Mapping[str, Any]) -> tuple[tuple[int, int, int, int], ...]:
    """Boxes (x0, y0, x1, y1) of a slide's tiles that could not be read, px of level 0."""
    tiles = summary.get("unreadable_tiles", ())
    return tuple((b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in tiles)


def gaps_in(summary: Mapping[str, Any]) -> list[str]:
    """What of a slide is not in its results though it may be tissue, in sentences for a user.

    Example:
        >>> gaps_in({"tiles_with_tissue": 9, "unreadable_tiles": [{"x": 0, "y": 0, "width": 5, "height": 5}]})
        ['1 of 9 tiles could not be read (summary.json lists them, coseg slide --overwrite tries them again)']
        >>> gaps_in({"tiles_with_tissue": 0, "thumbnail": {"glass": 0.98, "tissue": 0.0, "pen or dirt": 0.02}})
        ['no tissue was found: glass 98.0 %, pen or dirt 2.0 % (foreground.png shows where)']
    """
    tiles, broken = summary.get("tiles_with_tissue"), summary.get("unreadable_tiles", ())
    gaps = [f"{len(broken)} of {tiles} tiles could not be read ({_TRY_AGAIN})"] if broken else []
    shares = summary.get("thumbnail", {})
    seen = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items() if share)
    where = f": {seen} (foreground.png shows where)" if seen else ""
    if tiles == 0:
        gaps.append(f"no tissue was found{where}")
    elif shares.get("pen or dirt", 0) > shares.get("tissue", 0):
        gaps.append(f"more was taken for pen or dirt than for tissue{where}")
    return gaps + [note for note in _listed(summary, "read_as") if note.startswith(LEFT_OUT)]


def read_record(path: Path) -> dict[str, Any]:
    """Reads `summary.json` or `plan.json`.

    Raises:
        BrokenRecordError: It is no JSON, or no dictionary.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BrokenRecordError(f"{path} is broken ({error or type(error).__name__})") from error
    if not isinstance(content, dict):
        raise BrokenRecordError(f"{path} is broken (expected an object, got {type(content).__name__})")
    return content


def sizes_in(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """What `FILES` says of files in a folder."""
    return {name: (folder / name).stat().st_size for name in names}


def untrained_in(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Tasks that a summary says nobody taught the network: `tissue`, `nuclei`, `types`."""
    return tuple(_listed(summary, "untrained"))


def _listed(summary: Mapping[str, Any], name: str) -> list[str]:
    said = summary.get(name, ())
    return [*map(str, said)] if isinstance(said, list | tuple) else []


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two records of what results are made from, in words, sorted by name.

    Example:
        >>> differences({"mpp": 0.25, "nuclei": {"opening_px": 3}}, {"mpp": 0.5, "nuclei": {"opening_px": 3}})
        ['mpp (0.25, now 0.5)']
    """
    old, new = _flat(then), _flat(now)
    if new.get(f"{_PRECISION}.reason", ASKED) != ASKED and f"{_PRECISION}.name" in old:
        new[f"{_PRECISION}.name"] = old[f"{_PRECISION}.name"]  # `auto` is what it was, whatever processor this is
    found = []
    for name in sorted({*old, *new}, key=str.lower):
        if name.split(".")[0] in NOT_COMPARED or name == f"{_PRECISION}.reason" or old.get(name) == new.get(name):
            continue
        values = [side.get(name) for side in (old, new)]
        short = name in old and name in new and all(len(str(value)) <= 24 for value in values)
        word = _WORDS.get(name, name)
        found.append(f"{word} ({values[0]}, now {values[1]})" if short and word == name else word)
    return found


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat

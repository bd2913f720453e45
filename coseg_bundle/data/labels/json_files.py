"""JSON files, packed or not, in bounded memory, and which program's they are."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Literal

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.images.files import first_line

LARGEST = 4 * 2**30
"""Bytes of text; objects in memory take about ten times as much."""

OF_IMAGE = {"kind": "image"}
"""Our member `coseg` in files of an image, which is segmented as it is opened: its pixel (0, 0) is theirs."""

_PART = 2**20
"""Bytes that are read at a time."""

_EXPANDS, _SMALL = 200, 64 * 2**20
"""Coordinates pack to a sixth of their size; what grows by more than this is no data, unless it is small."""


def read_json(path: Path, what: str) -> Any:
    """Reads JSON; a name that ends in `.gz` is unpacked.

    Args:
        path: The file, UTF-8, with a byte order mark or without.
        what: What was expected, for messages: "a GeoJSON ...".

    Raises:
        ImageFileError: It is no JSON, nested too deeply, or too large.
    """
    try:
        return json.loads(_text(path, what))
    except (ValueError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        if isinstance(error, ImageFileError):
            raise
        raise ImageFileError(
            f"{path}: expected {what}, got something else ({first_line(error)}); export it again."
        ) from error


def kind_of(content: Any) -> str:
    """What a JSON holds: a name of a format, or its first keys."""
    if isinstance(content, dict):
        keys = content.keys()
        if isinstance(content.get("nuc"), dict):
            return "HoVer-Net's JSON"
        if {"images", "annotations"} <= keys:
            return "COCO"
        if "shapes" in keys and ("imagePath" in keys or "imageHeight" in keys):
            return "labelme"
        if keys & {"features", "geometry", "geometries"} or "coordinates" in keys:
            return "GeoJSON"
        if content.get("type") == "Multiple polygons":
            return "a grand-challenge file (score it with `coseg puma score`)"
        if keys & {"elements", "annotation"}:
            return "a document of the Digital Slide Archive"
        if isinstance(content.get("cells"), list):
            return "CellViT's cells.json (take its GeoJSON)"
        return f"an object of {', '.join(map(str, list(keys)[:5])) or 'nothing'}"
    if isinstance(content, list):
        first = content[0] if content else {}
        if not content or isinstance(first, list) or (isinstance(first, dict) and first.keys() & {"geometry", "type"}):
            return "GeoJSON"
        return "a list of " + (
            ", ".join(map(str, list(first)[:5])) if isinstance(first, dict) else type(first).__name__
        )
    return f"a {type(content).__name__}"


def is_ours(content: Any) -> bool:
    """Whether Co-Seg wrote a GeoJSON: it has our member `coseg` (`writers.geojson.write_features`)."""
    return isinstance(content, dict) and content.get("coseg") is not None


def place_in(content: Any, path: Path) -> tuple[Literal["bounds", "canvas"], tuple[int, int]] | None:
    """Where pixel (0, 0) of our own GeoJSON of a slide lies, by its member `coseg`.

    Args:
        content: What the file holds.
        path: The file, for messages.

    Returns:
        How the slide is to be opened, and where that is on its canvas, px of level 0; None where the file does not say.

    Raises:
        ImageFileError: The member says something else.
    """
    if not is_ours(content) or content["coseg"] == OF_IMAGE:
        return None
    said = content["coseg"]
    try:
        origin, x, y = said.get("origin", "bounds"), *(int(said.get(f"origin_{axis}_px", 0)) for axis in "xy")
    except (AttributeError, TypeError, ValueError, OverflowError):
        origin, x, y = None, 0, 0
    if origin not in ("bounds", "canvas"):
        raise ImageFileError(
            f"{path}: expected a member coseg that says where (0, 0) lies, bounds or canvas, got {said}; take it out "
            "where another program wrote it, or export the file again."
        )
    return origin, (x, y)


def _text(path: Path, what: str) -> str:
    size = path.stat().st_size
    packed = path.name.lower().endswith(".gz")
    limit = min(LARGEST, max(_SMALL, _EXPANDS * size)) if packed else LARGEST
    content = bytearray()
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        while len(content) <= limit and (part := file.read(_PART)):  # a read takes as much memory as it may give
            content += part
    if len(content) > limit:
        raise ImageFileError(
            f"{path}: expected {what}, got more than {limit / 2**20:.0f} MB of text"
            f"{' in a packed file of ' + format(size / 2**20, '.1f') + ' MB' if packed else ''}; split it."
        )
    return content.decode("utf-8-sig")

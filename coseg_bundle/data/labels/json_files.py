"""JSON files, packed or not, in bounded memory."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.images.files import first_line

LARGEST = 4 * 2**30
"""Bytes of text; objects in memory take about ten times as much."""

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

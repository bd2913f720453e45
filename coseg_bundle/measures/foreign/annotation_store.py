"""TIAToolbox' annotation store, an SQLite file, as the GeoJSON that its `to_geojson` would write."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from coseg_bundle.data.images import ImageFileError

STORE = ".db"
"""What TIAToolbox calls such files."""

_MOST_BYTES = 64 * 2**20
"""Of one outline."""


def read_store(path: Path) -> dict[str, Any]:
    """The objects of a store as a FeatureCollection; points, which have no outline, as points.

    Source: `tiatoolbox.annotation.SQLiteStore` (2.1, version 1.0.1 of its files): outlines are WKB, packed with zlib
    where its metadata say so.

    Raises:
        ImageFileError: It is no such store, or broken.
    """
    import shapely

    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            packed = json.loads(dict(connection.execute("SELECT key, value FROM metadata"))["compression"])
            if packed not in (None, "zlib"):
                raise ValueError(f"outlines packed with {packed}")
            rows = connection.execute("SELECT cx, cy, geometry, properties FROM annotations ORDER BY id")
            features = []
            for x, y, outline, properties in rows:
                geometry = shapely.Point(x, y) if outline is None else shapely.from_wkb(_unpacked(outline, packed))
                said = json.loads(properties)
                features.append({"type": "Feature", "geometry": geometry.__geo_interface__, "properties": said})
    except (sqlite3.Error, zlib.error, shapely.errors.ShapelyError, ValueError, LookupError, TypeError) as error:
        raise ImageFileError(
            f"{path}: expected an annotation store of TIAToolbox, got something else ({error}); export it as GeoJSON."
        ) from error
    return {"type": "FeatureCollection", "features": features}


def _unpacked(outline: bytes, packed: str | None) -> bytes:
    if packed is None:
        return outline
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(outline, _MOST_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError(f"an outline of more than {_MOST_BYTES} bytes")
    return content

"""Label maps from polygons (GeoJSON as QuPath writes it)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.image_io import ImageFileError


def polygon_pixels(
    rings_xy: Sequence[NDArray[np.floating]], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels whose centres lie inside a polygon.

    Args:
        rings_xy: Outer ring first, then holes; `(P, 2)` each, px from the corner of the first pixel.
        shape: Height and width of the map; what lies outside is cut.
    """
    from skimage.draw import polygon

    outer, *holes = rings_xy
    rows, columns = polygon(outer[:, 1] - 0.5, outer[:, 0] - 0.5, shape)
    if holes:
        inside = np.zeros(shape, bool)
        inside[rows, columns] = True
        for hole in holes:
            inside[polygon(hole[:, 1] - 0.5, hole[:, 0] - 0.5, shape)] = False
        rows, columns = np.nonzero(inside)
    return rows, columns


def read_geojson_instances(
    path: str | PathLike[str], shape: tuple[int, int]
) -> tuple[NDArray[np.int32], dict[int, str]]:
    """Instance map of a FeatureCollection: every Feature is one instance; the later one stays on top of an overlap.

    Args:
        path: GeoJSON with Polygon or MultiPolygon features.
        shape: Height and width of the image.

    Returns:
        `(H, W)` int32 and the class name of each id (empty where a feature has none).

    Raises:
        ImageFileError: The file is no such GeoJSON.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        features = content["features"] if isinstance(content, dict) else list(content)
        instance_map = np.zeros(shape, np.int32)
        names: dict[int, str] = {}
        for number, feature in enumerate(features, start=1):
            for rings in _polygons(feature["geometry"]):
                instance_map[polygon_pixels(rings, shape)] = number
            names[number] = (feature.get("properties") or {}).get("classification", {}).get("name", "")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ImageFileError(
            f"{path}: expected a GeoJSON FeatureCollection of polygons, got something else ({error}); export it again."
        ) from error
    return instance_map, names


def _polygons(geometry: dict[str, Any]) -> Iterator[list[NDArray[np.float64]]]:
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"geometry {kind!r}")
    for rings in [coordinates] if kind == "Polygon" else coordinates:
        yield [np.asarray(ring, np.float64)[:, :2] for ring in rings]

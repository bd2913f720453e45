"""Polygons that people drew: GeoJSON as QuPath writes it, mended where it can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError

FARTHEST_PX = 10**7
"""No slide is as large; beyond it areas lose their precision."""

_MOST_CROSSINGS = 20_000
"""A second or two of mending."""


@dataclass(frozen=True)
class Region:
    """One annotated object.

    Attributes:
        name: Its class name; empty where the file gives none.
        rings_xy: Outer rings and holes of all its parts, `(P, 2)` float64 px, not closed.
        area_px: Its area.
    """

    name: str
    rings_xy: tuple[NDArray[np.float64], ...]
    area_px: float


@dataclass(frozen=True)
class Annotations:
    """What a file of annotations holds.

    Attributes:
        path: The file.
        regions: Its polygons, in file order.
        mended: How many of them had to be mended (self-intersections, geometry collections).
        skipped: A sentence for each feature that is no polygon with an area.
    """

    path: Path
    regions: tuple[Region, ...]
    mended: int
    skipped: tuple[str, ...]

    def raise_if_skipped(self) -> None:
        """For callers who want all or nothing.

        Raises:
            ImageFileError: A feature was skipped.
        """
        if self.skipped:
            raise ImageFileError(
                f"{self.path}: expected a GeoJSON FeatureCollection of polygons, got {len(self.skipped)} features that "
                f"are none (first: {self.skipped[0]}); export it again."
            )


def read_annotations(path: str | PathLike[str]) -> Annotations:
    """Reads the polygons of a GeoJSON; a feature that is beyond repair does not stop the others.

    Args:
        path: A FeatureCollection, a feature, or a list of these, nested as they may be.

    Raises:
        ImageFileError: The file is no GeoJSON.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # with a byte order mark or without
    except (ValueError, RecursionError) as error:
        raise _no_geojson(path, error) from error
    return annotations_of(content, path)


def annotations_of(content: Any, path: str | PathLike[str]) -> Annotations:
    """The polygons of a GeoJSON that was read already.

    Args:
        content: A FeatureCollection, a feature, or a list of these, nested as they may be.
        path: Where it came from, for messages.

    Raises:
        ImageFileError: It is no GeoJSON.
    """
    path = Path(path)
    try:
        features = list(_features(content))
    except (TypeError, RecursionError) as error:
        raise _no_geojson(path, error) from error
    from shapely.errors import ShapelyError

    regions, skipped, mended = [], [], 0
    for number, feature in enumerate(features, start=1):
        try:
            region, is_mended = _region(feature)
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            ShapelyError,
        ) as error:
            skipped.append(f"feature {number}: {str(error)[:200]}")
            continue
        regions.append(region)
        mended += is_mended
    return Annotations(Path(path), tuple(regions), mended, tuple(skipped))


def _no_geojson(path: Path, error: Exception) -> ImageFileError:
    return ImageFileError(
        f"{path}: expected a GeoJSON FeatureCollection of polygons, got something else ({error}); export it again."
    )


def _features(content: Any) -> Iterator[Any]:
    if isinstance(content, dict) and "geometry" in content:
        content = [content]
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise TypeError(f"features are a {type(features).__name__}")
    for feature in features:
        if isinstance(feature, dict) and isinstance(feature.get("features"), list):
            yield from _features(feature)
        else:
            yield feature


def _region(feature: Any) -> tuple[Region, bool]:
    import shapely
    from shapely.geometry import shape

    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict):
        raise ValueError("it has no geometry")
    with np.errstate(all="ignore"):  # what is not finite is looked for below
        drawn = shape(geometry)
    corners = shapely.get_coordinates(drawn)
    if not np.isfinite(corners).all():
        raise ValueError("a coordinate is not finite")
    if abs(corners).max(initial=0) > FARTHEST_PX:
        raise ValueError(f"a coordinate lies beyond {FARTHEST_PX} px")
    sound = drawn if drawn.is_valid else _mended(drawn)
    polygons = [part for part in _polygons(sound) if part.area > 0]
    if not polygons:
        raise ValueError(f"a {drawn.geom_type} without area")
    rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    is_mended = sound is not drawn or drawn.geom_type == "GeometryCollection"
    coordinates = tuple(shapely.get_coordinates(ring)[:-1] for ring in rings)
    return Region(_name(feature), coordinates, sum(polygon.area for polygon in polygons)), is_mended


def _mended(drawn: Any) -> Any:
    """What an invalid geometry encloses; a scribble, whose crossings could keep shapely for hours, is an error."""
    import shapely

    x_min, y_min, x_max, y_max = drawn.bounds
    corners = int(shapely.get_num_coordinates(drawn))  # int32, whose square would overflow
    by_chance = drawn.length**2 / (np.pi * max((x_max - x_min) * (y_max - y_min), 1e-9))  # of lines laid at random
    if (crossings := min(by_chance, corners**2 / 2)) > _MOST_CROSSINGS:
        raise ValueError(f"a scribble of {corners} points that crosses itself about {crossings:.0f} times")
    return shapely.make_valid(drawn, method="structure", keep_collapsed=False)


def _polygons(geometry: Any) -> Iterator[Any]:
    if geometry.geom_type == "Polygon":
        yield geometry
    for part in getattr(geometry, "geoms", ()):
        yield from _polygons(part)


def _name(feature: dict[str, Any]) -> str:
    classification = (feature.get("properties") or {}).get("classification") or ""
    return str(classification.get("name") or "") if isinstance(classification, dict) else str(classification)

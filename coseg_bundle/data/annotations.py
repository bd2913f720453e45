"""Polygons that people drew: GeoJSON as QuPath writes it, mended where it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.json_files import is_ours, kind_of, read_json
from coseg_bundle.data.labels.objects import Drawn, Kind, objects_of

FARTHEST_PX = 10**7
"""No slide is as large; beyond it areas lose their precision."""

_EXPECTED = "a GeoJSON FeatureCollection of polygons"
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
DETECTED = ("cell without a nucleus", "detection without an area")
"""What `Annotations.left_out` calls what was detected but has no outline of a nucleus."""

_MOST_CROSSINGS = 20_000
"""A second or two of mending."""


@dataclass(frozen=True)
class Region:
    """One object with an area.

    Attributes:
        name: Its class name; empty where the file gives none.
        rings_xy: Outer rings and holes of all its parts, `(P, 2)` float64 px, not closed.
        area_px: Its area.
        kind: What QuPath takes it for. Of a `cell` this is the nucleus.
        parts: Its polygons, where it was drawn as several.
        has_children: Whether objects lie below it.
    """

    name: str
    rings_xy: tuple[NDArray[np.float64], ...]
    area_px: float
    kind: Kind = "annotation"
    parts: tuple[Region, ...] = ()
    has_children: bool = False


@dataclass(frozen=True)
class Annotations:
    """What a file of annotations holds.

    Attributes:
        path: The file.
        regions: Its polygons, in file order.
        mended: How many of them had to be mended (self-intersections, geometry collections).
        skipped: A sentence for each feature that is broken.
        left_out: How many objects of which kind are whole and no polygons: `Point`, `tile`, `cell without a nucleus`.
        is_ours: Whether Co-Seg wrote the file: its nuclei are detections, and its annotations regions.
    """

    path: Path
    regions: tuple[Region, ...]
    mended: int
    skipped: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    is_ours: bool = False

    def raise_if_skipped(self) -> None:
        """For callers who want all or nothing.

        Raises:
            ImageFileError: A feature is broken.
        """
        if self.skipped:
            raise ImageFileError(
                f"{self.path}: expected a GeoJSON FeatureCollection of polygons, got {len(self.skipped)} features that "
                f"are none (first: {self.skipped[0]}); export it again."
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on what was left out, if anything was."""
        return (f"left out: {counted(self.left_out)}",) if self.left_out else ()


def counted(counts: Mapping[str, int]) -> str:
    """Numbers and what they count, as text: `2 Point, 1 tile`."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))


def read_annotations(path: str | PathLike[str]) -> Annotations:
    """Reads the polygons of a GeoJSON; a feature that is beyond repair does not stop the others.

    Args:
        path: A FeatureCollection, a feature, a geometry, or a list of these, nested as they may be; `.gz` is unpacked.

    Raises:
        ImageFileError: The file is no GeoJSON.
    """
    path = Path(path)
    return annotations_of(read_json(path, _EXPECTED), path)


def annotations_of(content: Any, path: str | PathLike[str]) -> Annotations:
    """The polygons of a GeoJSON that was read already.

    Args:
        content: A FeatureCollection, a feature, a geometry, or a list of these, nested as they may be.
        path: Where it came from, for messages.

    Raises:
        ImageFileError: It is no GeoJSON.
    """
    path = Path(path)
    try:
        objects = list(objects_of(content))
    except (TypeError, RecursionError) as error:
        kind = kind_of(content)
        got = f"something else ({error})" if kind == "GeoJSON" else kind
        raise ImageFileError(f"{path}: expected {_EXPECTED}, got {got}; export it again.") from error
    from shapely.errors import ShapelyError

    regions, skipped, mended = [], [], 0
    left_out: Counter[str] = Counter()
    for number, drawn in enumerate(objects, start=1):
        try:
            if (other := _no_region(drawn)) is not None:
                left_out[other] += 1
                continue
            region, is_mended = _region(drawn)
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
    return Annotations(Path(path), tuple(regions), mended, tuple(skipped), dict(left_out), is_ours(content))


def _no_region(drawn: Any) -> str | None:
    """What an object is that is none of ours, though nothing is wrong with it."""
    if not isinstance(drawn, Drawn):
        return None
    if drawn.kind in ("tile", "core"):
        return drawn.kind
    if drawn.kind == "cell" and not drawn.is_nucleus:
        return DETECTED[0]
    kind = drawn.geometry.get("type") if isinstance(drawn.geometry, dict) else None
    if kind not in _WITHOUT_AREA:
        return None
    return kind if drawn.kind == "annotation" else DETECTED[1]


def _region(drawn: Any) -> tuple[Region, bool]:
    import shapely
    from shapely.geometry import shape

    if not isinstance(drawn, Drawn) or not isinstance(drawn.geometry, dict):
        raise ValueError("it has no geometry")
    with np.errstate(all="ignore"):  # what is not finite is looked for below
        whole = shape(drawn.geometry)
    corners = shapely.get_coordinates(whole)
    if not np.isfinite(corners).all():
        raise ValueError("a coordinate is not finite")
    if abs(corners).max(initial=0) > FARTHEST_PX:
        raise ValueError(f"a coordinate lies beyond {FARTHEST_PX} px")
    polygons = list(_polygons(whole))
    sound = [polygon if polygon.is_valid else _mended(polygon) for polygon in polygons]
    parts = [part for part in sound if part.area > 0]
    if not parts:
        raise ValueError(f"a {whole.geom_type} without area")
    sound_whole = whole.is_valid and whole.geom_type != "GeometryCollection"  # whose polygons may overlap
    union = parts[0] if len(parts) == 1 else whole if sound_whole else shapely.union_all(parts)
    name, kind = drawn.name, drawn.kind
    several = tuple(Region(name, _rings(part), part.area, kind) for part in parts) if len(parts) > 1 else ()
    return Region(name, _rings(union), union.area, kind, several, drawn.has_children), not sound_whole


def _rings(geometry: Any) -> tuple[NDArray[np.float64], ...]:
    import shapely

    polygons = [polygon for polygon in _polygons(geometry) if polygon.area > 0]
    rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    return tuple(shapely.get_coordinates(ring)[:-1] for ring in rings)


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

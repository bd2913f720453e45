"""Regions of interest that people drew on a slide: GeoJSON as QuPath writes it, ASAP's XML, label images.

Only what encloses an area without doubt is taken: an outline that crosses itself is not mended, since nobody knows
which part was meant.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import FARTHEST_PX, counted
from coseg_bundle.data.images import LABEL_SUFFIXES, ImageFileError, read_label, suffix_of
from coseg_bundle.data.labels.json_files import is_ours, place_in, read_json
from coseg_bundle.data.labels.objects import Drawn, objects_of
from coseg_bundle.postprocessing.contours import trace_rings

_EXPECTED = "regions as GeoJSON, ASAP's XML or a label image"
_JSON = (".geojson", ".geojson.gz", ".json", ".json.gz")
_AREAS = ("Polygon", "MultiPolygon")
_TOUCHES = "Ring Self-intersection"
"""GEOS's word for an outline that touches itself at a point: what it encloses is clear."""


@dataclass(frozen=True)
class RegionOfInterest:
    """A region with a name.

    Attributes:
        name: Its own, unique in its file: what a person called it, or its class and number.
        class_name: Its class; empty without one.
        polygon: Shapely polygon or multipolygon, px of level 0.
    """

    name: str
    class_name: str
    polygon: Any


@dataclass(frozen=True)
class RegionsOfInterest:
    """The regions of a file.

    Attributes:
        regions: Those that can be used, in file order.
        refused: A sentence for each of the others.
        notes: Sentences on what else was left out or changed.
    """

    regions: tuple[RegionOfInterest, ...]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_regions(
    path: Path,
    size_xy: tuple[int, int] | None = None,
    origin_xy: tuple[int, int] | None = None,
    silent_xy: tuple[int, int] | None = None,
) -> RegionsOfInterest:
    """Reads regions of interest; one that cannot be used does not stop the others.

    Args:
        path: GeoJSON (annotations, and TMA cores but those marked as missing; `.gz` is unpacked), ASAP's XML, or a
            label image over the whole slide, of any size.
        size_xy: Width and height of the slide, px of level 0: what lies outside is cut, where it is not given what lies
            left of (0, 0) or above. A label image needs it.
        origin_xy: Where pixel (0, 0) lies on the slide's canvas, which ASAP counts from; GeoJSON of ours says where its
            own lies, and is moved accordingly. Where it is not given, coordinates are taken as they are.
        silent_xy: Where (0, 0) of GeoJSON lies on the canvas that does not say it; at `origin_xy` when not given.

    Raises:
        ImageFileError: The file is of none of these kinds, or has no region that can be used.
    """
    if not path.is_file():
        raise ImageFileError(f"{path}: file not found; check the path.")
    notes: list[str] = []
    ours = False
    if path.name.lower().endswith(_JSON):
        drawn, ours = _geojson(path, origin_xy, silent_xy, notes)
    elif suffix_of(path) == ".xml":
        drawn = _asap(path, origin_xy, notes)
    elif suffix_of(path) in LABEL_SUFFIXES:
        drawn = _label_image(path, size_xy)
    else:
        raise ImageFileError(
            f"{path}: expected {_EXPECTED}, got {path.suffix or 'no suffix'}; export the regions as one."
        )
    found, refused = _sound(path, drawn, size_xy, ours, notes)
    if not found:
        reason = f" (first: {refused[0].removeprefix(f'{path}: ')})" if refused else ""
        raise ImageFileError(f"{path}: no region in it can be used{reason}; draw regions with an area on this slide.")
    return RegionsOfInterest(tuple(_named(found)), tuple(refused), tuple(f"{path}: {note}" for note in notes))


_Raw = tuple[str, str, Any]
"""Name, class, and a geometry that may be anything, or the reason why there is none."""


def _geojson(
    path: Path, origin_xy: tuple[int, int] | None, silent_xy: tuple[int, int] | None, notes: list[str]
) -> tuple[list[_Raw], bool]:
    """The regions, and whether we wrote the file."""
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    content = read_json(path, _EXPECTED)
    place = place_in(content, path)
    try:
        objects = list(objects_of(content))
    except (TypeError, RecursionError) as error:
        raise ImageFileError(f"{path}: expected {_EXPECTED}, got something else ({error}); export it again.") from error
    drawn: list[_Raw] = []
    left_out: Counter[str] = Counter()
    for found in objects:
        if isinstance(found, Drawn) and found.kind not in ("annotation", "core"):
            left_out[found.kind] += 1
            continue
        if isinstance(found, Drawn) and found.missing:
            left_out["core marked as missing"] += 1
            continue
        try:
            with np.errstate(all="ignore"):  # what is not finite is looked for later
                drawn.append((found.title, found.name, shape(found.geometry)))
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, ShapelyError):
            drawn.append((getattr(found, "title", ""), getattr(found, "name", ""), "has no geometry"))
    if left_out:
        notes.append(f"left out: {counted(left_out)}")
    start = place[1] if place else silent_xy
    if start is None or origin_xy is None or start == origin_xy:
        return drawn, is_ours(content)
    shift = np.subtract(start, origin_xy)
    moved = [(name, kind, what if isinstance(what, str) else _moved(what, shift)) for name, kind, what in drawn]
    return moved, is_ours(content)


def _moved(geometry: Any, shift: NDArray[np.int_]) -> Any:
    import shapely

    return shapely.transform(geometry, lambda xy: xy + shift)


def _asap(path: Path, origin_xy: tuple[int, int] | None, notes: list[str]) -> list[_Raw]:
    """`Polygon`, `Spline` (its corners) and `Rectangle`; dots have no area."""
    import shapely

    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise ImageFileError(f"{path}: not valid XML ({error}); export it again.") from error
    if root.tag != "ASAP_Annotations":
        raise ImageFileError(f"{path}: expected {_EXPECTED}, got XML of {root.tag}; save it with ASAP.")
    drawn: list[_Raw] = []
    for annotation in root.iter("Annotation"):
        name, group = annotation.get("Name", ""), annotation.get("PartOfGroup", "")
        group = "" if group == "None" else group
        try:
            corners = sorted(annotation.iter("Coordinate"), key=lambda c: int(float(c.attrib["Order"])))
            points = np.array([[float(c.attrib[axis].replace(",", ".")) for axis in "XY"] for c in corners])
        except (KeyError, ValueError):
            drawn.append((name, group, "has a point that is no place"))
            continue
        if annotation.get("Type") == "Spline":
            notes.append(f"{name}: a spline, taken as the polygon of its points")
        few = annotation.get("Type") in ("Dot", "PointSet") or len(points) < 3
        drawn.append((name, group, "has no area" if few else shapely.Polygon(points - np.array(origin_xy or (0, 0)))))
    return drawn


def _label_image(path: Path, size_xy: tuple[int, int] | None) -> list[_Raw]:
    """A region for each id above 0."""
    import shapely

    labels = read_label(path)
    height, width = labels.shape
    if size_xy is None:
        raise ImageFileError(f"{path}: a label image says nothing of its place without the slide; give polygons.")
    scale = np.array(size_xy) / (width, height)
    if abs(width * scale[1] - size_xy[0]) > 1.5 * scale.max():
        raise ImageFileError(
            f"{path}: has {width} x {height} pixels and the slide {size_xy[0]} x {size_xy[1]}, another shape; "
            "export the labels over the whole slide."
        )
    rings: dict[int, list[Any]] = {}
    for ring in trace_rings(labels, diagonals=False):
        polygon = shapely.Polygon(ring.points_xy * scale)
        rings.setdefault(ring.label, []).append((ring.area > 0, polygon))
    drawn: list[_Raw] = []
    for label, parts in sorted(rings.items()):
        whole = shapely.union_all([polygon for outer, polygon in parts if outer])
        holes = shapely.union_all([polygon for outer, polygon in parts if not outer])
        islands = [
            p for outer, p in parts if outer and shapely.contains_properly(holes, p)
        ]  # in a hole of its own label
        drawn.append(("", str(label), shapely.union_all([shapely.difference(whole, holes), *islands])))
    return drawn


def _sound(
    path: Path, drawn: Sequence[_Raw], size_xy: tuple[int, int] | None, ours: bool, notes: list[str]
) -> tuple[list[RegionOfInterest], list[str]]:
    """The regions with an area on the slide, and a sentence for each of the others."""
    import shapely

    slide = shapely.box(0, 0, *(size_xy or (FARTHEST_PX, FARTHEST_PX)))
    of_size = f" of {size_xy[0]} x {size_xy[1]} px" if size_xy else ""
    found, refused = [], []
    for number, (name, class_name, geometry) in enumerate(drawn, start=1):
        said = f"{path}: region {number}{f' ({name or class_name})' if name or class_name else ''}"
        reason = geometry if isinstance(geometry, str) else _unusable(geometry)
        if reason is None:
            polygon = geometry if geometry.is_valid else shapely.make_valid(geometry, method="structure")
            # what we wrote is cut, and is taken as it is: a run that is limited to its own regions is the same run
            is_inside = ours and slide.covers(polygon)
            inside = polygon if is_inside else _polygonal(shapely.intersection(polygon, slide))
            if inside.area > 0:
                if inside.area < polygon.area * (1 - 1e-9):
                    notes.append(f"region {number} reaches beyond the slide and is cut at its border")
                found.append(RegionOfInterest(name, class_name, inside))
                continue
            reason = f"lies outside the slide{of_size}"
        refused.append(f"{said} {reason}; it is left out.")
    return found, refused


def _unusable(geometry: Any) -> str | None:
    import shapely

    corners = shapely.get_coordinates(geometry)
    if geometry.geom_type not in _AREAS or not len(corners):
        return f"has no area ({geometry.geom_type})"
    if not np.isfinite(corners).all() or abs(corners).max() > FARTHEST_PX:
        return "has a point that is no place in an image"
    reason = str(shapely.is_valid_reason(geometry))
    if geometry.convex_hull.area == 0:
        return "has no area"
    if not geometry.is_valid and not reason.startswith(_TOUCHES) and not _shares_edges(geometry):
        where = reason.partition("[")[2].rstrip("]")
        word = "crosses itself" if "ntersection" in reason else f"is no sound polygon ({reason.partition('[')[0]})"
        return f"{word} at {where}" if where else word
    return None


def _shares_edges(geometry: Any) -> bool:
    """Whether the parts of a multipolygon are sound and share edges alone: clear, though GEOS wants points at most."""
    import shapely

    parts = shapely.get_parts(geometry)
    if len(parts) < 2 or not shapely.is_valid(parts).all():
        return False
    return bool(abs(shapely.union_all(parts).area - geometry.area) <= geometry.area * 1e-9)


def _polygonal(geometry: Any) -> Any:
    """The parts of a geometry that have an area."""
    import shapely

    parts = [part for part in shapely.get_parts(geometry) if part.geom_type in _AREAS and part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.union_all(parts) if parts else shapely.Polygon()


def _named(regions: Sequence[RegionOfInterest]) -> Iterator[RegionOfInterest]:
    """Names that are unique: a number goes behind those that are not."""
    seen: Counter[str] = Counter()
    taken = {region.name for region in regions}
    for region in regions:
        base = region.name or region.class_name or "region"
        seen[base] += 1
        name = base if region.name and seen[base] == 1 else f"{base} {seen[base]}"
        while name != region.name and name in taken:
            seen[base] += 1
            name = f"{base} {seen[base]}"
        taken.add(name)
        yield RegionOfInterest(name, region.class_name, region.polygon)


def regions_containing(
    regions: Sequence[Any], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which points lie in which polygons: positions of both, pair by pair, sorted by point.

    A point on an edge belongs to the polygon on the right of the edge or below it, as in `data.polygons`: polygons that
    share an edge share no point, and none is lost between them.

    Args:
        regions: Shapely polygons.
        x: `(N,)`.
        y: `(N,)`.
    """
    import shapely

    if not len(regions) or not len(x):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    x, y = x + _ASIDE, y + _ASIDE / 1000  # off an edge that is vertical, or else horizontal
    tree = shapely.STRtree([shapely.box(*region.bounds) for region in regions])
    points, near = tree.query(shapely.points(x, y), predicate="intersects")
    order = np.argsort(near, kind="stable")
    points, near = points[order], near[order]
    keep = np.zeros(len(points), bool)
    for first, last in zip(*_runs(near), strict=True):
        region = regions[near[first]]
        shapely.prepare(region)
        rows = points[first:last]
        keep[first:last] = shapely.contains_xy(region, x[rows], y[rows])
    points, near = points[keep], near[keep]
    order = np.lexsort((near, points))
    return points[order], near[order]


_ASIDE = 1e-5
"""Pixels: far below what coordinates are rounded to, far above what they can tell apart at 10 million pixels."""


def _runs(values: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of equal values begins, and ends."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.append(starts[1:], len(values)).astype(np.intp)[: len(starts)]

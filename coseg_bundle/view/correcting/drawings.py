"""What holds of all that was drawn: later drawings win over earlier ones, and a nucleus stays one outline.

Where two nuclei lie upon each other the earlier one goes, or is cut: they never overlap. What the network finds counts
as earlier than all that was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.view.correcting.changes import polygon
from coseg_bundle.view.correcting.patches import ERASED, Drawing

TAIL = 0.1
"""Share of an outline's area that may lie beside its largest part: hands cross their own line where they end."""


def one_outline(drawn: Any) -> Any:
    """What the outline of a nucleus encloses, as one polygon; holes, and what it goes around twice, belong to it.

    Args:
        drawn: Polygons (shapely), as a stroke that crosses itself leaves them.

    Raises:
        ValueError: It has no area, or falls into parts.
    """
    import shapely

    faces = shapely.polygonize([shapely.node(shapely.boundary(drawn))])
    enclosed = shapely.union_all(shapely.get_parts(faces))
    if enclosed.area == 0:
        raise ValueError("Expected the outline of one nucleus, got one without an area; draw it anew.")
    whole = _largest(enclosed)
    if whole.area < (1 - TAIL) * enclosed.area:
        count = shapely.get_num_geometries(enclosed)
        raise ValueError(
            f"Expected the outline of one nucleus, got one that falls into {count} parts; draw them one by one."
        )
    return shapely.Polygon(whole.exterior)


def after(standing: Sequence[Drawing], drawing: Drawing) -> list[Drawing]:
    """What holds once something more is drawn.

    Tissue keeps what the drawing does not cover. Of nuclei see `beside`; those whose centroids are erased go, and all
    that they covered is erased.

    Args:
        standing: What held before.
        drawing: What is drawn.
    """
    import shapely

    kept, gone = [], []
    near = set(map(id, meeting(standing, drawing.polygon)))
    for one in standing:
        if id(one) not in near:
            kept.append(one)
            continue
        rest = one.polygon
        if one.task == drawing.task == "tissue":
            rest = _areal(shapely.difference(rest, drawing.polygon))
        elif one.is_nucleus and drawing.is_nucleus:
            rest = beside(rest, drawing.polygon)
        elif one.is_nucleus and drawing.task == "nuclei" and shapely.contains(drawing.polygon, rest.centroid):
            gone.append(rest)
            continue
        if rest is not None and rest.area > 0:
            kept.append(replace(one, polygon=rest))
    if gone:
        drawing = replace(drawing, polygon=_areal(shapely.union_all([drawing.polygon, *gone])))
    new = shapely.get_parts(drawing.polygon) if drawing.is_nucleus else [drawing.polygon]  # corrections saved long ago
    return [*kept, *(replace(drawing, polygon=part) for part in new)]


def told(standing: Sequence[Drawing], field: Any) -> list[Drawing]:
    """What the network is told about a field (shapely): where a nucleus was drawn nothing is erased."""
    import shapely

    said = meeting(standing, field)
    for number, one in enumerate(said):
        if one.task == "nuclei" and not one.is_nucleus:
            nuclei = shapely.union_all([other.polygon for other in meeting(standing, one.polygon) if other.is_nucleus])
            said[number] = replace(one, polygon=_areal(shapely.difference(one.polygon, nuclei)))
    return [one for one in said if one.polygon.area > 0 and shapely.intersects(one.polygon, field)]


def within(drawing: Drawing, frame: Any) -> Drawing:
    """The part of a drawing that lies in a frame (shapely)."""
    import shapely

    return replace(drawing, polygon=_areal(shapely.intersection(drawing.polygon, frame)))


def meeting(drawings: Sequence[Drawing], place: Any) -> list[Drawing]:
    """The drawings whose bounds meet those of a place (shapely), in their order: no other one has a part or a centroid
    in it."""
    import shapely

    near = shapely.STRtree([one.polygon for one in drawings]).query(place)
    return [drawings[i] for i in np.sort(near).tolist()]


def beside(nucleus: Any, later: Any) -> Any:
    """What is left of a nucleus beside a later one, polygons (shapely): its largest part.

    None where it goes: where one of them holds the centroid of the other, or most of its area.
    """
    import shapely

    shared = shapely.intersection(nucleus, later).area
    if 2 * shared > min(nucleus.area, later.area):
        return None
    if shapely.contains(later, nucleus.centroid) or shapely.contains(nucleus, later.centroid):
        return None
    return _largest(shapely.difference(nucleus, later)) if shared > 0 else nucleus


def left(
    rings: Sequence[NDArray[Any]], places_xy: NDArray[np.floating], standing: Sequence[Drawing]
) -> list[NDArray[Any] | None]:
    """What is left of nuclei that the network found where somebody drew.

    Args:
        rings: N outlines `(P, 2)`, px of level 0.
        places_xy: `(N, 2)` their centroids.
        standing: What holds of all that was drawn.

    Returns:
        Outlines; the same where nothing touches them, None of nuclei that go.
    """
    import shapely

    found: list[Any] = [polygon(ring) for ring in rings]
    standing = meeting(standing, shapely.box(*shapely.total_bounds(found))) if found else []
    nuclei = [one.polygon for one in standing if one.is_nucleus]
    erased = shapely.union_all([one.polygon for one in standing if one.task == "nuclei" and one.name == ERASED])
    kept: list[NDArray[Any] | None] = list(rings)
    for i, j in shapely.STRtree(nuclei).query(np.array(found, object), predicate="intersects").T:
        rest = None if found[i] is None else beside(found[i], nuclei[j])
        if rest is not found[i]:
            found[i] = rest
            kept[i] = None if rest is None else np.asarray(rest.exterior.coords, np.float64)[:-1]
    under = shapely.contains_xy(erased, np.reshape(places_xy, (-1, 2)))
    return [None if erase else ring for ring, erase in zip(kept, under, strict=True)]


def _largest(geometry: Any) -> Any:
    """The largest polygon of a geometry."""
    import shapely

    return max(shapely.get_parts(geometry), key=lambda part: part.area)


def _areal(geometry: Any) -> Any:
    """The polygons of a geometry; lines and points that an operation leaves are dropped."""
    import shapely

    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

"""The answer to a drawing as a patch: what the network says of a box, what stays of the table, and what was drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.service.shapes import Answer, Box, Shape, inside
from coseg_bundle.view.correcting.changes import changes, polygon, untouched
from coseg_bundle.view.correcting.drawings import left, meeting
from coseg_bundle.view.correcting.labels import box_of
from coseg_bundle.view.correcting.patches import Drawing, Patch, probabilities
from coseg_bundle.view.nuclei import joined, parts
from coseg_bundle.view.regions import Population
from coseg_bundle.view.results import Result

_MEASURED = {"Nucleus probability": "nuclei_prob", "Disagreement": "disagreement"}
_OF_A_CUT_ONE = (*_MEASURED.values(), "type_prob")
"""What of the table still holds of a nucleus that has another outline."""

_HAIR_PX = 1.0
"""Px of level 0: where outlines of tissue and of an answer run along each other, what lies between is thinner."""


@dataclass(frozen=True)
class _Nucleus:
    """A nucleus that the table does not hold so: its class id, outline, centroid, what is known by column, and its id
    (0 for a new one)."""

    type_id: int
    ring: NDArray[Any]
    place_xy: tuple[float, float]
    known: dict[str, float]
    id: int = 0


def patch_of(
    result: Result, silent: Answer, answer: Answer, standing: list[Drawing], drawing: Drawing, seconds: float
) -> Patch:
    """The answer as columns, beside what the network says of the box when nothing is drawn in it.

    Nuclei that were drawn stand. Of the others those of the table stand where both answers are alike; all of them give
    way to what was drawn, and those that are cut keep their id, and the place by which frames tell whose they are.

    Args:
        result: What is corrected.
        silent: What the network says of the box, told nothing.
        answer: What it says, told what was drawn.
        standing: What holds of all that was drawn; see `drawings.after`.
        drawing: What is answered.
        seconds: How long it took.
    """
    rows, new = _kept(result, silent, answer)
    rings = parts(result.nuclei.outlines(rows))
    beside = left(rings, result.nuclei.points_xy[rows], standing)
    whole = np.array([now is ring for now, ring in zip(beside, rings, strict=True)], bool)
    others = [
        *(
            _cut(result, row, now)
            for row, now, same in zip(rows, beside, whole, strict=True)
            if not same and now is not None
        ),
        *_found(result, new, standing),
        *_drawn(result, standing, answer.box),
    ]
    rows, stay = rows[whole], list(itertools.compress(rings, whole))
    columns = {
        name: np.array([*column.values[rows], *(one.known.get(name, np.nan) for one in others)], np.float32)
        for name, column in result.nuclei.columns.items()
        if not column.names
    }
    places = np.array([one.place_xy for one in others]).reshape(-1, 2)
    points = np.concatenate([result.nuclei.points_xy[rows], places])
    types = np.array([*result.nuclei.columns["type"].values[rows], *(one.type_id for one in others)], np.uint8)
    tissue = tuple(_tissue(answer, standing, result))
    population = Population(points, types, _under(points, tissue), *probabilities(columns, len(points)))
    ids = np.array([*result.nuclei.ids[rows], *(one.id for one in others)], np.int64)
    outlines = joined([*stay, *(one.ring for one in others)])
    return Patch(answer.box, drawing, population, ids, outlines, columns, tissue, answer.weights, seconds)


def _kept(result: Result, silent: Answer, answer: Answer) -> tuple[NDArray[np.intp], list[Shape]]:
    """Rows of the table in a box that stand, and what of an answer is new, also since nobody looked there before."""
    nuclei = result.nuclei
    rows = np.flatnonzero(inside(nuclei.points_xy, answer.box))
    before, found = ([shape for shape in said.shapes if shape.group == "nuclei"] for said in (silent, answer))
    was, now = ([polygon(shape.rings_xy[0]) for shape in shapes] for shapes in (before, found))
    gone, new = changes(was, now, [shape.name for shape in before], [shape.name for shape in found])
    changed = [*itertools.compress(was, gone), *itertools.compress(now, new)]
    own = [polygon(ring) for ring in parts(nuclei.outlines(rows))]
    new |= _unseen(result, now, own)
    return rows[untouched(own, changed)], list(itertools.compress(found, new))


def _unseen(result: Result, found: list[Any], own: list[Any]) -> NDArray[np.bool_]:
    """Which nuclei of an answer lie where the run did not look, and are none of the table's at its border."""
    import shapely

    if result.seen is None:
        return np.zeros(len(found), bool)
    outlines = np.array(found, object)
    beside = ~shapely.intersects(result.seen, shapely.centroid(outlines))
    beside[shapely.STRtree(own).query(outlines, predicate="intersects")[0]] = False
    return beside


def _cut(result: Result, row: int, ring: NDArray[Any]) -> _Nucleus:
    """A nucleus of the table that has another outline now."""
    columns = {name: column.values[row] for name, column in result.nuclei.columns.items()}
    known = {name: float(columns[name]) for name in _OF_A_CUT_ONE if name in columns}
    x, y = result.nuclei.points_xy[row]
    known |= _areas(ring, result.mpp)
    return _Nucleus(int(columns["type"]), ring, (x, y), known, int(result.nuclei.ids[row]))


def _found(result: Result, shapes: list[Shape], standing: list[Drawing]) -> Iterator[_Nucleus]:
    """What the network finds anew, beside what was drawn."""
    rings = [shape.rings_xy[0] for shape in shapes]
    places = [ring_centre(ring) for ring in rings]
    typed = len(result.nuclei_classes) > 2
    for shape, ring, place in zip(shapes, left(rings, np.array(places), standing), places, strict=True):
        if ring is not None:
            known = {_MEASURED[name]: value for name, value in shape.measurements.items() if name in _MEASURED}
            if typed and shape.score is not None:
                known["type_prob"] = shape.score
            type_id = result.nuclei_classes.id_of(shape.name)
            yield _Nucleus(type_id, ring, place, {**known, **_areas(ring, result.mpp)})


def _drawn(result: Result, standing: list[Drawing], box: Box) -> Iterator[_Nucleus]:
    """Nuclei that were drawn and whose middles lie in a box."""
    for one in meeting(standing, box_of(box)):
        if not one.is_nucleus:
            continue
        ring = np.asarray(one.polygon.exterior.coords, np.float64)[:-1]
        place = ring_centre(ring)
        if inside(np.array([place]), box)[0]:
            yield _Nucleus(result.nuclei_classes.id_of(one.name), ring, place, _areas(ring, result.mpp))


def ring_centre(ring: Any) -> tuple[float, float]:
    """The centroid of an outline."""
    import shapely

    centre = shapely.Polygon(ring).centroid
    return (centre.x, centre.y) if not centre.is_empty else tuple(np.mean(ring, axis=0))


def _areas(ring: Any, mpp: float | None) -> dict[str, float]:
    import shapely

    area = float(shapely.Polygon(ring).area)
    return {"area_px": area, **({"area_um2": area * mpp**2} if mpp else {})}


def _tissue(answer: Answer, standing: list[Drawing], result: Result) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Class id and rings of each tissue region; glass beside a slide's tissue has none, unless somebody drew it."""
    import shapely

    drawn = [one.polygon for one in meeting(standing, box_of(answer.box)) if one.task == "tissue"]
    allowed = None if result.tissue_area is None else shapely.union_all([result.tissue_area, *drawn])
    for shape in (shape for shape in answer.shapes if shape.group == "tissue"):
        class_id = result.tissue_classes.id_of(shape.name)
        if allowed is None:
            yield class_id, shape.rings_xy
            continue
        whole = shapely.make_valid(shapely.Polygon(shape.rings_xy[0], shape.rings_xy[1:]))
        for part in shapely.get_parts(shapely.intersection(whole, allowed)):
            if part.geom_type == "Polygon" and not part.buffer(-_HAIR_PX / 2).is_empty:
                rings = (part.exterior, *part.interiors)
                yield class_id, tuple(np.asarray(ring.coords, np.float64)[:-1] for ring in rings)


def _under(points_xy: Any, tissue: Any) -> Any:
    """The tissue class at each point, 0 where there is no region."""
    import shapely

    found = np.zeros(len(points_xy), np.uint8)
    for class_id, rings in tissue:
        region = shapely.make_valid(shapely.Polygon(rings[0], rings[1:]))
        shapely.prepare(region)
        found[shapely.contains_xy(region, points_xy)] = class_id
    return found

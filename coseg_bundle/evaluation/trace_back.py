"""How well drawn nuclei survive the way to a label map and back: painted, traced, compared with what was drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import Region
from coseg_bundle.data.polygons import large_first, paint_instances
from coseg_bundle.postprocessing.contours import trace_rings


@dataclass(frozen=True)
class TraceBack:
    """Nuclei after the way there and back; arrays have one value for each of them, in file order.

    Attributes:
        iou: Intersection over union of its traced outline and what of it is visible; 0 where nothing came back, NaN
            where nothing is visible either.
        visible_px: Area of what of it is visible.
        traced_px: Area within its traced outline.
        covered: Whether a nucleus painted over it hides part of it.
    """

    iou: NDArray[np.float64]
    visible_px: NDArray[np.float64]
    traced_px: NDArray[np.float64]
    covered: NDArray[np.bool_]


def trace_back(regions: Sequence[Region], shape: tuple[int, int], oversample: int = 1) -> TraceBack:
    """Paints nuclei as `coseg puma prepare` does, traces the map, and compares each outline with the drawn one.

    Args:
        regions: The nuclei as they were drawn.
        shape: Height and width of the image, px.
        oversample: How many times as fine as the image the map is, in each direction.

    Example:
        >>> square = np.array([[1, 1], [4, 1], [4, 4], [1, 4]])
        >>> trace_back([Region("", (square,), 9)], (6, 6)).iou.tolist()
        [1.0]
    """
    areas = [region.area_px for region in regions]
    instance_map, _ = paint_instances([region.rings_xy for region in regions], areas, shape, oversample)
    rings = defaultdict(list)
    for ring in trace_rings(instance_map):
        rings[ring.label].append(ring.points_xy / oversample)
    traced = [_enclosed(rings[number]) for number in range(1, len(regions) + 1)]
    visible, covered = visible_parts(regions, shape)
    pairs = [(v.intersection(t).area, v.union(t).area) for v, t in zip(visible, traced, strict=True)]
    shared, either = np.array(pairs, np.float64).reshape(-1, 2).T
    return TraceBack(
        iou=np.divide(shared, either, out=np.full(len(regions), np.nan), where=either > 0),
        visible_px=np.array([part.area for part in visible]),
        traced_px=np.array([part.area for part in traced]),
        covered=covered,
    )


def visible_parts(regions: Sequence[Region], shape: tuple[int, int]) -> tuple[list[Any], NDArray[np.bool_]]:
    """What remains of each polygon within the image when smaller ones lie on top (of equal ones, the later).

    Args:
        regions: Polygons, in file order.
        shape: Height and width of the image, px.

    Returns:
        A shapely geometry for each, which may be empty, and whether another polygon hides part of it.
    """
    import shapely

    drawn = [_enclosed(region.rings_xy).intersection(shapely.box(0, 0, shape[1], shape[0])) for region in regions]
    position = {number: i for i, number in enumerate(large_first([region.area_px for region in regions]))}
    tree = shapely.STRtree(drawn)
    visible = []
    for number, polygon in enumerate(drawn):
        near = tree.query(polygon, predicate="intersects").tolist()
        above = [drawn[other] for other in near if position[other] > position[number]]
        visible.append(polygon.difference(shapely.union_all(above)))
    return visible, np.array([part.area < whole.area for part, whole in zip(visible, drawn, strict=True)], bool)


def _enclosed(rings_xy: Iterable[NDArray[Any]]) -> Any:
    """What rings enclose by the even-odd rule."""
    import shapely

    whole = shapely.Polygon()
    for ring in rings_xy:
        whole = whole.symmetric_difference(shapely.Polygon(ring))
    return whole

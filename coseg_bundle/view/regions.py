"""What lies in a region that somebody drew: nuclei of each class, their density, the tissue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import Region, annotations_of
from coseg_bundle.data.labels.regions import regions_containing
from coseg_bundle.data.polygons import polygon_pixels
from coseg_bundle.measures.groups.intervals import class_probability, count_intervals
from coseg_bundle.view.nuclei import UNKNOWN

_LARGEST_MAP_PX = 4_000_000
"""Tissue is measured on a map of no more pixels: a coarser one for large regions."""

TissueMap = Callable[[tuple[int, int, int, int], int], NDArray[np.uint8]]
"""The tissue map in a box `(x0, y0, x1, y1)` of its pixels, every n-th pixel of it."""


@dataclass(frozen=True)
class Population:
    """Nuclei to count.

    Attributes:
        points_xy: `(N, 2)` centroids, px of level 0.
        types: `(N,)` uint8 positions in the names of the nuclei classes.
        tissues: `(N,)` uint8 positions in the names of the tissue classes.
        nuclei_prob: `(N,)` float32 probability of being a nucleus; NaN where it is not known.
        type_prob: `(N,)` float32 probability of the class; NaN where it is not known.
    """

    points_xy: NDArray[np.float64]
    types: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    nuclei_prob: NDArray[np.float32]
    type_prob: NDArray[np.float32]


def region_of(feature: Any, size_xy: tuple[int, int]) -> Any:
    """The polygon (shapely) of a GeoJSON feature or geometry, cut at the border of the image.

    Raises:
        ValueError: It is no polygon, or lies outside the image.
    """
    drawn = annotations_of(feature, "the region")
    if drawn.skipped:
        raise ValueError(f"The region cannot be used: {drawn.skipped[0].removeprefix('feature 1: ')}; draw it anew.")
    if not drawn.regions:
        raise ValueError("Expected a region with an area, got none; draw it anew.")
    return cut_to_image(drawn.regions[0], size_xy)


def cut_to_image(region: Region, size_xy: tuple[int, int]) -> Any:
    """A region as a shapely polygon, cut at the border of the image.

    Raises:
        ValueError: It lies outside.
    """
    import shapely

    rings = [shapely.Polygon(ring) for ring in region.rings_xy]
    whole = rings[0]
    for ring in rings[1:]:  # holes and further parts, even-odd
        whole = shapely.symmetric_difference(whole, ring)
    inside = shapely.intersection(shapely.make_valid(whole), shapely.box(0, 0, *size_xy))
    parts = [part for part in shapely.get_parts(inside) if part.geom_type == "Polygon" and part.area > 0]
    if not parts:
        raise ValueError(f"The region lies outside the image, which is {size_xy[0]} x {size_xy[1]} px; draw inside it.")
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def numbers(
    polygon: Any,
    population: Population,
    nuclei_names: tuple[str, ...],
    tissue_names: tuple[str, ...],
    mpp: float | None,
    tissue_map: TissueMap,
    pixel: float,
) -> dict[str, Any]:
    """Counts, areas and densities of a region.

    A nucleus belongs to the region that its centroid lies in; on a border, to the one on its right or below. Densities
    are nuclei per mm2 of the whole region, or of the part of it that a tissue class covers; they are None where the
    resolution is not known, or where there is no area. `low` and `high` of a count are None where a probability is not
    known.

    Args:
        polygon: The region, shapely, px of level 0.
        population: All nuclei.
        nuclei_names: Class names, background first.
        tissue_names: Class names by id.
        mpp: Microns per pixel of level 0.
        tissue_map: Gives the tissue.
        pixel: Pixels of level 0 that one of the tissue map is wide.
    """
    rows = _inside(population.points_xy, polygon)
    types, tissues = population.types[rows], population.tissues[rows]
    p, type_p, kinds = population.nuclei_prob[rows], population.type_prob[rows], len(nuclei_names) - 1
    area = float(polygon.area) * (mpp or 0) ** 2 / 1e6
    shares = _tissue_shares(polygon, len(tissue_names), tissue_map, pixel)
    of_tissue = np.bincount(tissues, minlength=UNKNOWN + 1)
    return {
        "area_px": round(float(polygon.area), 1),
        "area_mm2": round(area, 6) if mpp else None,
        "all": _counted(np.ones(len(rows), bool), p, area),
        "classes": [
            {"name": name, **_counted(types == i, class_probability(p, type_p, types, i, kinds), area)}
            for i, name in enumerate(nuclei_names)
            if i > 0
        ],
        "tissue": [
            {
                "name": name,
                "share": round(float(shares[i]), 4),
                "area_mm2": round(area * float(shares[i]), 6) if mpp else None,
                "count": int(of_tissue[i]),
                "density_mm2": _density(int(of_tissue[i]), area * float(shares[i])),
            }
            for i, name in enumerate(tissue_names)
        ],
    }


def _inside(points_xy: NDArray[np.float64], polygon: Any) -> NDArray[np.intp]:
    """Rows of the nuclei in a polygon, by the rule that `coseg measure` has."""
    x0, y0, x1, y1 = polygon.bounds
    x, y = points_xy.T
    near = np.flatnonzero((x >= x0 - 1) & (x <= x1 + 1) & (y >= y0 - 1) & (y <= y1 + 1))
    inside, _ = regions_containing([polygon], x[near], y[near])
    return np.asarray(near[inside], np.intp)


def _counted(found: NDArray[np.bool_], probability: NDArray[np.floating], area_mm2: float) -> dict[str, Any]:
    """A count, its density, and the interval that the probabilities give, as `coseg measure` gives it."""
    count = int(found.sum())
    interval = count_intervals(probability, np.zeros(len(probability), np.int64), 1)
    if np.isnan(interval.expected[0]):
        known = dict.fromkeys(("expected", "low", "high"))
    else:
        known = {"expected": round(float(interval.expected[0]), 1)}
        known |= {"low": int(interval.low[0]), "high": int(interval.high[0])}
    return {"count": count, "density_mm2": _density(count, area_mm2), **known}


def _tissue_shares(polygon: Any, classes: int, tissue_map: TissueMap, pixel: float) -> NDArray[np.float64]:
    """Shares of the region that each class covers, zeros where the region is smaller than a pixel of the map."""
    import shapely

    x0, y0, x1, y1 = (value / pixel for value in polygon.bounds)
    left, top, right, bottom = int(x0), int(y0), int(x1) + 1, int(y1) + 1
    step = max(1, int(np.ceil(((right - left) * (bottom - top) / _LARGEST_MAP_PX) ** 0.5)))
    part = tissue_map((left, top, right, bottom), step)
    rings = [ring for part in shapely.get_parts(polygon) for ring in (part.exterior, *part.interiors)]
    points = [(shapely.get_coordinates(ring) / pixel - (left, top)) / step for ring in rings]
    found = part[polygon_pixels(points, (part.shape[0], part.shape[1]))]
    counts = np.bincount(found, minlength=classes)[:classes]
    return np.asarray(counts / max(counts.sum(), 1), np.float64)


def _density(count: int, area_mm2: float) -> float | None:
    return round(count / area_mm2, 2) if area_mm2 > 0 else None

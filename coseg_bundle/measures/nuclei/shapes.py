"""Shape of nuclei from their outlines: exact moments of the polygons (Green's theorem), all nuclei at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.writers.summary import circle_width

SHAPES = (
    "perimeter_um",
    "equivalent_diameter_um",
    "major_axis_um",
    "minor_axis_um",
    "eccentricity",
    "solidity",
    "orientation_deg",
    "circularity",
)
"""What `shape_measures` gives, in the order of the tables."""


def shape_measures(
    polygons: NDArray[Any], mpp: float, area_um2: NDArray[np.floating] | None = None, *, pixel_px: float = 0.0
) -> dict[str, NDArray[np.float32]]:
    """Measures each polygon as `skimage.measure.regionprops` measures pixels; `docs/measures.md` has the definitions.

    Args:
        polygons: `(N,)` shapely polygons or multipolygons, px.
        mpp: Microns per pixel.
        area_um2: `(N,)` areas that are known better than from the outlines, such as counted pixels.
        pixel_px: Side of the pixels whose edges the outlines follow, px: their steps are no part of the perimeter. 0
            for outlines that follow none, whose length is taken as it is.

    Returns:
        `(N,)` float32 by the names of `SHAPES`; NaN for a polygon without area.

    Example:
        >>> import shapely
        >>> found = shape_measures(np.array([shapely.box(0, 0, 4, 2)]), mpp=0.5)
        >>> round(float(found["major_axis_um"][0]), 3), float(found["orientation_deg"][0]), float(found["solidity"][0])
        (2.309, 90.0, 1.0)
    """
    import shapely

    if not len(polygons):
        return {name: np.zeros(0, np.float32) for name in SHAPES}
    rings = _Rings.of(polygons)
    area, _, second = _moments(rings)
    outline = _perimeters(rings, pixel_px) * mpp
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b, c = (second / area[:, None]).T  # variances of x and y, and their covariance
        middle, spread = (a + b) / 2, np.hypot((a - b) / 2, c)
        large, small = middle + spread, np.maximum(middle - spread, 0)
        known = area * mpp**2 if area_um2 is None else np.asarray(area_um2, np.float64)
        found = {
            "perimeter_um": outline,
            "equivalent_diameter_um": circle_width(known),
            "major_axis_um": 4 * np.sqrt(large) * mpp,
            "minor_axis_um": 4 * np.sqrt(small) * mpp,
            "eccentricity": np.sqrt(1 - small / large),
            "solidity": area / shapely.area(shapely.convex_hull(polygons)),
            "orientation_deg": np.degrees(np.arctan2(2 * c, b - a) / 2),  # from the rows' axis, as skimage has it
            "circularity": np.minimum(4 * np.pi * known / outline**2, 1),
        }
    return {name: np.where(area > 0, values, np.nan).astype(np.float32) for name, values in found.items()}


def areas_and_centroids(polygons: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas `(N,)` and centroids `(N, 2)` of polygons, holes left out, px."""
    area, centroid, _ = _moments(_Rings.of(polygons))
    return area, centroid


@dataclass(frozen=True)
class _Rings:
    """Polygons as one list of points.

    Attributes:
        points_xy: `(P, 2)`, ring by ring, the last point of a ring repeating its first.
        ring: `(R + 1,)` where each ring begins.
        part: `(N + 1,)` which ring each polygon begins with.
        outer: `(R,)` whether a ring is no hole.
    """

    points_xy: NDArray[np.float64]
    ring: NDArray[np.int64]
    part: NDArray[np.int64]
    outer: NDArray[np.bool_]

    @classmethod
    def of(cls, polygons: NDArray[Any]) -> _Rings:
        import shapely

        kind, points, offsets = shapely.to_ragged_array(polygons, include_z=False)
        ring, part = offsets[0], offsets[1]
        outer = np.zeros(len(ring) - 1, bool)
        outer[part[:-1]] = True
        return cls(points, ring, part[offsets[2]] if kind == shapely.GeometryType.MULTIPOLYGON else part, outer)


def _moments(rings: _Rings) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Areas `(N,)`, centroids `(N, 2)` and central second moments `(N, 3)`: xx, yy, xy."""
    ring, part = rings.ring, rings.part
    first = rings.points_xy[ring[part[:-1]]]  # near the polygon: large coordinates would cost digits
    x0, y0 = (rings.points_xy - np.repeat(first, np.diff(ring[part]), axis=0)).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    cross = x0 * y1 - x1 * y0
    cross[ring[1:] - 1] = 0  # from the last point of a ring there is no edge
    terms = (
        cross / 2,
        (x0 + x1) * cross / 6,
        (y0 + y1) * cross / 6,
        (x0 * x0 + x0 * x1 + x1 * x1) * cross / 12,
        (y0 * y0 + y0 * y1 + y1 * y1) * cross / 12,
        (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0) * cross / 24,
    )
    of_ring = np.stack([np.add.reduceat(term, ring[:-1]) for term in terms])
    of_ring *= np.where(of_ring[0] < 0, -1, 1) * np.where(rings.outer, 1, -1)
    area, sx, sy, sxx, syy, sxy = np.add.reduceat(of_ring, part[:-1], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mx, my = sx / area, sy / area
    second = np.stack([sxx - mx * sx, syy - my * sy, sxy - mx * sy], axis=1)
    return area, first + np.stack([mx, my], axis=1), second


def _perimeters(rings: _Rings, pixel_px: float) -> NDArray[np.float64]:
    """Lengths of all rings of each polygon, px; corners are cut off a pixel's side away, or in the middle of a side."""
    ring, inner = rings.ring, np.ones(len(rings.points_xy), bool)
    inner[ring[1:] - 1] = False  # from the last point of a ring there is no side
    sides = (np.roll(rings.points_xy, -1, axis=0) - rings.points_xy)[inner]
    start = ring[:-1] - np.arange(len(ring) - 1)
    lengths = np.hypot(*sides.T)
    cut = sides * np.minimum(pixel_px / np.maximum(lengths, 1e-9), 0.5)[:, None]
    before = np.roll(cut, 1, axis=0)
    before[start] = cut[np.append(start[1:], len(cut)) - 1]
    lengths += np.hypot(*(before + cut).T) - 2 * np.hypot(*cut.T)
    return np.asarray(np.add.reduceat(np.add.reduceat(lengths, start), rings.part[:-1]))


def pixels_of(polygons: NDArray[Any]) -> float:
    """Side of the pixels whose edges outlines follow as `postprocessing.contours` draws them, px; 0 without a slope.

    The shortest slope of an outline goes one pixel aside, as near as its coordinates were rounded.

    Args:
        polygons: `(N,)` shapely polygons, px.

    Example:
        >>> import shapely
        >>> pixels_of(np.array([shapely.Polygon([(0, 0), (4, 0), (4, 2), (3, 3), (0, 3)])]))
        1.0
    """
    if not len(polygons):
        return 0.0
    rings = _Rings.of(polygons)
    aside = np.abs(np.roll(rings.points_xy, -1, axis=0) - rings.points_xy).min(axis=1)
    aside[rings.ring[1:] - 1] = 0
    shortest = np.minimum.reduceat(np.where(aside > 0, aside, np.inf), rings.ring[rings.part[:-1]])
    known = shortest[np.isfinite(shortest)]
    return float(np.median(known)) if len(known) else 0.0

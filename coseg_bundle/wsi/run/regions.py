"""A run that is limited to regions of interest: which tiles it needs, which pixels and nuclei are inside.

A nucleus is inside where its centroid is. Tiles are read as far beyond a region as its outermost nuclei may depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.labels.regions import regions_containing
from coseg_bundle.data.polygons import polygon_pixels
from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.segment.horizon import Horizon
from coseg_bundle.wsi.segment.nuclei import MARGIN_PX
from coseg_bundle.wsi.segment.tiling import Box


def tiles_near_regions(journal: Journal, tiles: Sequence[int]) -> list[int]:
    """Those of some tiles whose maps matter to what is inside the regions; all of them without regions."""
    import shapely

    if (polygons := _polygons(journal)) is None:
        return list(tiles)
    reach = MARGIN_PX + journal.layout.seam_px
    boxes = [shapely.box(*(v * journal.scale for v in journal.grid[tile].core.grown(reach))) for tile in tiles]
    near = shapely.STRtree(polygons).query(np.array(boxes, object), predicate="intersects")[0]
    return [tiles[i] for i in np.unique(near).tolist()]


def inside_regions(journal: Journal, points_xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points `(N, 2)`, px of level 0, lie in a region; all do without regions."""
    if (polygons := _polygons(journal)) is None:
        return np.ones(len(points_xy), bool)
    inside = np.zeros(len(points_xy), bool)
    inside[regions_containing(polygons, *points_xy.T)[0]] = True
    return inside


def region_mask(journal: Journal, box: Box) -> NDArray[np.bool_]:
    """Which pixels of a box of the tissue map have their centres in a region; all do without regions."""
    import shapely

    if (polygons := _polygons(journal)) is None:
        return np.ones((box.height, box.width), bool)
    mask = np.zeros((box.height, box.width), bool)
    around = shapely.box(*(v * journal.tissue_px for v in box))
    for polygon in polygons:
        if around.intersects(polygon):
            corner = np.array([box.x0, box.y0])
            rings = [
                shapely.get_coordinates(ring) / journal.tissue_px - corner
                for part in shapely.get_parts(polygon)
                for ring in shapely.get_rings(part)
            ]
            mask[polygon_pixels(rings, (box.height, box.width))] = True
    return mask


def horizon_of(journal: Journal) -> Horizon:
    """Where what the run looked at ends: at its regions, and at tiles that could not be read."""
    scale = journal.scale
    cores = [journal.grid[tile].core for tile in journal.tiles if journal.failure(tile)]
    broken = [(core.x0 * scale, core.y0 * scale, core.x1 * scale, core.y1 * scale) for core in cores]
    return Horizon.of(journal.plan.size_xy, _polygons(journal), broken)


def _polygons(journal: Journal) -> list[Any] | None:
    regions = journal.plan.regions_of_interest
    return None if regions is None else [region.polygon for region in regions]

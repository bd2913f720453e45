"""Tissue of a slide: from stitched logits to one clean map, and from the map to polygons that know no tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.tissue import clean_tissue, tissue_polygons
from coseg_bundle.wsi.segment.maps import TISSUE_STEP, MapLayout, TileSource
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

LARGEST_DISTANCE_UM = 250.0
"""Distances to the border of the tissue are measured up to here; nuclei that lie deeper have this value."""

PIECE_PX = 2048
"""Side of the pieces in which the tissue map is made and polygonised, in its own pixels."""


@dataclass(frozen=True)
class TissueRegion:
    """A connected region of one tissue class.

    Attributes:
        tissue_id: Class id.
        polygon: Shapely polygon with its holes, in pixels of level 0.
        area_um2: Its area.
    """

    tissue_id: int
    polygon: Any
    area_um2: float


def tissue_map(layout: MapLayout, tile_maps: TileSource, box: Box, min_area_px: int) -> NDArray[np.uint8]:
    """Tissue classes in a box of the slide's tissue map, small regions removed.

    Args:
        layout: What the maps hold.
        tile_maps: Maps of the tiles.
        box: In pixels of the tissue map (`TISSUE_STEP` network pixels each).
        min_area_px: Smallest region that stays, in pixels of the network.

    Returns:
        `(h, w)` uint8. A region that is smaller cannot reach further than its area, so a margin of that many pixels
        decides about it as the whole slide would.
    """
    smallest = -(-min_area_px // TISSUE_STEP**2)
    height, width = layout.tissue_size
    window = box.grown(2 * smallest).intersection(Box(0, 0, width, height))
    cleaned = clean_tissue(layout.tissue(tile_maps, window), min_area_px=smallest)
    return cleaned[box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0]


def tissue_regions(
    read: Callable[[Box], NDArray[np.uint8]], box: Box, pixel: float, mpp: float, piece_px: int = PIECE_PX
) -> Iterator[TissueRegion]:
    """Regions of every class but 0, whole across the pieces in which the map is read.

    Args:
        read: Gives the tissue map in a box.
        box: What to look at, in pixels of the tissue map.
        pixel: Width of such a pixel in pixels of level 0.
        mpp: Microns per pixel of the tissue map.
        piece_px: Side of the pieces.

    Yields:
        Regions, by class, then from the top left on.
    """
    import shapely

    inner: dict[int, list[Any]] = {}
    seam: dict[int, list[Any]] = {}
    for piece in TileGrid(box.width, box.height, piece_px, 0):
        x, y = piece.core.x0 + box.x0, piece.core.y0 + box.y0
        classes = read(Box(x, y, x + piece.core.width, y + piece.core.height))
        for region in tissue_polygons(classes, skip_ids=(0,)):
            outer = region.rings_xy[0]
            corner = np.array([x, y])
            polygon = shapely.Polygon(outer + corner, [ring + corner for ring in region.rings_xy[1:]])
            ends = [outer.min() == 0, outer[:, 0].max() == piece.core.width, outer[:, 1].max() == piece.core.height]
            (seam if any(ends) else inner).setdefault(region.tissue_id, []).append(polygon)
    for tissue_id in sorted(inner.keys() | seam.keys()):
        joined = shapely.get_parts(shapely.union_all(seam.get(tissue_id, [])))
        polygons = [*inner.get(tissue_id, []), *shapely.simplify(joined, 0)]  # no corners left on straight seams
        for polygon in sorted(polygons, key=lambda p: (p.bounds[1], p.bounds[0], p.bounds[3], p.bounds[2])):
            scaled = shapely.transform(polygon, lambda points: np.round(points * pixel, 2))
            yield TissueRegion(tissue_id, scaled, polygon.area * mpp**2)


def at_points(
    classes: NDArray[np.uint8], points_xy: NDArray[np.floating], mpp: float
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Tissue class at points, and the distance to the nearest pixel of another class.

    Args:
        classes: `(h, w)` tissue map around the points.
        points_xy: `(N, 2)` in its pixels.
        mpp: Microns per pixel of the map.

    Returns:
        Class ids, and distances in microns, at most `LARGEST_DISTANCE_UM`.
    """
    columns, rows = np.floor(points_xy).astype(np.intp).T
    rows, columns = np.clip(rows, 0, classes.shape[0] - 1), np.clip(columns, 0, classes.shape[1] - 1)
    ids = classes[rows, columns].astype(np.int16)
    distance = np.full(len(ids), LARGEST_DISTANCE_UM, np.float32)
    for tissue_id in np.flatnonzero(np.bincount(ids)):
        mask = (classes == tissue_id).astype(np.uint8)
        if mask.all():
            continue
        here = ids == tissue_id
        to_other = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[rows[here], columns[here]]
        to_other = np.sqrt(np.rint(to_other.astype(np.float64) ** 2))  # OpenCV's last digit differs from run to run
        distance[here] = np.minimum((to_other - 0.5) * mpp, LARGEST_DISTANCE_UM)
    return ids, distance

"""Tissue of a slide: from stitched logits to one clean map, and from the map to polygons that know no tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.tissue import specks, tissue_polygons, without_specks
from coseg_bundle.wsi.segment.maps import TISSUE_STEP, MapLayout, TileSource
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

LARGEST_DISTANCE_UM = 250.0
"""Distances to the border of the tissue are measured up to here; nuclei that lie deeper have this value."""

PIECE_PX = 2048
"""Side of the pieces in which the tissue map is made and polygonised, in its own pixels."""

LARGEST_MARGIN_PX = 2048
"""So far around a box the map is looked at, in its own pixels, to see what small regions become. Where nothing but
small regions reaches further, it matters where a slide is cut."""

Mask = Callable[[Box], NDArray[np.bool_]]
"""Gives a mask of the tissue map in a box."""


@dataclass(frozen=True)
class TissueRegion:
    """A connected region of one tissue class.

    Attributes:
        tissue_id: Class id.
        polygon: Shapely polygon with its holes, in pixels of level 0.
        area_um2: Its area, of what lies on the slide.
    """

    tissue_id: int
    polygon: Any
    area_um2: float


def tissue_map(
    layout: MapLayout, tile_maps: TileSource, box: Box, min_area_px: int, foreground: Mask | None = None
) -> NDArray[np.uint8]:
    """Tissue classes in a box of the slide's tissue map, small regions removed.

    Args:
        layout: What the maps hold.
        tile_maps: Maps of the tiles.
        box: In pixels of the tissue map (`TISSUE_STEP` network pixels each).
        min_area_px: Smallest region that stays, in pixels of the network.
        foreground: Where there may be tissue; everywhere when not given. Beyond it the class is 0 before small regions
            are looked for, since what it cuts off may be small.

    Returns:
        `(h, w)` uint8, as cut from the whole slide's: the window around the box grows until no small regions that lie
        together reach from the box to where they may go on, or be large.
    """
    smallest = -(-min_area_px // TISSUE_STEP**2)
    height, width = layout.tissue_size
    plane, margin = Box(0, 0, width, height), 2 * smallest
    while True:
        window = box.grown(margin).intersection(plane)
        classes = layout.tissue(tile_maps, window).argmax(axis=0).astype(np.uint8)
        if foreground is not None:
            classes[~foreground(window)] = 0
        if margin >= LARGEST_MARGIN_PX or not _cut(specks(classes, smallest), box, window, plane, smallest + 1):
            break
        margin *= 2
    cleaned = without_specks(classes, smallest)
    return cleaned[box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0]


def _cut(small: NDArray[np.bool_], box: Box, window: Box, plane: Box, reach: int) -> bool:
    """Whether small regions that lie together have pixels in a box and others near an edge of the window around it,
    where the plane goes on: up to `reach` pixels from there, large regions may look small."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(small.astype(np.uint8), connectivity=8)
    x0, y0 = stats[1:, cv2.CC_STAT_LEFT] + window.x0, stats[1:, cv2.CC_STAT_TOP] + window.y0
    x1, y1 = x0 + stats[1:, cv2.CC_STAT_WIDTH], y0 + stats[1:, cv2.CC_STAT_HEIGHT]
    inside = (x0 < box.x1) & (x1 > box.x0) & (y0 < box.y1) & (y1 > box.y0)
    cut = (x0 < window.x0 + reach) & (window.x0 > plane.x0) | (y0 < window.y0 + reach) & (window.y0 > plane.y0)
    cut |= (x1 > window.x1 - reach) & (window.x1 < plane.x1) | (y1 > window.y1 - reach) & (window.y1 < plane.y1)
    return bool((inside & cut).any())


def tissue_regions(
    read: Callable[[Box], NDArray[np.uint8]],
    box: Box,
    pixel: float,
    mpp: float,
    size_xy: tuple[int, int],
    piece_px: int = PIECE_PX,
) -> Iterator[TissueRegion]:
    """Regions of every class but 0, whole across the pieces in which the map is read.

    Args:
        read: Gives the tissue map in a box.
        box: What to look at, in pixels of the tissue map.
        pixel: Width of such a pixel in pixels of level 0.
        mpp: Microns per pixel of the tissue map.
        size_xy: Width and height of the slide, px of level 0: the map's last row and column may reach beyond.
        piece_px: Side of the pieces.

    Yields:
        Regions, by class, then from the top left on; outlines counterclockwise and holes clockwise by their coordinates
        (RFC 7946), inside the slide.
    """
    import shapely
    from shapely.geometry.polygon import orient

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
            inside = shapely.transform(polygon, lambda points: np.minimum(points, np.divide(size_xy, pixel)))
            scaled = shapely.transform(inside, lambda points: np.minimum(np.round(points * pixel, 2), size_xy))
            yield TissueRegion(tissue_id, orient(scaled), inside.area * mpp**2)


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

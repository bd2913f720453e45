"""How much of which tissue there is: on the slide, in each region, in each cell of a grid.

The tissue map is read tile by tile, and its pixels are counted by their centres. So areas of regions that part a slide
add up to the slide's, exactly, and memory does not grow with the slide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.data.polygons import polygon_pixels
from coseg_bundle.measures.groups.roles import Roles
from coseg_bundle.wsi.results.tissue_files import sampled
from coseg_bundle.wsi.segment.foreground import TISSUE
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

BORDER_UM = (20, 50, 100)
"""Stroma, and inflammatory nuclei in it, are counted within these distances of the tumour."""

_TILE_PX = 1024


@dataclass(frozen=True)
class TissuePlane:
    """The tissue of a slide or an image, and what of it counts.

    Args:
        classes: Gives the class ids of a box.
        shape: Height and width, px: those whose centres lie on the slide (`pixels_inside`).
        px: Width of a pixel in pixels of level 0.
        mpp: The same in microns.
        kinds: What there is over the whole plane (`wsi.segment.foreground.KINDS`), at any resolution: only tissue
            counts. All of it where it is None.
        broken: Boxes of level 0 (x0, y0, x1, y1) that could not be read.
        within: Shapely polygons, px of level 0: only what is inside one of them counts. Everything where it is None.
    """

    classes: Callable[[Box], NDArray[np.uint8]]
    shape: tuple[int, int]
    px: float
    mpp: float
    kinds: NDArray[np.uint8] | None = None
    broken: tuple[tuple[float, float, float, float], ...] = ()
    within: tuple[Any, ...] | None = None

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Class ids `(h, w)` of a box, `UNLABELLED` where it does not count."""
        found = np.array(self.classes(box))
        if self.kinds is not None:
            found[sampled(self.kinds, self.shape, box) != TISSUE] = UNLABELLED
        for x0, y0, x1, y1 in self.broken:
            columns = slice(*(max(0, round(v / self.px) - box.x0) for v in (x0, x1)))
            found[slice(*(max(0, round(v / self.px) - box.y0) for v in (y0, y1))), columns] = UNLABELLED
        if self.within is not None:
            inside = np.zeros(found.shape, bool)
            for polygon in self.within:
                inside[self.pixels(polygon, box)] = True
            found[~inside] = UNLABELLED
        return found

    def kinds_at(self, points_xy: NDArray[np.float64]) -> NDArray[np.uint8]:
        """What there is at points (N, 2), px of level 0: `(N,)` positions in `KINDS`; tissue where nothing says it."""
        if self.kinds is None:
            return np.full(len(points_xy), TISSUE, np.uint8)
        ends = np.array(self.shape[::-1])
        place = np.clip((points_xy / self.px).astype(np.int64), 0, ends - 1) * 2 + 1  # as `sampled`
        columns, rows = (place * self.kinds.shape[::-1] // (2 * ends)).T
        return np.asarray(self.kinds[rows, columns])

    def pixels(self, polygon: Any, box: Box) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns, in a box, of the pixels whose centres lie in a polygon."""
        import shapely

        x0, y0, x1, y1 = (v / self.px for v in polygon.bounds)
        if x1 < box.x0 or y1 < box.y0 or x0 > box.x1 or y0 > box.y1:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        corner = np.array([box.x0, box.y0])
        parts = shapely.get_parts(polygon)
        rings = [shapely.get_coordinates(ring) / self.px - corner for part in parts for ring in shapely.get_rings(part)]
        return polygon_pixels(rings, (box.height, box.width))


def pixels_inside(length: float, px: float) -> int:
    """How many pixels have their centres on a slide, 1 at least; a map of whole pixels may end behind it.

    Example:
        >>> pixels_inside(100, 8), pixels_inside(99, 8), pixels_inside(101, 8)  # the last centres lie at 92, 92, 100
        (12, 12, 13)
    """
    return max(1, int(np.ceil(length / px - 0.5)))


@dataclass(frozen=True)
class Grid:
    """Square cells over a slide, row by row from the corner of its coordinates.

    Args:
        side_um: Side of a cell.
        columns: Cells in a row.
        rows: Rows of cells.
    """

    side_um: float
    columns: int
    rows: int

    @classmethod
    def over(cls, width_um: float, height_um: float, side_um: float) -> Grid:
        """The grid that covers a slide."""
        return cls(side_um, max(1, int(np.ceil(width_um / side_um))), max(1, int(np.ceil(height_um / side_um))))

    def __len__(self) -> int:
        return self.columns * self.rows

    def cell(self, x_um: NDArray[np.floating], y_um: NDArray[np.floating]) -> NDArray[np.int64]:
        """Numbers of the cells that hold points; those on the outer border belong to the last ones."""
        column = np.clip(x_um // self.side_um, 0, self.columns - 1)
        row = np.clip(y_um // self.side_um, 0, self.rows - 1)
        return (row * self.columns + column).astype(np.int64)


@dataclass(frozen=True)
class Areas:
    """Areas of G groups, um2.

    Attributes:
        by_tissue: `(G, C)` of each tissue class.
        near_tumor: `(G, 3)` of stroma within each of `BORDER_UM` of tumour; NaN without such classes.
    """

    by_tissue: NDArray[np.float64]
    near_tumor: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """`(G,)` of everything that counts."""
        return np.asarray(self.by_tissue.sum(axis=1))


@dataclass(frozen=True)
class Survey:
    """What one look over the tissue gives.

    Attributes:
        slide: Areas of the whole, one group.
        regions: Areas of each region.
        cells: Areas of each cell of the grid; no groups without one.
        tumor_um: `(N,)` float32 distance of each point in stroma to the nearest tumour; NaN elsewhere, and beyond the
            largest of `BORDER_UM`.
    """

    slide: Areas
    regions: Areas
    cells: Areas
    tumor_um: NDArray[np.float32]


def survey(
    plane: TissuePlane,
    tissue_classes: int,
    roles: Roles,
    *,
    regions: Sequence[Any] = (),
    grid: Grid | None = None,
    points_xy: NDArray[np.float64] | None = None,
    regions_only: bool = False,
) -> Survey:
    """Measures the areas of a plane.

    Args:
        plane: The tissue.
        tissue_classes: Number of classes, C.
        roles: Which of them are tumour and stroma.
        regions: Shapely polygons, px of level 0; they may overlap.
        grid: Cells to measure too.
        points_xy: `(N, 2)` px of level 0, whose distance to the tumour is wanted.
        regions_only: Whether only tiles with a region are looked at; the rest of the answer is of these, then.
    """
    import shapely

    points = np.zeros((0, 2)) if points_xy is None else points_xy / plane.px
    codes = tissue_classes + (len(BORDER_UM) * len(roles.stroma) if roles.tumor else 0)
    counts = [np.zeros((groups, codes), np.int64) for groups in (1, len(regions), len(grid) if grid else 0)]
    tumor_um = np.full(len(points), np.nan, np.float32)
    tree = shapely.STRtree([shapely.box(*region.bounds) for region in regions])
    by_tile = _by_tile(points, plane.shape)
    for tile in TileGrid(plane.shape[1], plane.shape[0], _TILE_PX, 0):
        box = tile.core
        touching = tree.query(shapely.box(*(v * plane.px for v in box))).tolist()
        if regions_only and not touching:
            continue
        found, distance = _coded(plane, box, tissue_classes, roles)
        seen = found != UNLABELLED
        if distance is not None and (rows := by_tile.get(tile.index)) is not None:
            x, y = np.minimum(points[rows].astype(int), (plane.shape[1] - 1, plane.shape[0] - 1)).T
            tumor_um[rows] = distance[y - box.y0, x - box.x0]
        if not seen.any():
            continue
        counts[0][0] += np.bincount(found[seen], minlength=codes)
        for number in touching:
            inside = found[plane.pixels(regions[number], box)]
            counts[1][number] += np.bincount(inside[inside != UNLABELLED], minlength=codes)
        if grid:
            _count_cells(counts[2], found, seen, box, plane.mpp, grid)
    slide, of_regions, cells = (_areas(c, tissue_classes, roles, plane.mpp**2) for c in counts)
    return Survey(slide, of_regions, cells, tumor_um)


def _coded(
    plane: TissuePlane, box: Box, tissue_classes: int, roles: Roles
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Class ids of a box, stroma near tumour as ids of its own behind them; and the distance of stroma to tumour."""
    if not (roles.tumor and roles.stroma):
        return plane.read(box), None
    margin = int(np.ceil(BORDER_UM[-1] / plane.mpp)) + 1
    window = box.grown(margin).intersection(Box(0, 0, plane.shape[1], plane.shape[0]))
    wide = plane.read(window)
    inner = np.s_[box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0]
    found = wide[inner].copy()
    tumor, stroma = np.isin(wide, roles.tumor), np.isin(found, roles.stroma)
    distance = np.full(found.shape, np.nan, np.float32)
    if tumor.any() and stroma.any():
        away = cv2.distanceTransform((~tumor).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[inner]
        um = (np.sqrt(np.rint(away.astype(np.float64) ** 2)) - 0.5) * plane.mpp
        near = stroma & (um <= BORDER_UM[-1])
        distance[near] = um[near]
        kind = np.searchsorted(roles.stroma, found[near])
        found[near] = tissue_classes + kind * len(BORDER_UM) + np.searchsorted(BORDER_UM, um[near])
    return found, distance


def _areas(counts: NDArray[np.int64], tissue_classes: int, roles: Roles, um2: float) -> Areas:
    by_tissue, bands = counts[:, :tissue_classes].copy(), counts[:, tissue_classes:]
    if not bands.shape[1]:
        return Areas(np.asarray(by_tissue * um2, np.float64), np.full((len(counts), len(BORDER_UM)), np.nan))
    bands = bands.reshape(len(counts), len(roles.stroma), len(BORDER_UM))
    by_tissue[:, list(roles.stroma)] += bands.sum(2)
    near = np.cumsum(bands.sum(1), axis=1) * um2
    return Areas(np.asarray(by_tissue * um2, np.float64), np.asarray(near, np.float64))


def _count_cells(
    counts: NDArray[np.int64], found: NDArray[np.uint8], seen: NDArray[np.bool_], box: Box, mpp: float, grid: Grid
) -> None:
    columns = np.clip((np.arange(box.x0, box.x1) + 0.5) * mpp // grid.side_um, 0, grid.columns - 1).astype(np.int64)
    rows = np.clip((np.arange(box.y0, box.y1) + 0.5) * mpp // grid.side_um, 0, grid.rows - 1).astype(np.int64)
    x0, y0, codes = columns[0], rows[0], counts.shape[1]  # a tile touches few of the cells
    width, height = columns[-1] - x0 + 1, rows[-1] - y0 + 1
    place = (rows[:, None] - y0) * width + (columns - x0)
    total = np.bincount((place * codes + found)[seen], minlength=width * height * codes).reshape(height, width, codes)
    counts.reshape(grid.rows, grid.columns, codes)[y0 : y0 + height, x0 : x0 + width] += total


def _by_tile(points: NDArray[np.float64], shape: tuple[int, int]) -> dict[int, NDArray[np.intp]]:
    """Positions of the points in each tile."""
    if not len(points):
        return {}
    columns, last = -(-shape[1] // _TILE_PX), -(-shape[0] // _TILE_PX) - 1
    column, row = np.minimum(points // _TILE_PX, (columns - 1, last)).astype(np.intp).T
    tile = row * columns + column
    order = np.argsort(tile, kind="stable")
    names, first = np.unique(tile[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))

"""A region of a slide, segmented at once: the nuclei and the tissue that a run over the whole slide finds there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.postprocessing.tissue import smallest_region
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.horizon import Horizon
from coseg_bundle.wsi.segment.maps import TISSUE_STEP, MapLayout, TileMaps
from coseg_bundle.wsi.segment.nuclei import PIECE_PX, NucleiSettings, NucleiTable, find_nuclei, needed_box
from coseg_bundle.wsi.segment.tiles import BATCH_SIZE, HALO_PX, TILE_PX, infer_tiles, network_grid, read_tile
from coseg_bundle.wsi.segment.tiling import Box, TileGrid
from coseg_bundle.wsi.segment.tissue import TissueRegion, at_points, tissue_map, tissue_regions

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor


@dataclass(frozen=True)
class RegionResult:
    """What was found in a region.

    Attributes:
        nuclei: Nuclei whose centroids lie in the region, whole where they reach beyond it; pixels of level 0. Distances
            to the border of their tissue are NaN where they reach out of the region.
        tissue: Tissue regions, cut at the border of the region; pixels of level 0.
        tissue_map: `(h, w)` uint8 over the region, `TISSUE_STEP` network pixels each.
        box_xywh: The region that was segmented, in pixels of level 0: the one asked for, cut at the slide's border and
            rounded outwards to pixels of the tissue map.
        mpp: Microns per pixel of the network.
    """

    nuclei: NucleiTable
    tissue: tuple[TissueRegion, ...]
    tissue_map: NDArray[np.uint8]
    box_xywh: tuple[float, float, float, float]
    mpp: float


def segment_region(
    reader: SlideReader,
    predictor: Predictor,
    box_xywh: tuple[float, float, float, float],
    mpp: float | None = None,
    tile_px: int = TILE_PX,
    halo_px: int = HALO_PX,
    batch_size: int = BATCH_SIZE,
    offset_px: int = 0,
    known: bool = True,
) -> RegionResult:
    """Segments a rectangle of a slide.

    The tiles lie where those of a run over the whole slide do, so that two regions side by side share no nucleus and
    miss none. They go through the network whole, whatever of them is tissue.

    Args:
        reader: The slide.
        predictor: The network and its settings; an inferer with tiles of `tile_px` sends each tile through it once.
        box_xywh: Left, top, width and height in pixels of level 0.
        mpp: Microns per pixel at which the network works; the predictor's own when not given.
        tile_px: Side of a tile, halo included, px at the network's resolution.
        halo_px: Halo around a tile's core; three quarters of it are blended with the neighbours.
        batch_size: Tiles that go through the network together.
        offset_px: How far the tiles are moved to the left and up.
        known: Whether the reader's resolution is the slide's, not a guess (`resolution_known`). Where it is a guess,
            nuclei in the middle of the region tell how far away all of it was seen.

    Raises:
        ValueError: The box lies outside the slide, or a size is out of range.
        SlideReadError: A part of the file is broken.
    """
    mpp = mpp or predictor.mpp
    grid = network_grid(reader, mpp, tile_px, halo_px, offset_px)
    layout = MapLayout.of(predictor.postprocessing.layout, grid)
    settings = NucleiSettings.of(predictor.postprocessing)
    scale = mpp / reader.mpp
    coarse = _coarse_box(box_xywh, scale, layout)
    box = Box(*(value * TISSUE_STEP for value in coarse)).intersection(grid.plane)
    maps = _Maps(reader, predictor, layout, mpp, batch_size, known)
    maps.ensure(sorted(layout.tiles(needed_box(box, layout)), key=lambda tile: _off_centre(grid[tile].window, box)))
    tables = []
    for piece in pieces(box, PIECE_PX):
        table, corner = find_nuclei(layout, maps, piece, settings)
        tables.append(NucleiTable.of(table, *corner, scale, mpp, reader.size_xy))
    nuclei = NucleiTable.concatenate(tables)
    smallest = smallest_region(predictor.postprocessing.min_tissue_area_px, reader.mpp / mpp)
    classes = tissue_map(layout, maps.seen, coarse, smallest)
    tissue_px, tissue_mpp = TISSUE_STEP * scale, TISSUE_STEP * mpp
    points = nuclei.centroid_xy / tissue_px - np.array([coarse.x0, coarse.y0])
    nuclei.tissue_id[:], nuclei.tissue_border_um[:] = at_points(classes, points, tissue_mpp)
    done = (box.x0 * scale, box.y0 * scale, box.width * scale, box.height * scale)
    known_um = _horizon(box, grid, scale, reader.size_xy).distance(nuclei.centroid_xy) * reader.mpp
    nuclei.tissue_border_um[nuclei.tissue_border_um > known_um - tissue_mpp] = np.nan
    regions = tissue_regions(
        lambda b: classes[b.y0 - coarse.y0 : b.y1 - coarse.y0, b.x0 - coarse.x0 : b.x1 - coarse.x0],
        coarse,
        tissue_px,
        tissue_mpp,
        reader.size_xy,
    )
    return RegionResult(nuclei, tuple(regions), classes, done, mpp)


def _horizon(box: Box, grid: TileGrid, scale: float, size_xy: tuple[int, int]) -> Horizon:
    """That of a box of the plane, whose own edge is the slide's."""
    import shapely

    x1, y1 = (
        size if side == end else side * scale
        for side, end, size in zip((box.x1, box.y1), (grid.width, grid.height), size_xy, strict=True)
    )
    return Horizon.of(size_xy, [shapely.box(box.x0 * scale, box.y0 * scale, x1, y1)])


def pieces(box: Box, side: int) -> list[Box]:
    """A box cut into squares."""
    return [
        Box(x, y, min(x + side, box.x1), min(y + side, box.y1))
        for y in range(box.y0, box.y1, side)
        for x in range(box.x0, box.x1, side)
    ]


class _Maps:
    """Maps of tiles, inferred when they are first asked for."""

    def __init__(
        self, reader: SlideReader, predictor: Predictor, layout: MapLayout, mpp: float, batch_size: int, known: bool
    ) -> None:
        self.reader, self.predictor, self.layout, self.mpp, self.batch_size = reader, predictor, layout, mpp, batch_size
        self.known = known
        self.done: dict[int, TileMaps] = {}

    def ensure(self, tiles: list[int]) -> None:
        missing = [tile for tile in tiles if tile not in self.done]
        with resolution_known(self.known):
            for start in range(0, len(missing), self.batch_size):
                batch = missing[start : start + self.batch_size]
                images = [read_tile(self.reader, self.layout.grid, tile, self.mpp) for tile in batch]
                self.done.update(zip(batch, infer_tiles(self.predictor, images, self.layout), strict=True))

    def __call__(self, tile: int) -> TileMaps | None:
        self.ensure([tile])
        return self.done[tile]

    def seen(self, tile: int) -> TileMaps | None:
        return self.done.get(tile)


def _off_centre(window: Box, box: Box) -> float:
    """How far the middle of a window is from that of a box."""
    return math.hypot(window.x0 + window.x1 - box.x0 - box.x1, window.y0 + window.y1 - box.y0 - box.y1) / 2


def _coarse_box(box_xywh: tuple[float, float, float, float], scale: float, layout: MapLayout) -> Box:
    x, y, width, height = (value / scale / TISSUE_STEP for value in box_xywh)
    asked = Box(*(int(v) for v in (np.floor(x), np.floor(y), np.ceil(x + width), np.ceil(y + height))))
    rows, columns = layout.tissue_size
    coarse = asked.intersection(Box(0, 0, columns, rows))
    if coarse.empty or width <= 0 or height <= 0:
        raise ValueError(f"Expected a box that shares pixels with the slide, got x, y, width, height = {box_xywh}.")
    return coarse

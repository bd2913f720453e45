"""Tiles through the network: read, infer, encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.engine.tensors import moved
from coseg_bundle.inferers.predictor import infer_batch
from coseg_bundle.postprocessing.fill import REACH_PX, find_fill, may_hold_fill, whitened
from coseg_bundle.postprocessing.prediction import silence
from coseg_bundle.wsi.read.backend import Region
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.maps import MapLayout, TileMaps
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor

TILE_PX, HALO_PX, BATCH_SIZE = 512, 64, 4
"""Side of a tile that the network sees, the halo in it on every side, tiles that go through the network together."""


def network_grid(
    reader: SlideReader, mpp: float, tile_px: int = TILE_PX, halo_px: int = HALO_PX, offset_px: int = 0
) -> TileGrid:
    """The tiles of a slide at the network's resolution.

    Args:
        reader: The slide.
        mpp: Microns per pixel of the network.
        tile_px: Side of a tile with its halo.
        halo_px: Width of the halo.
        offset_px: How far the grid is moved to the left and up.

    Raises:
        ValueError: The halo leaves no core, or the resolution makes no sense.
    """
    if tile_px <= 2 * halo_px:
        raise ValueError(f"Expected a tile larger than twice its halo, got {tile_px} px with a halo of {halo_px} px.")
    return TileGrid(*reader.size_at(mpp), tile_px - 2 * halo_px, halo_px, offset_px)


class TileImage(NamedTuple):
    """What the network sees of a tile.

    Attributes:
        rgb: `(P, P, 3)` uint8, mirrored beyond the slide's edge, white where it was not scanned.
        unscanned: `(P, P)` bool.
    """

    rgb: NDArray[np.uint8]
    unscanned: NDArray[np.bool_]

    @classmethod
    def blank(cls, side: int) -> TileImage:
        """White."""
        return cls(np.full((side, side, 3), 255, np.uint8), np.zeros((side, side), bool))


def read_tile(reader: SlideReader, grid: TileGrid, index: int, mpp: float) -> TileImage:
    """The window of a tile. What is fill in it is decided with all around that matters, as in any other tile."""
    window = grid[index].window
    seen = _read(reader, window, grid.plane, mpp)
    fill = np.zeros(seen.rgb.shape[:2], bool)
    if may_hold_fill(seen.rgb):
        inner = np.s_[REACH_PX : REACH_PX + window.height, REACH_PX : REACH_PX + window.width]
        fill = find_fill(_read(reader, window.grown(REACH_PX), grid.plane, mpp).rgb)[inner]
    if seen.unscanned is not None:
        fill |= seen.unscanned
    return TileImage(whitened(seen.rgb, fill), fill)


def _read(reader: SlideReader, box: Box, plane: Box, mpp: float) -> Region:
    """A box of the plane. Beyond the plane it goes on as in a mirror, as images do for `predict`: tissue that the
    file cuts at its edge is not the border of a piece."""
    scale = mpp / reader.mpp
    x, y = _mirrored(box.x0, box.x1, plane.width), _mirrored(box.y0, box.y1, plane.height)
    left, top = int(x.min()), int(y.min())
    width, height = int(x.max()) + 1 - left, int(y.max()) + 1 - top
    region = reader.region(left * scale, top * scale, width * scale, height * scale, mpp)
    if box == box.intersection(plane):
        return region
    places = np.ix_(y - top, x - left)
    return Region(region.rgb[places], None if region.unscanned is None else region.unscanned[places])


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Which of `size` pixels stand at positions from `start` to below `stop`."""
    period = max(2 * (size - 1), 1)
    at = np.arange(start, stop) % period
    return np.minimum(at, period - at)


def infer_tiles(predictor: Predictor, images: Sequence[TileImage], layout: MapLayout) -> list[TileMaps]:
    """Maps of a batch of windows."""
    pred = infer_batch(predictor, np.stack([image.rgb for image in images]))
    for maps, image in zip(pred, images, strict=True):
        if image.unscanned.any():
            silence(maps, predictor.postprocessing.layout, moved(image.unscanned, pred))
    return layout.encode(pred, predictor.postprocessing.layout)

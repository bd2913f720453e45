"""Tiles through the network: read, infer, encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.maps import MapLayout, TileMaps
from coseg_bundle.wsi.segment.tiling import TileGrid

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


def read_tile(reader: SlideReader, grid: TileGrid, index: int, mpp: float) -> NDArray[np.uint8]:
    """The window of a tile `(P, P, 3)`, white outside the slide."""
    window, scale = grid[index].window, mpp / reader.mpp
    return reader.read(window.x0 * scale, window.y0 * scale, window.width * scale, window.height * scale, mpp)


def infer_tiles(predictor: Predictor, images: Sequence[NDArray[np.uint8]], layout: MapLayout) -> list[TileMaps]:
    """Maps of a batch of windows."""
    import torch

    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (B, P, P, 3) -> (B, 3, P, P)
    with torch.inference_mode():
        pred = predictor.inferer(batch.to(predictor.device).float() / 255, predictor.network)
        return layout.encode(pred, predictor.postprocessing.layout)

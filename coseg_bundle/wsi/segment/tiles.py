"""Tiles through the network: read, infer, encode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.engine.tensors import Images, moved, zeros
from coseg_bundle.inferers.predictor import infer_batch
from coseg_bundle.postprocessing.fill import REACH_PX, find_fill, may_hold_fill, whitened
from coseg_bundle.postprocessing.prediction import silence
from coseg_bundle.wsi.read.backend import Region
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.maps import MapLayout, TileMaps
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.networks import HeadLayout

TILE_PX, HALO_PX, BATCH_SIZE = 1088, 32, 4
"""Largest side of what the network sees of a tile, the halo in it on every side, tiles that are read together."""

_STEP_PX = 128
"""Parts begin at multiples from where their window begins, and end there: attention within windows of 128 px sees in a
part what it sees in the whole (docs/decisions/local-attention.md). And there are few sizes, so that on a GPU some parts
go through the network together."""


def window_settings(tile_px: int = TILE_PX, batch_size: int = BATCH_SIZE) -> dict[str, Any]:
    """Values of the configuration with which tiles go through the network: they bring what surrounds them along, so
    that none is framed by its mirror image."""
    return {"tile_size": tile_px, "tile_batch_size": batch_size, "border_px": 0}


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
    """What the network sees of a tile: its window, or a part of it.

    Attributes:
        rgb: `(h, w, 3)` uint8, mirrored beyond the slide's edge, white where it was not scanned.
        unscanned: `(h, w)` bool.
        corner: Column and row of the window where the part begins.
    """

    rgb: NDArray[np.uint8]
    unscanned: NDArray[np.bool_]
    corner: tuple[int, int] = (0, 0)

    @classmethod
    def blank(cls, part: Box) -> TileImage:
        """White."""
        shape = (part.height, part.width)
        return cls(np.full((*shape, 3), 255, np.uint8), np.zeros(shape, bool))


def part_with(mask: NDArray[np.bool_], grid: TileGrid, index: int, seam_px: int) -> Box:
    """The part of a tile's window that has to go through the network: foreground, and a halo around it.

    Args:
        mask: Foreground `(h, w)` over the plane of the grid, at any resolution.
        grid: The tiles.
        index: A tile with foreground.
        seam_px: How far beyond its core the tile is used: what stands there counts too.

    Returns:
        A box inside the window, from and to multiples of `_STEP_PX` in it, or its end.
    """
    window, (height, width) = grid[index].window, mask.shape
    used = window.grown(seam_px - grid.halo_px).intersection(grid.plane)
    left, top, right, bottom = grid.on_picture(used, mask.shape)
    seen = mask[top:bottom, left:right]
    if not seen.any():
        return window
    x0, x1 = _around(np.asarray(seen.any(0)), left, grid.width / width, grid.halo_px, window.x0, window.x1)
    y0, y1 = _around(np.asarray(seen.any(1)), top, grid.height / height, grid.halo_px, window.y0, window.y1)
    return Box(x0, y0, x1, y1)


def _around(seen: NDArray[np.bool_], first: int, px: float, halo_px: int, start: int, stop: int) -> tuple[int, int]:
    """Along one axis, what is seen (`px` pixels each, the first at number `first` of the plane) and a halo on either
    side, between `start` and `stop`."""
    at = np.nonzero(seen)[0] + first
    low = max(math.floor(at[0] * px) - halo_px - start, 0) // _STEP_PX
    high = -(-(math.ceil((at[-1] + 1) * px) + halo_px - start) // _STEP_PX)
    return start + low * _STEP_PX, min(start + high * _STEP_PX, stop)


def read_tile(reader: SlideReader, grid: TileGrid, index: int, mpp: float, part: Box | None = None) -> TileImage:
    """A tile's window, or the part of it that is asked for.

    What is fill in it is decided with all around that matters, as in any other tile.
    """
    window = grid[index].window
    part = part or window
    seen = _read(reader, part, grid.plane, mpp)
    fill = np.zeros(seen.rgb.shape[:2], bool)
    if may_hold_fill(seen.rgb):
        inner = np.s_[REACH_PX : REACH_PX + part.height, REACH_PX : REACH_PX + part.width]
        fill = find_fill(_read(reader, part.grown(REACH_PX), grid.plane, mpp).rgb)[inner]
    if seen.unscanned is not None:
        fill |= seen.unscanned
    return TileImage(whitened(seen.rgb, fill), fill, (part.x0 - window.x0, part.y0 - window.y0))


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
    """Maps of tiles, in their order. Beyond a part nothing is.

    On a GPU parts of one size go through the network together. Elsewhere that gains nothing, and one answer is held at
    a time.
    """
    together = getattr(predictor.device, "type", "cpu") != "cpu"
    alike: dict[Any, list[int]] = {}
    for number, image in enumerate(images):
        alike.setdefault(image.rgb.shape if together else number, []).append(number)
    found: dict[int, TileMaps] = {}
    for numbers in alike.values():
        pred = infer_batch(predictor, np.stack([images[number].rgb for number in numbers]))
        for maps, number in zip(pred, numbers, strict=True):
            whole = _in_window(maps, images[number], layout, predictor.postprocessing.layout)
            [found[number]] = layout.encode(whole[None], predictor.postprocessing.layout)
    return [found[number] for number in range(len(images))]


def _in_window(maps: Images, image: TileImage, layout: MapLayout, channels: HeadLayout) -> Images:
    """The network's answer `(C, h, w)` for a part, in the window of its tile, silent where it is not to be asked."""
    side = layout.grid.core_px + 2 * layout.grid.halo_px
    silent = image.unscanned
    if silent.shape != (side, side):
        (x, y), (height, width) = image.corner, silent.shape
        here = np.s_[y : y + height, x : x + width]
        whole = zeros((maps.shape[0], side, side), maps)
        whole[:, here[0], here[1]] = maps
        maps, silent = whole, np.ones((side, side), bool)
        silent[here] = image.unscanned
    if silent.any():
        silence(maps, channels, moved(silent, maps))
    return maps

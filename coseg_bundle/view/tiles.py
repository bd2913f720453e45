"""Square pictures of a slide and of its tissue map, at every power of two.

A tile has an address as in Deep Zoom: level 0 is the image itself, each level is half as large as the one before, and
tiles of `TILE_PX` are counted from the upper left corner.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle.classes import ClassMap
from coseg_bundle.wsi.read.reader import UNREADABLE, SlideReader, SlideReadError

TILE_PX = 512
_KEPT = 400
"""Compressed tiles that are kept, about 30 KB each."""

_FILL, _EDGE = 64, 255
"""Opacity of a tissue region and of its border."""

Address = tuple[int, int, int]
"""Level, column, row."""


class NoTileError(ValueError):
    """An address outside the image."""


def level_count(size_xy: tuple[int, int]) -> int:
    """How many levels there are; the last one is a single tile."""
    return 1 + max(0, math.ceil(math.log2(max(size_xy) / TILE_PX)))


def addresses(size_xy: tuple[int, int], level: int) -> list[Address]:
    """Every tile of a level."""
    columns, rows = (math.ceil(side / (TILE_PX << level)) for side in size_xy)
    return [(level, column, row) for row in range(rows) for column in range(columns)]


def extent(size_xy: tuple[int, int], address: Address) -> tuple[int, int, int, int]:
    """What a tile shows: left, top, width and height, px of level 0.

    Raises:
        NoTileError: There is no such tile.
    """
    level, column, row = address
    side = TILE_PX << level if 0 <= level < level_count(size_xy) else 0
    left, top = column * side, row * side
    if side == 0 or not (0 <= left < size_xy[0] and 0 <= top < size_xy[1]):
        raise NoTileError(f"There is no tile {column}, {row} of level {level}.")
    return left, top, min(side, size_xy[0] - left), min(side, size_xy[1] - top)


class ImageTiles:
    """JPEG tiles of a slide or an image; parts that cannot be read are shown in a colour that no stain has.

    Args:
        reader: The slide.
    """

    def __init__(self, reader: SlideReader) -> None:
        self.reader = reader
        self.jpeg = lru_cache(_KEPT)(self._jpeg)

    def _jpeg(self, address: Address) -> bytes:
        left, top, width, height = extent(self.reader.size_xy, address)
        scale = 1 << address[0]
        try:
            rgb = self.reader.read(left, top, width, height, self.reader.mpp * scale)
        except SlideReadError:
            shape = max(1, round(height / scale)), max(1, round(width / scale)), 3
            rgb = np.broadcast_to(np.array(UNREADABLE, np.uint8), shape)
        return _encoded(Image.fromarray(np.ascontiguousarray(rgb)), "JPEG", quality=88)


class TissueTiles:
    """PNG tiles of some classes of a tissue map, with smooth borders; empty tiles are None.

    Args:
        tissue_map: `(H, W)` class ids.
        pixel: Pixels of level 0 that a pixel of the map is wide.
        classes: For the colours.
        size_xy: Width and height of level 0.
    """

    def __init__(
        self, tissue_map: NDArray[np.uint8], pixel: float, classes: ClassMap, size_xy: tuple[int, int]
    ) -> None:
        self.tissue_map, self.pixel, self.classes, self.size_xy = tissue_map, pixel, classes, size_xy
        self._coarse: dict[int, NDArray[np.uint8]] = {0: tissue_map}
        self._lock = Lock()
        self.png = lru_cache(_KEPT)(self._png)

    def _png(self, class_ids: tuple[int, ...], address: Address) -> bytes | None:
        if not class_ids or not all(0 < class_id < len(self.classes) for class_id in class_ids):
            raise NoTileError(f"There are no tissue classes {list(class_ids)} to show.")
        left, top, width, height = extent(self.size_xy, address)
        scale = 1 << address[0]
        columns, rows = max(1, round(width / scale)), max(1, round(height / scale))
        place = left / self.pixel, top / self.pixel, scale / self.pixel, columns, rows
        found = np.zeros((rows, columns), np.uint8)  # 2 n + 1 inside the n-th class, 2 n + 2 on its border
        for number, class_id in enumerate(class_ids):
            inside = self._mask(class_id, *place)
            if inside.any():
                core = cv2.erode(inside, np.ones((3, 3), np.uint8))[2:-2, 2:-2]
                found[inside[2:-2, 2:-2] > 0] = 2 * number + 2
                found[core > 0] = 2 * number + 1
        if not found.any():
            return None
        picture = Image.fromarray(found, "P")
        picture.putpalette([0, 0, 0, *(part for one in class_ids for part in 2 * self.classes.colour_of(one))])
        fills = (_FILL if self.classes.is_tinted(one) else 0 for one in class_ids)
        opacity = bytes([0, *(part for fill in fills for part in (fill, _EDGE))])
        return _encoded(picture, "PNG", transparency=opacity, optimize=False)

    def _mask(self, class_id: int, x: float, y: float, step: float, columns: int, rows: int) -> NDArray[np.uint8]:
        """0 or 1, with a margin of two pixels; `step` pixels of the map from one to the next, from (x, y) on."""
        depth = max(0, math.floor(math.log2(step))) if step > 1 else 0
        plane, step, x, y = self._plane(depth), step / 2**depth, x / 2**depth, y / 2**depth
        at_x = (x + (np.arange(-2, columns + 2) + 0.5) * step - 0.5).astype(np.float32)
        at_y = (y + (np.arange(-2, rows + 2) + 0.5) * step - 0.5).astype(np.float32)
        x0, y0 = max(0, int(at_x[0]) - 2), max(0, int(at_y[0]) - 2)
        part = plane[y0 : int(at_y[-1]) + 3, x0 : int(at_x[-1]) + 3]
        if part.size == 0:
            return np.zeros((rows + 4, columns + 4), np.uint8)
        mask = np.where(part == class_id, 255, 0).astype(np.uint8)
        if not mask.any():
            return np.zeros((rows + 4, columns + 4), np.uint8)
        if step < 1:  # no stairs where one pixel of the map is several of the screen
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.7), np.uint8)
        grid = np.meshgrid(at_x - x0, at_y - y0)
        fine = cv2.remap(mask, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(fine > 127, np.uint8)

    def _plane(self, depth: int) -> NDArray[np.uint8]:
        """The map at a half, a quarter, ... of its size."""
        with self._lock:
            if depth not in self._coarse:
                self._coarse[depth] = np.ascontiguousarray(self.tissue_map[:: 2**depth, :: 2**depth])
            return self._coarse[depth]


def nothing() -> bytes:
    """A transparent PNG, in place of an empty tile."""
    return _encoded(Image.new("LA", (1, 1)), "PNG")


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[arg-type, unused-ignore]
    return file.getvalue()

"""Tiles and strips that a TIFF does not hold: their offset or their length is 0, because nothing was scanned there.

And those of which decoders make an image though they are broken: JPEGs that are overwritten with zeros, and what is
compressed and goes on behind the end of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.files import ImageFileError

_INSIDE = np.array([0.125, 0.375, 0.625, 0.875])
"""Where a tile is looked at, as shares of its side."""


@dataclass(frozen=True)
class MissingTiles:
    """Where a level holds nothing.

    Attributes:
        grid: `(rows, columns)`, True for each tile or strip that is missing.
        height: Height of a tile, px of the level.
        width: Its width.
    """

    grid: NDArray[np.bool_]
    height: int
    width: int

    @property
    def count(self) -> int:
        """How many tiles are missing."""
        return int(self.grid.sum())

    def mask(self, x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
        """`(height, width)`, True where a region of the level lies in missing tiles."""
        rows = np.minimum(np.arange(y, y + height) // self.height, self.grid.shape[0] - 1)
        columns = np.minimum(np.arange(x, x + width) // self.width, self.grid.shape[1] - 1)
        return np.asarray(self.grid[rows[:, None], columns])

    def first(self, x: int, y: int, width: int, height: int) -> tuple[int, int] | None:
        """Corner (x, y) of a missing tile under a region of the level; None where none is."""
        found = np.argwhere(self.mask(x, y, width, height))
        if not len(found):
            return None
        row, column = found[0]
        return int(x + column) // self.width * self.width, int(y + row) // self.height * self.height

    def with_those_of(self, other: MissingTiles | None) -> MissingTiles:
        """What is missing here or there, in planes of one image."""
        return self if other is None else MissingTiles(self.grid | other.grid, self.height, self.width)

    def within(self, other: MissingTiles | None, downsample: float) -> bool:
        """Whether what is missing is missing in a larger level too, so that nothing is lost.

        Args:
            other: What the larger level lacks.
            downsample: Its pixels per pixel of this one.
        """
        if other is None:
            return not self.count
        for tile in np.argwhere(self.grid):
            rows, columns = (
                ((index + _INSIDE) * side * downsample / other_side).astype(int)
                for index, side, other_side in zip(
                    tile, (self.height, self.width), (other.height, other.width), strict=True
                )
            )
            there = other.grid[rows[rows < other.grid.shape[0]]][:, columns[columns < other.grid.shape[1]]]
            if not there.all():
                return False
        return True


def raise_if_empty(path: Path, missing_0: MissingTiles | None) -> None:
    """Raises ImageFileError where a file holds no tile of level 0, as after a conversion that was stopped."""
    if missing_0 is not None and missing_0.grid.all():
        raise ImageFileError(
            f"{path}: the file holds none of its {missing_0.count} tiles, as after a conversion that was stopped; make "
            "or copy it again."
        )


_JPEG = 6, 7
"""Compressions of TIFF."""

_ZEROS = bytes(64)
"""By the usual code tables no scan of a JPEG holds as many: they would be 170 coefficients of -1 in a row. By tables of
a tile's own they may be nothing but blank blocks."""

_TABLES, _SCAN, _END = b"\xff\xc4", b"\xff\xda", b"\xff\xd9"
"""Before the scan there are tables and profiles, behind the end there may be padding: both may hold zeros."""


@dataclass(frozen=True)
class JpegTiles:
    """Where the JPEGs of a level lie in the file.

    Attributes:
        path: The file.
        offsets: `(rows, columns)`, where each tile begins.
        lengths: `(rows, columns)`, bytes of each.
        height: Height of a tile, px of the level.
        width: Its width.
        tables: Bytes of the tables that all of them share.
    """

    path: Path
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    height: int
    width: int
    tables: bytes = b""

    def zeroed(self, x: int, y: int, width: int, height: int) -> tuple[int, int] | None:
        """Corner (x, y) of a tile under a region of the level that is overwritten with zeros; None where none is."""
        rows, columns = self.offsets.shape
        with self.path.open("rb") as file:
            for row in range(y // self.height, min((y + height - 1) // self.height + 1, rows)):
                for column in range(x // self.width, min((x + width - 1) // self.width + 1, columns)):
                    file.seek(int(self.offsets[row, column]))
                    content = file.read(int(self.lengths[row, column]))
                    begin, end = max(content.rfind(_SCAN), 0), content.rfind(_END)
                    zeros = content.find(_ZEROS, begin, end if end > begin else None) >= 0
                    if zeros and not _are_blank(self.tables, content[:begin]):
                        return column * self.width, row * self.height
        return None


def _are_blank(*headers: bytes) -> bool:
    """Whether zeros in a scan say that nothing changes and nothing follows: 0 is the first symbol of every code table,
    the one whose code is all zeros. A later table takes the place of an earlier one."""
    first: dict[int, int] = {}
    for header in headers:
        at = 2  # behind the mark of the beginning
        while header[at : at + 1] == b"\xff" and at + 4 <= len(header):
            end = at + 2 + int.from_bytes(header[at + 2 : at + 4], "big")
            table = at + 4 if header[at : at + 2] == _TABLES else end
            while table + 17 < end <= len(header):
                first[header[table]] = header[table + 17]
                table += 17 + sum(header[table + 1 : table + 17])
            at = end
    return bool(first) and not any(first.values())


def jpeg_tiles(path: Path, pages: Sequence[Any]) -> JpegTiles | None:
    """Where the JPEGs of a level lie; None where it is not tiled, or its tiles are no JPEGs of all its colours."""
    page = pages[0]
    key = page.keyframe
    grid = tuple(key.chunked)[:2]
    if (
        len(pages) != 1
        or not key.is_tiled
        or int(key.compression) not in _JPEG
        or len(page.dataoffsets) != np.prod(grid)
    ):
        return None
    offsets, lengths = (np.asarray(v, np.int64).reshape(grid) for v in (page.dataoffsets, page.databytecounts))
    height, width = key.chunks[:2]
    return JpegTiles(path, offsets, lengths, height, width, key.jpegtables or b"")


def missing_tiles(pages: Sequence[Any]) -> MissingTiles | None:
    """What the pages of a level lack, None where they are whole.

    The offset of a tile without length is set to 0 here: tifffile would shift all that follow it.

    Args:
        pages: tifffile's pages of one image, such as its colour planes.
    """
    found: MissingTiles | None = None
    for page in filter(None, pages):
        offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
        if not len(offsets):  # as a writer leaves it that stopped before the first tile
            offsets = counts = np.zeros(np.prod(page.keyframe.chunked), int)
        gone = (offsets == 0) | (counts == 0)
        if (tiles := _where(gone, page.keyframe)) is None:
            continue
        page.dataoffsets = tuple(np.where(gone, 0, offsets).tolist())
        page.databytecounts = tuple(np.where(gone, 0, counts).tolist())
        found = tiles.with_those_of(found)
    return found


def cut_tiles(pages: Sequence[Any], file_bytes: int) -> MissingTiles | None:
    """What the pages of a level have behind the end of the file, None where nothing is.

    Only of what is compressed: the readers refuse other tiles that are too short, and some writers give the last strip
    the length of a whole one.

    Args:
        pages: tifffile's pages of one image.
        file_bytes: The size of the file.
    """
    found: MissingTiles | None = None
    for page in filter(None, pages):
        ends = np.asarray(page.dataoffsets, np.uint64) + np.asarray(page.databytecounts, np.uint64)
        if int(page.keyframe.compression) != 1 and (tiles := _where(ends > file_bytes, page.keyframe)) is not None:
            found = tiles.with_those_of(found)
    return found


def _where(flags: NDArray[np.bool_], key: Any) -> MissingTiles | None:
    """The tiles of a page that have a flag; None where none has, or the page has not one for each."""
    chunked = tuple(key.chunked)
    if len(flags) != np.prod(chunked) or not flags.any():
        return None
    planar = int(key.planarconfig) == 2 and key.samplesperpixel > 1
    rows, columns = chunked[1:3] if planar else chunked[:2]
    grid = np.asarray(flags.reshape(-1, rows, columns).any(0))  # (S, rows, columns) -> (rows, columns)
    return MissingTiles(grid, *key.chunks[:2])

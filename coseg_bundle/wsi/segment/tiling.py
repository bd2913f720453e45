"""Tiles: cores that partition a plane, each with a halo around it. Pure arithmetic, in pixels of the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Box(NamedTuple):
    """A half-open rectangle, `x0 <= x < x1` and `y0 <= y < y1`."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y1 - self.y0

    @property
    def empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def grown(self, margin: int) -> Box:
        """The box with a margin on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def intersection(self, other: Box) -> Box:
        """What two boxes share; may be empty."""
        return Box(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.x0 <= x < self.x1 and self.y0 <= y < self.y1


@dataclass(frozen=True, order=True)
class Tile:
    """A piece of the plane.

    Attributes:
        index: Number in the grid, row by row.
        core: What this tile owns, clipped to the plane.
        halo: The core and what lies around it, clipped to the plane.
        window: The same, neither core nor halo clipped: windows of a grid are all of one size.
    """

    index: int
    core: Box
    halo: Box
    window: Box


@dataclass(frozen=True)
class TileGrid:
    """A plane cut into square tiles.

    Args:
        width: Width of the plane.
        height: Height of the plane.
        core_px: Side of the cores.
        halo_px: Width of the halo around a core.
        offset_px: How far the grid is moved to the left and up; cores in the first row and column are smaller then.

    Raises:
        ValueError: A size is out of range.

    Example:
        >>> grid = TileGrid(100, 60, core_px=64, halo_px=8)
        >>> len(grid), grid[1].core, grid[1].halo
        (2, Box(x0=64, y0=0, x1=100, y1=60), Box(x0=56, y0=0, x1=100, y1=60))
    """

    width: int
    height: int
    core_px: int
    halo_px: int
    offset_px: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.core_px) < 1 or self.halo_px < 0:
            raise ValueError(f"Expected sizes of at least 1 and a halo of at least 0, got {self}.")
        if not 0 <= self.offset_px < self.core_px:
            raise ValueError(f"Expected an offset from 0 to below {self.core_px}, got {self.offset_px}.")

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-(self.width + self.offset_px) // self.core_px)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-(self.height + self.offset_px) // self.core_px)

    @property
    def plane(self) -> Box:
        """The whole plane."""
        return Box(0, 0, self.width, self.height)

    def __len__(self) -> int:
        return self.columns * self.rows

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a tile from 0 to {len(self) - 1}, got {index}.")
        row, column = divmod(index, self.columns)
        x, y = column * self.core_px - self.offset_px, row * self.core_px - self.offset_px
        core = Box(x, y, x + self.core_px, y + self.core_px)
        window = core.grown(self.halo_px)
        return Tile(index, core.intersection(self.plane), window.intersection(self.plane), window)

    def on_picture(self, box: Box, shape: tuple[int, ...]) -> Box:
        """The pixels of a picture of the whole plane, `(h, w)` at any resolution, that a box of the plane touches."""
        height, width = shape
        x0, x1 = box.x0 * width // self.width, -(-box.x1 * width // self.width)
        y0, y1 = box.y0 * height // self.height, -(-box.y1 * height // self.height)
        return Box(x0, y0, x1, y1)

    def touching(self, box: Box, reach_px: int = 0) -> list[int]:
        """Indices of the tiles whose unclipped cores, grown by `reach_px`, share pixels of the plane with a box."""
        box = box.intersection(self.plane)
        if box.empty:
            return []
        columns = self._span(box.x0 - reach_px, box.x1 + reach_px, self.columns)
        rows = self._span(box.y0 - reach_px, box.y1 + reach_px, self.rows)
        return [row * self.columns + column for row in rows for column in columns]

    def _span(self, low: int, high: int, count: int) -> range:
        """Numbers of the cores that share something with [low, high) along one axis."""
        first, last = (low + self.offset_px) // self.core_px, -(-(high + self.offset_px) // self.core_px)
        return range(max(0, first), min(count, last))

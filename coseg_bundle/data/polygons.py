"""Label maps from polygons: which pixels a polygon covers, and who wins where polygons overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rings = Sequence[NDArray[np.floating]]

_AT_ONCE = 10_000_000
"""Crossings of a polygon's edges and rows that are held in memory."""


def polygon_pixels(rings_xy: Rings, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels whose centres lie inside a polygon (even-odd rule, all rings together).

    A centre exactly on an edge belongs to the polygon on the right of the edge or below it, so polygons that share an
    edge share no pixel and leave none between them. The cost grows with the edges' rows and the pixels found, not with
    vertices times pixels.

    Args:
        rings_xy: Outer rings and holes; `(P, 2)` each, px from the corner of the first pixel, closed or not.
        shape: Height and width of the map; what lies outside is cut.

    Example:
        >>> rows, columns = polygon_pixels([np.array([[1, 0], [3, 0], [3, 1], [1, 1]])], (4, 4))
        >>> rows.tolist(), columns.tolist()
        ([0, 0], [1, 2])
    """
    height, width = shape
    start = np.concatenate([np.asarray(ring, np.float64) for ring in rings_xy])
    end = np.concatenate([np.roll(np.asarray(ring, np.float64), -1, axis=0) for ring in rings_xy])
    top, bottom = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.clip(np.ceil(top - 0.5), 0, height).astype(np.intp)  # rows whose centre lies in [top, bottom)
    count = np.clip(np.ceil(bottom - 0.5), 0, height).astype(np.intp) - first

    def crossings(edges: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where the edges cross the rows' middles: row * (width + 1) + first column whose centre is not left of it."""
        edge = np.repeat(edges, count[edges])
        row = _ramps(first[edges], count[edges])
        x0, y0 = start[edge].T
        x1, y1 = end[edge].T
        crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        return row * (width + 1) + np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)

    edges, total = np.arange(len(count)), np.cumsum(count)
    if total[-1] <= _AT_ONCE:
        places = np.sort(crossings(edges))
    else:  # two crossings at one place cancel, so that memory stays bounded
        odd = np.zeros(height * (width + 1), bool)
        for part in np.split(edges, np.searchsorted(total, np.arange(_AT_ONCE, total[-1], _AT_ONCE))):
            odd ^= np.bincount(crossings(part), minlength=odd.size) % 2 == 1
        places = np.flatnonzero(odd)
    row, column = np.divmod(places, width + 1)
    begin, length = column[::2], column[1::2] - column[::2]  # rings close, so crossings come in pairs
    return np.repeat(row[::2], length), _ramps(begin, length)


def _ramps(first: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.intp]:
    """`first[i], first[i] + 1, ...` with `count[i]` numbers for each i, one after the other."""
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(first, count) + offset


def paint(
    shapes: Sequence[Rings], values: Sequence[int], shape: tuple[int, int], fill: int = 0, oversample: int = 1
) -> tuple[NDArray[np.int32], int]:
    """Paints polygons one after the other; the later one wins.

    A map that is N times as fine covers the same field, and the centres of its own pixels decide by the same rule. With
    an odd N the centre of each pixel of `shape` is one of them, so every Nth pixel is that of the plain map.

    Args:
        shapes: Rings of each polygon.
        values: Value of each.
        shape: Height and width of the field, in the pixels that the rings count.
        fill: Value where there is no polygon; none of `values`.
        oversample: Pixels of the map per pixel of the field in each direction, N.

    Returns:
        `(N * H, N * W)` int32, and the number of its pixels that the order decided.

    Example:
        >>> triangle = [np.array([[0, 0], [2, 0], [0, 2]])]
        >>> paint([triangle], [7], (1, 2), oversample=2)[0]
        array([[7, 7, 7, 0],
               [7, 7, 0, 0]], dtype=int32)
    """
    grid = (shape[0] * oversample, shape[1] * oversample)
    painted = np.full(grid, fill, np.int32)
    decided = np.zeros(grid, bool)
    for rings, value in zip(shapes, values, strict=True):
        finer = [ring * oversample for ring in rings]  # coordinates count from the corner: no offset
        pixels = polygon_pixels(finer, grid)
        decided[pixels] |= painted[pixels] != fill
        painted[pixels] = value
    return painted, int(decided.sum())


def large_first(areas: Sequence[float]) -> list[int]:
    """The order in which polygons are painted so that small ones stay on top; equal areas keep their order."""
    return sorted(range(len(areas)), key=lambda i: -areas[i])


def paint_instances(
    shapes: Sequence[Rings], areas: Sequence[float], shape: tuple[int, int], oversample: int = 1
) -> tuple[NDArray[np.int32], int]:
    """Instance map of polygons, smaller ones on top; ids are positions in `shapes`, from 1.

    Returns:
        As `paint`.
    """
    order = large_first(areas)
    return paint([shapes[i] for i in order], [i + 1 for i in order], shape, oversample=oversample)

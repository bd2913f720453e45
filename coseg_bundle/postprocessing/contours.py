"""Polygons of label maps along the edges of the pixels: exact, all labels in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage import measure

# Directions of a border edge: right, down, left, up. The label lies on its right-hand side.
_STEP_X = np.array([1, 0, -1, 0])
_STEP_Y = np.array([0, 1, 0, -1])
_TURNS = (3, 0, 1)
"""Left turn first, then straight on, then right: where a piece touches itself at a corner, the outer ring goes past the
corner once, and what it leaves out is a hole. Two pieces that touch at a corner only keep rings of their own."""


class Ring(NamedTuple):
    """One closed line around a label or around a hole in it.

    Attributes:
        label: Id in the label map.
        points_xy: Corners `(P, 2)` int32, the first one not repeated, no three in a line.
        area: Enclosed pixels; negative for a hole.
    """

    label: int
    points_xy: NDArray[np.int32]
    area: int


def trace_rings(label_map: NDArray[np.integer]) -> Iterator[Ring]:
    """Traces every piece (4-connected) of every label and every hole.

    Pixel (row, column) covers [column, column + 1] x [row, row + 1], so a ring drawn again gives the same pixels.

    Args:
        label_map: `(H, W)`; 0 and negative values are background.

    Yields:
        Rings, in the order of their first pixels.

    Example:
        >>> [ring] = trace_rings(np.array([[0, 5, 5]]))
        >>> ring.label, ring.points_xy.tolist(), ring.area
        (5, [[1, 0], [3, 0], [3, 1], [1, 1]], 2)
    """
    pieces = measure.label(np.maximum(label_map, 0), background=0, connectivity=1)
    x, y, direction, piece, label = _border_edges(pieces, label_map)
    if x.size == 0:
        return
    following = _next_edges(x, y, direction, piece, label_map.shape[1])
    edges, loop = _in_loops(following)
    is_corner = (direction[following] != direction)[edges]  # the end of this edge is a corner
    edges, loop = edges[is_corner], loop[is_corner]
    start = np.flatnonzero(np.diff(loop, prepend=-1))
    stop = np.append(start[1:], loop.size)
    before = np.arange(loop.size) - 1
    before[start] = stop - 1  # a ring begins where its first edge does: at the end of the edge before
    corners = edges[before]
    points = np.stack([x[corners] + _STEP_X[direction[corners]], y[corners] + _STEP_Y[direction[corners]]], axis=1)
    areas = _signed_areas(points, start, before)
    points = points.astype(np.int32)
    for first, last, name, area in zip(start, stop, label[edges[start]].tolist(), areas.tolist(), strict=True):
        yield Ring(name, points[first:last], area)


def _border_edges(pieces: NDArray[np.integer], label_map: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
    """Start corner (x, y), direction, piece and label of every pixel edge between a piece and something else."""
    padded = np.pad(pieces, 1)
    centre = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # top, right, bottom, left
    start_dx, start_dy = (0, 1, 1, 0), (0, 0, 1, 1)
    parts = []
    for direction, neighbour in enumerate(neighbours):
        rows, columns = np.nonzero((centre != neighbour) & (centre > 0))
        parts.append(
            (
                columns + start_dx[direction],
                rows + start_dy[direction],
                np.full(rows.size, direction),
                centre[rows, columns].astype(np.int64),
                label_map[rows, columns].astype(np.int64),
            )
        )
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _next_edges(
    x: NDArray[np.int64], y: NDArray[np.int64], direction: NDArray[np.int64], piece: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Index of the edge that continues each edge. Corner and direction fix the pixel, so they identify an edge."""

    def key(x: NDArray[np.int64], y: NDArray[np.int64], direction: NDArray[np.int64]) -> NDArray[np.int64]:
        return (y * (width + 1) + x) * 4 + direction

    order = np.argsort(own := key(x, y, direction))
    ordered = own[order]
    end_x, end_y = x + _STEP_X[direction], y + _STEP_Y[direction]
    following = np.full(x.size, -1)
    for turn in _TURNS:
        open_edges = np.nonzero(following < 0)[0]
        wanted = key(end_x[open_edges], end_y[open_edges], (direction[open_edges] + turn) % 4)
        found = order[np.minimum(np.searchsorted(ordered, wanted), x.size - 1)]
        fits = (own[found] == wanted) & (piece[found] == piece[open_edges])
        following[open_edges[fits]] = found[fits]
    return following


def _in_loops(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorts the elements of a permutation loop by loop, each from its smallest element on, by pointer doubling.

    Returns:
        The elements, and the smallest element of each one's loop.
    """
    count = following.size
    smallest, ahead = np.arange(count), following
    for _ in range(count.bit_length()):
        smallest, ahead = np.minimum(smallest, smallest[ahead]), ahead[ahead]
    last = following == smallest  # where a loop would close
    to_last, ahead = (~last).astype(np.int64), np.where(last, np.arange(count), following)
    for _ in range(count.bit_length()):
        to_last, ahead = to_last + to_last[ahead], ahead[ahead]
    order = np.lexsort((-to_last, smallest))
    return order, smallest[order]


def _signed_areas(
    points_xy: NDArray[np.int64], start: NDArray[np.int64], before: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Enclosed area of each ring; positive when it runs clockwise as seen in the image."""
    x, y = points_xy.T
    return np.asarray(np.add.reduceat(x[before] * y - y[before] * x, start) // 2)

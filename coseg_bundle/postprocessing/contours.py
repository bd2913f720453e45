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
    corner = direction[following] != direction  # the end of this edge is a corner
    end_x, end_y = x + _STEP_X[direction], y + _STEP_Y[direction]
    for loop in _loops(following):
        corners = loop[corner[loop]]
        corners = np.concatenate([corners[-1:], corners[:-1]])
        points = np.stack([end_x[corners], end_y[corners]], axis=1).astype(np.int32)
        yield Ring(int(label[loop[0]]), points, _signed_area(points))


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


def _loops(following: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cycles of a permutation, each once."""
    successor = following.tolist()
    seen = bytearray(len(successor))
    for start in range(len(successor)):
        if seen[start]:
            continue
        loop, edge = [], start
        while not seen[edge]:
            seen[edge] = 1
            loop.append(edge)
            edge = successor[edge]
        yield np.array(loop)


def _signed_area(points_xy: NDArray[np.int32]) -> int:
    """Enclosed area; positive when the ring runs clockwise as seen in the image."""
    x, y = points_xy.astype(np.int64).T
    closing = x[-1] * y[0] - y[-1] * x[0]  # np.roll is slow on short arrays
    return int(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:]) + closing) // 2

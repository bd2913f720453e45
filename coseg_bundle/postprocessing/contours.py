"""Polygons of label maps: drawn again they give the same pixels; all labels in one pass.

An outline runs along the edges of the pixels. Where it makes a step of one pixel it may take the diagonal through the
pixel's centre, because a centre on an edge belongs to the polygon on the right of it (`data.polygons`, and Java's
Shape, so QuPath too): the diagonal leaves the pixel to the same side as the step did. So outlines drawn with diagonals
come back as they were, where pixel edges would add or take half a pixel at each step. Neighbours share the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage import measure

# Directions of a border edge: right, down, left, up. The label lies on its right-hand side.
_STEP_X = np.array([1, 0, -1, 0])
_STEP_Y = np.array([0, 1, 0, -1])
_TURNS = (3, 0, 1)
"""Left turn first, then straight on, then right: where a piece touches itself at a corner, the outer ring goes past the
corner once, and what it leaves out is a hole. Two pieces that touch at a corner only keep rings of their own."""

_TURNS_AT_TOP = (3 * 4 + 0, 2 * 4 + 1)
"""Direction times 4 plus the next one, of outlines around the top left corner of a pixel: inside it, outside it."""

_TURNS_AT_BOTTOM = (2 * 4 + 3, 1 * 4 + 0)
"""The same around its bottom left corner."""


class Ring(NamedTuple):
    """One closed line around a label or around a hole in it.

    Attributes:
        label: Id in the label map.
        points_xy: Corners `(P, 2)` int32, the first one not repeated, no three in a line.
        area: Enclosed pixels of the map; negative for a hole.
    """

    label: int
    points_xy: NDArray[np.int32]
    area: int


def trace_rings(label_map: NDArray[np.integer], *, diagonals: bool = True) -> Iterator[Ring]:
    """Traces every piece (4-connected) of every label and every hole.

    Pixel (row, column) covers [column, column + 1] x [row, row + 1]; a ring drawn again gives the same pixels.

    Args:
        label_map: `(H, W)`; 0 and negative values are background.
        diagonals: Whether steps of one pixel become diagonals. Without, areas are exact, and maps that are traced piece
            by piece or class by class fit together.

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
    ends = np.stack([x + _STEP_X[direction], y + _STEP_Y[direction]], axis=1)
    cut = _cut(pieces, ends, direction, direction[following]) if diagonals else np.zeros(x.size, bool)
    corner = _corners(ends, following, cut)
    columns = x * _STEP_Y[direction]  # pixels to the left of an edge that runs down, less those of one that runs up
    edges, loop = _in_loops(following)
    areas = np.add.reduceat(columns[edges], _starts(loop))
    edges, loop = edges[corner[edges]], loop[corner[edges]]
    start = _starts(loop)
    stop = np.append(start[1:], loop.size)
    before = np.arange(loop.size) - 1
    before[start] = stop - 1  # a ring begins where its first edge does: at the end of the edge before
    points = ends[edges[before]].astype(np.int32)
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
        rows, columns = np.divmod(np.flatnonzero((centre != neighbour) & (centre > 0)), centre.shape[1])
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


def _cut(
    pieces: NDArray[np.integer],
    ends: NDArray[np.int64],
    direction: NDArray[np.int64],
    following_direction: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether the outline takes the diagonal past the end of each edge, through a pixel at the right of that point.

    The pixel decides, so the outlines on both sides of it agree.
    """
    steps_up, steps_down = _steps(pieces), _steps(pieces[::-1])[::-1]
    x, y = ends.T
    turn = direction * 4 + following_direction
    past_top = np.isin(turn, _TURNS_AT_TOP) & np.pad(steps_up, ((0, 1), (0, 1)))[y, x]
    return past_top | (np.isin(turn, _TURNS_AT_BOTTOM) & np.pad(steps_down, ((1, 0), (0, 1)))[y, x])


def _steps(pieces: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels whose upper left corner is a step of an outline.

    They lie open to the left and above, but not below as well (one that sticks out stays as it is). A corner between
    two sides longer than a pixel is none. Nothing counts but a pixel's eight neighbours, beyond the border background,
    so an outline is the same in whatever part of an image.
    """
    left, right, top, bottom, corner = (
        pieces != _beside(pieces, dy, dx) for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1))
    )
    long_sides = ~bottom & _beside(left, 1, 0) & ~right & _beside(top, 0, 1)
    return left & top & corner & ~bottom & ~long_sides


def _beside(values: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """The neighbour of each pixel; 0 beyond the border."""
    height, width = values.shape
    return np.pad(values, 1)[1 + dy : height + 1 + dy, 1 + dx : width + 1 + dx]


def _corners(ends: NDArray[np.int64], following: NDArray[np.int64], cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the outline turns at the end of each edge; ends that are cut are none of its points."""
    following = np.where(cut[following], following[following], following)  # no two ends in a row are cut
    step = ends[following] - ends
    step_before = np.empty_like(step)
    step_before[following[~cut]] = step[~cut]
    return ~cut & (step != step_before).any(axis=1)


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


def _starts(loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.diff(loop, prepend=-1))

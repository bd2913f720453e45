"""Polygons of label maps: drawn again they give the same pixels; all labels in one pass.

An outline runs along the edges of the pixels. Where it climbs in steps of one pixel it goes straight from the middle of
one edge to the middle of the next: each corner that it cuts off is a neighbour's gain, on every side alike, so that an
outline lies where its pixels do. No centre of a pixel comes to lie on it, and neighbours share the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.pieces import connected_pieces

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
        points_xy: Corners `(P, 2)` float64, whole or half pixels, the first one not repeated, no three in a line.
        area: Enclosed pixels of the map; negative for a hole.
    """

    label: int
    points_xy: NDArray[np.float64]
    area: int


def trace_rings(label_map: NDArray[np.integer], *, diagonals: bool = True) -> Iterator[Ring]:
    """Traces every piece (4-connected) of every label and every hole.

    Pixel (row, column) covers [column, column + 1] x [row, row + 1]; a ring drawn again gives the same pixels.

    Args:
        label_map: `(H, W)`; 0 and negative values are background.
        diagonals: Whether steps of one pixel become slopes. Without, areas are exact, and maps that are traced piece
            by piece or class by class fit together.

    Yields:
        Rings, in the order of their first pixels.

    Example:
        >>> [ring] = trace_rings(np.array([[0, 5, 5]]))
        >>> ring.label, ring.points_xy.tolist(), ring.area
        (5, [[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]], 2)
    """
    labels = np.zeros((label_map.shape[0] + 2, label_map.shape[1] + 2), label_map.dtype)  # framed by background
    np.maximum(label_map, 0, out=labels[1:-1, 1:-1])
    x, y, direction, label = _border_edges(labels)
    if x.size == 0:
        return
    edges, loop = _in_loops(_next_edges(x, y, direction, label, labels))
    x, y, direction, label = x[edges], y[edges], direction[edges], label[edges]
    start = _starts(loop)
    after, before = _around(start, loop.size)
    columns = x * _STEP_Y[direction]  # pixels to the left of an edge that runs down, less those of one that runs up
    areas = np.add.reduceat(columns, start)
    turns = direction != direction[before]  # at the beginning of an edge
    cut = _cut(labels, x, y, direction, before, after) if diagonals else np.zeros(x.size, bool)
    corners = np.stack([x, y], axis=1) * 2.0
    middles = corners + np.stack([_STEP_X[direction], _STEP_Y[direction]], axis=1)
    points = np.stack([corners, middles], axis=1).reshape(-1, 2) / 2
    kept = np.stack([turns & ~cut, cut | cut[after]], axis=1).ravel()
    points, ring = points[kept], np.repeat(loop, 2)[kept]
    bend = _bends(points, _starts(ring))
    points, ring = points[bend], ring[bend]
    first = _starts(ring)
    last = np.append(first[1:], ring.size)
    for begin, end, name, area in zip(
        first.tolist(), last.tolist(), label[start].tolist(), areas.tolist(), strict=True
    ):
        yield Ring(name, points[begin:end], area)


def _border_edges(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
    """Start corner (x, y), direction and label of every pixel edge between a label and something else."""
    width = labels.shape[1] - 2
    lies, stands = labels[:-1, 1:-1] != labels[1:, 1:-1], labels[1:-1, :-1] != labels[1:-1, 1:]
    rows, x = np.divmod(np.flatnonzero(lies), width)  # borders below pixel row - 1 of column x
    y, columns = np.divmod(np.flatnonzero(stands), width + 1)  # borders right of pixel column - 1 of row y
    parts = []
    for direction, (row, column, start_x, start_y) in enumerate(
        ((rows, x, x, rows), (y, columns - 1, columns, y), (rows - 1, x, x + 1, rows), (y, columns, columns, y + 1))
    ):
        label = labels.ravel()[(row + 1) * (width + 2) + column + 1]
        own = np.flatnonzero(label)
        parts.append((start_x[own], start_y[own], np.full(own.size, direction), label[own].astype(np.int64)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _next_edges(
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    direction: NDArray[np.int64],
    label: NDArray[np.int64],
    labels: NDArray[np.integer],
) -> NDArray[np.int64]:
    """Index of the edge that continues each edge. Corner and direction fix the pixel, so they identify an edge."""
    width = labels.shape[1] - 2

    def key(x: NDArray[np.int64], y: NDArray[np.int64], direction: NDArray[np.int64]) -> NDArray[np.int64]:
        return (y * (width + 1) + x) * 4 + direction

    order = np.argsort(own := key(x, y, direction))
    ordered, piece = own[order], label
    if _meet_themselves(ordered, label[order]):
        pieces, _ = connected_pieces(labels)
        piece = pieces[y + (direction < 2), x + (direction % 3 == 0)]
    end_x, end_y = x + _STEP_X[direction], y + _STEP_Y[direction]
    following = np.full(x.size, -1)
    for turn in _TURNS:
        open_edges = np.nonzero(following < 0)[0]
        wanted = key(end_x[open_edges], end_y[open_edges], (direction[open_edges] + turn) % 4)
        found = order[np.minimum(np.searchsorted(ordered, wanted), x.size - 1)]
        fits = (own[found] == wanted) & (piece[found] == piece[open_edges])
        following[open_edges[fits]] = found[fits]
    return following


def _meet_themselves(keys: NDArray[np.int64], label: NDArray[np.int64]) -> bool:
    """Whether a label touches itself across a corner, where two of its edges begin then; elsewhere labels tell pieces
    apart. Both in the order of the keys."""
    corner = keys >> 2
    return any(((corner[n:] == corner[:-n]) & (label[n:] == label[:-n])).any() for n in (1, 2, 3))


def _cut(
    labels: NDArray[np.integer],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    direction: NDArray[np.int64],
    before: NDArray[np.intp],
    after: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Whether the outline cuts the corner at the beginning of each edge: one end of a step of a single pixel.

    What sticks out by a pixel is no step, nor is a corner between longer sides. At both ends of a step two pieces meet
    and no third, so that the outlines on both sides of it agree.
    """
    turn = (direction - direction[before] + 1) % 4 - 1  # -1 left, 0 straight on, 1 right
    of_two = _of_two(labels, x, y)
    step = (turn * turn[after] == -1) & of_two & of_two[after]  # the edge from this corner to the next
    return np.asarray(step | step[before])


def _of_two(labels: NDArray[np.integer], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether one of the four pixels around a corner differs from the three others, which are alike."""
    values, width = labels.ravel(), labels.shape[1]
    a, b, c, d = (values[y * width + x + offset] for offset in (0, 1, width, width + 1))
    alike = [(p == q).view(np.int8) for p, q in ((a, b), (a, c), (a, d), (b, c), (b, d), (c, d))]
    return np.asarray(sum(alike) == 3)  # of six pairs: three alike make three, two and two make two


def _around(start: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices after and before each element, in loops that begin at `start` and lie one after the other."""
    stop = np.append(start[1:], count)
    after, before = np.arange(count) + 1, np.arange(count) - 1
    after[stop - 1], before[start] = start, stop - 1
    return after, before


def _bends(points: NDArray[np.float64], start: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether a ring bends at each of its points."""
    after, before = _around(start, len(points))
    (x, y), (next_x, next_y) = (points - points[before]).T, (points[after] - points).T
    return np.asarray(x * next_y != y * next_x)


def _in_loops(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorts the elements of a permutation loop by loop, each from its smallest element on, by pointer doubling.

    Returns:
        The elements, and the smallest element of each one's loop.
    """
    count = following.size
    smallest, ahead = np.arange(count), following
    while ((further := smallest[ahead]) < smallest).any():  # none is: all windows of a loop have the same minimum
        smallest, ahead = np.minimum(smallest, further), ahead[ahead]
    last = following == smallest  # where a loop would close
    to_last, ahead = (~last).astype(np.int64), np.where(last, np.arange(count), following)
    while not last[ahead].all():
        to_last, ahead = to_last + to_last[ahead], ahead[ahead]
    order = np.lexsort((-to_last, smallest))
    return order, smallest[order]


def _starts(loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.diff(loop, prepend=-1))

"""Points that people set, one for each nucleus: which of a model's nuclei they confirm.

A point is set in a second, an outline takes half a minute. Where a model's outlines are good, points say which of them
to believe (NuCLS has such points beside outlines that were made by a model: Amgad et al., GigaScience 2022).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coseg_bundle.classes import UNLABELLED_INSTANCE
from coseg_bundle.data.images import ImageFileError

_NEXT_TO_PX = 5
"""So far beside a nucleus a point still means it, if no other point does."""

_SURROUNDINGS_PX = 14
"""Radius around a point without a nucleus in which nobody knows what is nucleus: 3.5 um at 0.25 mpp."""


def read_points(path: Path, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The points `(P, 2)` of a file: lines `x,y` in px, and whatever else stands in a line.

    Args:
        path: CSV without a heading.
        shape: Height and width of the image.

    Raises:
        ImageFileError: A line is no point, or a point lies outside of the image.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        rows = [(float(x), float(y)) for x, y, *_ in filter(None, csv.reader(text.splitlines()))]
    except (ValueError, csv.Error) as error:
        raise ImageFileError(f"{path}: expected lines x,y of numbers without a heading ({error}).") from error
    xy = np.array(rows).reshape(-1, 2)
    if not ((xy >= 0) & (xy <= shape[::-1])).all():
        raise ImageFileError(f"{path}: points lie outside of the image, which has {shape[1]} x {shape[0]} px.")
    return np.minimum(xy.astype(np.int64), np.array(shape[::-1]) - 1)


def confirmed(instance_map: NDArray[np.integer], points_xy: NDArray[np.int64]) -> NDArray[np.int32]:
    """The nuclei that exactly one point confirms; -1 where the points leave it open.

    Points inside of a nucleus count first. One in the background means the nearest nucleus, if that lies next to it and
    nothing else speaks for it; otherwise its surroundings are open.

    Args:
        instance_map: `(H, W)`, of a model; 0 and below are background.
        points_xy: One point `(P, 2)` for each nucleus that there is, px.
    """
    if not len(points_xy):
        return np.where(instance_map > 0, UNLABELLED_INSTANCE, 0).astype(np.int32)
    ids, compact = np.unique(np.maximum(instance_map, 0), return_inverse=True)
    compact = compact.reshape(instance_map.shape)
    if ids[0]:  # nuclei everywhere
        compact += 1
    distance, (row, column) = ndimage.distance_transform_edt(compact == 0, return_indices=True)
    x, y = points_xy.T
    inside = compact[y, x] > 0
    votes = np.bincount(compact[y, x][inside], minlength=compact.max() + 1)
    nearest = compact[row[y, x], column[y, x]]
    adopts = ~inside & (nearest > 0) & (distance[y, x] <= _NEXT_TO_PX) & (votes[nearest] == 0)
    np.add.at(votes, nearest[adopts], 1)
    missed = np.ones(instance_map.shape, bool)
    missed[y[~inside & ~adopts], x[~inside & ~adopts]] = False
    is_open = (
        np.zeros(missed.shape, bool) if missed.all() else ndimage.distance_transform_edt(missed) <= _SURROUNDINGS_PX
    )
    doubtful = np.where(compact > 0, votes[compact] != 1, is_open)
    return np.where(doubtful, UNLABELLED_INSTANCE, np.maximum(instance_map, 0)).astype(np.int32)

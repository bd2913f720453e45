"""Points that people set, one for each nucleus: which of a model's nuclei they confirm.

A point is set in a second, an outline takes half a minute. Where a model's outlines are good, points say which of them
to believe (NuCLS has such points beside outlines that were made by a model: Amgad et al., GigaScience 2022).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED_INSTANCE
from coseg_bundle.data.image_io import ImageFileError

_NEXT_TO_PX = 5
"""So far beside a nucleus a point still means it."""

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
    rows = [line.split(",") for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    try:
        xy = np.array([[float(x), float(y)] for x, y, *_ in rows]).reshape(-1, 2)
    except ValueError as error:
        raise ImageFileError(f"{path}: expected lines x,y of numbers without a heading ({error}).") from error
    if not ((xy >= 0) & (xy <= shape[::-1])).all():
        raise ImageFileError(f"{path}: points lie outside of the image, which has {shape[1]} x {shape[0]} px.")
    return np.minimum(xy.astype(np.int64), np.array(shape[::-1]) - 1)


def confirmed(instance_map: NDArray[np.integer], points_xy: NDArray[np.int64]) -> NDArray[np.int32]:
    """The nuclei that exactly one point confirms; -1 where the points leave it open.

    Args:
        instance_map: `(H, W)`, of a model.
        points_xy: One point `(P, 2)` for each nucleus that there is, px.
    """
    instance_map = np.maximum(instance_map, 0)
    votes = np.zeros(int(instance_map.max(initial=0)) + 1, np.int64)
    open_places = np.zeros(instance_map.shape, bool)
    rows, columns = np.ogrid[: instance_map.shape[0], : instance_map.shape[1]]
    for x, y in points_xy.tolist():
        near = instance_map[
            max(y - _NEXT_TO_PX, 0) : y + _NEXT_TO_PX + 1, max(x - _NEXT_TO_PX, 0) : x + _NEXT_TO_PX + 1
        ]
        meant = instance_map[y, x] or np.bincount(near[near > 0], minlength=1).argmax()
        if meant:
            votes[meant] += 1
        else:
            open_places |= (rows - y) ** 2 + (columns - x) ** 2 <= _SURROUNDINGS_PX**2
    doubtful = (votes != 1)[instance_map] & (instance_map > 0)
    return np.where(doubtful | (open_places & (instance_map == 0)), UNLABELLED_INSTANCE, instance_map).astype(np.int32)

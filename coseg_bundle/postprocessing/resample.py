"""Other resolutions: images with filtering, labels with their outlines where they were.

A pixel covers a square, and its centre lies half a pixel from the corner that coordinates count from. A centre that
falls between pixels of the other grid belongs to neither side: what is drawn there must not depend on a direction, or
everything moves that way.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.settings.values import SAME_SCALE

SCALES = (1 / 16, 16.0)
"""Resampling factors that make sense; beyond them the resolution must be a mistake."""

ScalarT = TypeVar("ScalarT", bound=np.generic)


def resample_nearest(values: NDArray[ScalarT], size: tuple[int, int]) -> NDArray[ScalarT]:
    """Values `(..., h, w)` at the centres of the pixels of a grid of another size over the same field.

    Args:
        values: Any array whose last two axes are rows and columns.
        size: Rows and columns of the result.

    Example:
        >>> resample_nearest(np.array([[1, 2, 3, 4]]), (1, 2))
        array([[2, 4]])
    """
    rows, columns = (_centres(old, new) for old, new in zip(values.shape[-2:], size, strict=True))
    return np.ascontiguousarray(values[..., rows[:, None], columns])


def _centres(old: int, new: int) -> NDArray[Any]:
    return np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)


def resample_classes(classes: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A class map `(h, w)` on a grid of another size over the same field, its borders where they were.

    Each pixel takes the class that weighs most at its centre, between the centres of the pixels around it; of equals
    the lowest.

    Example:
        >>> resample_classes(np.array([[0, 0, 1, 1, 1, 0, 0, 0]], np.uint8), (1, 4))
        array([[0, 1, 0, 0]], dtype=uint8)
    """
    best, weight = np.zeros(size, np.uint8), np.full(size, 1e-6, np.float32)
    for class_id in np.flatnonzero(np.bincount(classes.ravel())):
        share = cv2.resize((classes == class_id).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        higher = share > weight + 1e-6
        best[higher], weight[higher] = class_id, share[higher]
    return best


def redraw_instances(
    instance_map: NDArray[np.int32], logits: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.int32]:
    """Draws nuclei on a grid of another size over the same field.

    An outline runs where the logits, interpolated between the pixels' centres, change their sign, so it lies between
    pixels and not on their edges. Of several nuclei a pixel takes the one that weighs most at its centre.

    Args:
        instance_map: `(h, w)`, 0 background.
        logits: Of the nuclei `(h, w)`; those that contradict the map count with the other sign.
        size: Rows and columns of the result.

    Returns:
        `size` int32, the same ids. Every nucleus has a pixel, unless there are more nuclei than pixels around it.
    """
    nucleus = instance_map > 0
    strength = np.clip(np.abs(logits), *_STRENGTH).astype(np.float32)
    signed = np.where(nucleus, strength, -strength)
    inside = cv2.resize(signed, size[::-1], interpolation=cv2.INTER_LINEAR) >= -1e-5
    rows, columns = np.nonzero(inside)
    drawn = np.zeros(size, np.int32)
    drawn[rows, columns] = _heaviest(instance_map, np.where(nucleus, strength, 0), rows, columns, size)
    _restore_lost(drawn, instance_map)
    return drawn


_STRENGTH = (0.05, 4.0)
"""Logits count from here on, so that no pixel is undecided, and up to here: what is sure does not move an outline."""


def _heaviest(
    instance_map: NDArray[np.int32],
    strength: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    size: tuple[int, int],
) -> NDArray[np.int32]:
    """For each pixel of the new grid, the nucleus with the greatest weight among the four pixels around its centre."""
    (top, below), (left, beside) = (
        _between(old, new, at) for old, new, at in zip(instance_map.shape, size, (rows, columns), strict=True)
    )
    ids, weights = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = np.minimum(top + dy, instance_map.shape[0] - 1), np.minimum(left + dx, instance_map.shape[1] - 1)
            share = (below if dy else 1 - below) * (beside if dx else 1 - beside)
            ids.append(instance_map[y, x])
            weights.append(share * strength[y, x])
    at, weight = np.stack(ids), np.stack(weights)
    total = sum((at == other) * w for other, w in zip(at, weight, strict=True))  # (4, N)
    order = np.arange(4)[:, None] * np.where((rows + columns) % 2, 1e-5, -1e-5)  # equals take turns: no direction wins
    return np.take_along_axis(at, (total + order).argmax(0)[None], 0)[0]


def _between(old: int, new: int, at: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The pixel before the centres of new pixels, and how far they lie towards the next one, in [0, 1)."""
    place = np.clip((at + 0.5) * old / new - 0.5, 0, old - 1)
    before = np.floor(place).astype(np.intp)
    return before, (place - before).astype(np.float32)


def _restore_lost(drawn: NDArray[np.int32], instance_map: NDArray[np.int32]) -> None:
    """Gives every nucleus that has no pixel the one next to its centroid that is free, or that another can spare."""
    area = np.bincount(drawn.ravel(), minlength=int(instance_map.max(initial=0)) + 1)
    present = np.bincount(instance_map.ravel(), minlength=area.size) > 0
    lost = np.flatnonzero(present & (area == 0))
    if not lost.size:
        return
    scale = np.array(drawn.shape) / instance_map.shape
    for number, centroid in zip(lost, _centroids(instance_map, area.size)[lost], strict=True):
        centre = (centroid + 0.5) * scale - 0.5
        near = [slice(max(0, int(c) - _SPARE_PX), int(c) + _SPARE_PX + 2) for c in centre]
        here = drawn[near[0], near[1]]
        distance = np.hypot(
            *(
                np.arange(part.start, part.start + n).reshape(shape) - c
                for part, n, c, shape in zip(near, here.shape, centre, ((-1, 1), (1, -1)), strict=True)
            )
        )
        distance[(here > 0) & (area[here] == 1)] = np.inf
        place = np.unravel_index(distance.argmin(), distance.shape)
        if np.isfinite(distance[place]):
            area[here[place]] -= 1
            area[number] = 1
            here[place] = number


def _centroids(instance_map: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Mean row and column `(count, 2)` of each id; NaN where it has no pixel."""
    inside = np.nonzero(instance_map)
    ids = instance_map[inside]
    with np.errstate(invalid="ignore"):
        return (
            np.stack([np.bincount(ids, axis, count) for axis in inside], axis=1)
            / np.bincount(ids, minlength=count)[:, None]
        )


_SPARE_PX = 3
"""How far from its centroid a nucleus that got no pixel may be drawn."""


def size_at(shape: tuple[int, int], mpp: float | None, network_mpp: float) -> tuple[int, int]:
    """Height and width that an image has at the network's resolution.

    Args:
        shape: Its height and width.
        mpp: Its microns per pixel; None counts as the network's.
        network_mpp: Microns per pixel that the network works at.

    Raises:
        ValueError: The resolution makes no sense.
    """
    scale = 1.0 if mpp is None else mpp / network_mpp
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ValueError(
            f"A resolution of {mpp} microns per pixel is out of range: the network works at {network_mpp}, and "
            f"{SCALES[0] * network_mpp:.3g} to {SCALES[1] * network_mpp:.3g} can be resampled to it; check "
            "--mpp or the datalist's mpp."
        )
    if abs(scale - 1) <= SAME_SCALE:
        return shape
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resample_image(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image `(H, W, 3)` at another height and width: mean over areas where it shrinks, cubic where it grows."""
    if rgb.shape[:2] == size:
        return rgb
    interpolation = cv2.INTER_AREA if size[0] < rgb.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=interpolation), dtype=np.uint8)

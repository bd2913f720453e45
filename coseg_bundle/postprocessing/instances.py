"""The instance table: one row per nucleus, in columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.contours import trace_rings
from coseg_bundle.postprocessing.probabilities import softmax


@dataclass(frozen=True, slots=True)
class InstanceTable:
    """Nuclei as columns of N rows, in the order of their ids; coordinates in pixels of the image.

    Attributes:
        instance_id: `(N,)` int32, the id in the instance map.
        centroid_xy: `(N, 2)` float64; the only pixel (0, 0) has its centroid at (0.5, 0.5).
        bbox_xyxy: `(N, 4)` int32, half-open.
        area_px: `(N,)` int64; float64 where they were measured at another resolution.
        contours_xy: N outer rings `(P, 2)` float64 (see `contours`), first point not repeated; of the largest part
            where an instance has several.
        type_id: `(N,)` uint8, id of the nuclei class; 0 without types.
        type_prob: `(N,)` float32, probability of that class, in [0, 1]; NaN without types.
        nuclei_prob: `(N,)` float32, mean nuclei probability inside; NaN when not given.
        tissue_id: `(N,)` int16, most frequent tissue class under the nucleus; -1 when not given.
        disagreement: `(N,)` float32, mean nuclei disagreement inside, in [0, 1]; NaN when not given.
    """

    instance_id: NDArray[np.int32]
    centroid_xy: NDArray[np.float64]
    bbox_xyxy: NDArray[np.int32]
    area_px: NDArray[np.int64] | NDArray[np.float64]
    contours_xy: tuple[NDArray[np.float64], ...]
    type_id: NDArray[np.uint8]
    type_prob: NDArray[np.float32]
    nuclei_prob: NDArray[np.float32]
    tissue_id: NDArray[np.int16]
    disagreement: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.instance_id)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> InstanceTable:
        """The rows of a mask or an index array."""
        index = np.arange(len(self))[rows]
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        contours = columns.pop("contours_xy")
        chosen = {name: column[index] for name, column in columns.items()}
        return InstanceTable(**chosen, contours_xy=tuple(contours[i] for i in index))

    def shifted(self, dx: int, dy: int) -> InstanceTable:
        """The same nuclei in an image whose origin lies `dx`, `dy` pixels to the left and above."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        columns["centroid_xy"] = self.centroid_xy + np.array([dx, dy])
        columns["bbox_xyxy"] = self.bbox_xyxy + np.array([dx, dy, dx, dy], np.int32)
        columns["contours_xy"] = tuple(c + np.array([dx, dy]) for c in self.contours_xy)
        return InstanceTable(**columns)

    def scaled(self, x: float, y: float) -> InstanceTable:
        """The same nuclei, to the hundredth of a pixel, in an image with `x` times the columns and `y` times the rows.

        Boxes become those that the scaled outlines lie in.
        """
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        columns["centroid_xy"] = self.centroid_xy * (x, y)
        box = np.round(self.bbox_xyxy * (x, y, x, y), 2)
        columns["bbox_xyxy"] = np.hstack([np.floor(box[:, :2]), np.ceil(box[:, 2:])]).astype(np.int32)
        columns["area_px"] = np.round(self.area_px * (x * y), 2)
        columns["contours_xy"] = tuple(np.round(contour * (x, y), 2) for contour in self.contours_xy)
        return InstanceTable(**columns)

    @classmethod
    def concatenate(cls, tables: Iterable[InstanceTable]) -> InstanceTable:
        """The rows of all tables, ids as they are."""
        parts = [empty_table(), *tables]
        columns = {f.name: [getattr(t, f.name) for t in parts] for f in fields(cls)}
        contours = tuple(c for part in columns.pop("contours_xy") for c in part)
        return cls(**{name: np.concatenate(values) for name, values in columns.items()}, contours_xy=contours)


def empty_table() -> InstanceTable:
    """A table without rows."""
    return instance_table(np.zeros((1, 1), np.int32))


def instance_table(
    instance_map: NDArray[np.integer],
    *,
    nuclei_prob: NDArray[np.floating] | None = None,
    type_prob: NDArray[np.floating] | None = None,
    type_logits: NDArray[np.floating] | None = None,
    tissue_map: NDArray[np.integer] | None = None,
    disagreement: NDArray[np.floating] | None = None,
) -> InstanceTable:
    """Measures every nucleus in one pass over the foreground pixels.

    Args:
        instance_map: `(H, W)`, 0 and -1 background; ids need not be consecutive, and go up to 2**31 - 1.
        nuclei_prob: `(H, W)` in [0, 1].
        type_prob: `(C_n + 1, H, W)`, softmax, background first. A nucleus has the class of the highest mean
            probability, the background left out.
        type_logits: `(C_n + 1, H, W)` in place of `type_prob`; only what lies in nuclei is looked at.
        tissue_map: `(H, W)` class ids from 0.
        disagreement: `(H, W)` in [0, 1], of the nuclei.

    Raises:
        ValueError: The instance map is no `(H, W)`, another map's shape differs from it, or ids are no integers or out
            of range.
    """
    if instance_map.ndim != 2:
        raise ValueError(f"Expected an instance_map (H, W), got shape {instance_map.shape}.")
    _check_ids("instance_map", instance_map, -1, np.iinfo(np.int32).max)
    size, of_classes = instance_map.shape, {"type_prob": type_prob, "type_logits": type_logits}
    planes = {"nuclei_prob": nuclei_prob, "tissue_map": tissue_map, "disagreement": disagreement}
    for name, given in planes.items():
        if given is not None and given.shape != size:
            raise ValueError(f"Expected {name} of the instance map's size {size}, got {given.shape}; give one plane.")
    for name, given in of_classes.items():
        if given is not None and (given.ndim != 3 or given.shape[1:] != size or len(given) < 2):
            raise ValueError(
                f"Expected {name} of the instance map's size {size}, with planes of the background and one class or "
                f"more before it, got {given.shape}."
            )
    if tissue_map is not None:
        _check_ids("tissue_map", tissue_map, 0, np.iinfo(np.int16).max)
    inside = np.flatnonzero(instance_map > 0)
    rows, columns = np.divmod(inside, instance_map.shape[1])
    ids, label = _consecutive(instance_map.ravel()[inside])
    count = ids.size
    area = np.bincount(label, minlength=count)

    def mean(values: NDArray[np.floating] | None) -> NDArray[np.float32]:
        if values is None:
            return np.full(count, np.nan, np.float32)
        return (np.bincount(label, values.ravel()[inside], minlength=count) / area).astype(np.float32)

    centroid = [np.bincount(label, axis, minlength=count) / area + 0.5 for axis in (columns, rows)]
    type_id, probability = _types(_inside(type_prob, type_logits, inside), label, area)
    return InstanceTable(
        instance_id=ids.astype(np.int32),
        centroid_xy=np.stack(centroid, axis=1).reshape(count, 2),
        bbox_xyxy=_boxes(columns, rows, label, count),
        area_px=area.astype(np.int64),
        contours_xy=_outer_rings(instance_map, ids),
        type_id=type_id,
        type_prob=probability,
        nuclei_prob=mean(nuclei_prob),
        tissue_id=_majority(tissue_map, inside, label, count),
        disagreement=mean(disagreement),
    )


def _check_ids(name: str, ids: NDArray[np.integer], lowest: int, highest: int) -> None:
    if ids.dtype.kind not in "iu":
        raise ValueError(f"Expected integers as ids in {name}, got {ids.dtype}.")
    if ids.max(initial=0) > highest or ids.min(initial=0) < lowest:
        raise ValueError(
            f"Expected ids from {lowest} to {highest} in {name}, got {ids.min()} to {ids.max()}; relabel it."
        )


def _consecutive(values: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """What `np.unique` says, with its inverse; without sorting where the ids are few."""
    if not values.size or values.max() > values.size:
        return np.unique(values, return_inverse=True)
    ids = np.flatnonzero(np.bincount(values))
    position = np.zeros(ids[-1] + 1, np.int64)
    position[ids] = np.arange(ids.size)
    return ids, position[values]


def _boxes(
    columns: NDArray[np.intp], rows: NDArray[np.intp], label: NDArray[np.int64], count: int
) -> NDArray[np.int32]:
    low, high = np.full((2, count), np.iinfo(np.int32).max), np.zeros((2, count), np.int64)
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(low[axis], label, values)
        np.maximum.at(high[axis], label, values + 1)
    return np.concatenate([low, high]).T.astype(np.int32)


def _outer_rings(instance_map: NDArray[np.integer], ids: NDArray[np.integer]) -> tuple[NDArray[np.float64], ...]:
    largest: dict[int, tuple[int, NDArray[np.float64]]] = {}
    for ring in trace_rings(instance_map):
        if ring.area > largest.get(ring.label, (0, None))[0]:
            largest[ring.label] = (ring.area, ring.points_xy)
    return tuple(largest[int(i)][1] for i in ids)


def _inside(
    prob: NDArray[np.floating] | None, logits: NDArray[np.floating] | None, inside: NDArray[np.intp]
) -> NDArray[np.floating] | None:
    """Class probabilities `(C_n + 1, pixels)` at some pixels, given or of logits."""
    if logits is not None:
        return np.asarray(softmax(np.take(logits.reshape(len(logits), -1), inside, axis=1), axis=0))
    return None if prob is None else np.take(prob.reshape(len(prob), -1), inside, axis=1)


def _types(
    prob: NDArray[np.floating] | None, label: NDArray[np.int64], area: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    count = area.size
    if prob is None:
        return np.zeros(count, np.uint8), np.full(count, np.nan, np.float32)
    means = np.empty((count, len(prob) - 1), np.float32)
    for number, channel in enumerate(prob[1:]):
        means[:, number] = np.bincount(label, channel, minlength=count) / area
    best = means.argmax(axis=1)
    total = np.maximum(means.sum(axis=1), np.finfo(np.float32).tiny)
    return (best + 1).astype(np.uint8), (means[np.arange(count), best] / total).astype(np.float32)


def _majority(
    tissue_map: NDArray[np.integer] | None, inside: NDArray[np.intp], label: NDArray[np.int64], count: int
) -> NDArray[np.int16]:
    if tissue_map is None:
        return np.full(count, -1, np.int16)
    classes = int(tissue_map.max(initial=0)) + 1
    votes = np.bincount(label * classes + tissue_map.ravel()[inside].astype(np.int64), minlength=count * classes)
    return votes.reshape(count, classes).argmax(axis=1).astype(np.int16)

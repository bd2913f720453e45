"""Random square crops at random scales."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray

from coseg_bundle import keys as coseg_keys
from coseg_bundle.classes import UNLABELLED
from coseg_bundle.data.datalist import check_datasets
from coseg_bundle.postprocessing.resample import resample_nearest


class RandScaleCropd(Randomizable, MapTransform):
    """Cuts a random square out of an image and its labels and brings it to one size.

    The square's side is `size * s` pixels with `log s` uniform: below 1 the crop is an enlargement. Datasets may have
    scales of their own, because one network sees images of several magnifications: a dataset at 20x that is drawn at
    0.4 to 1 looks as it does at 40x to 20x. Where the image ends, it is mirrored. Images are interpolated (over areas
    where they shrink); labels keep their values. A margin comes from around the square, for a rotation to turn in.

    Args:
        keys: The image first, float32, then label maps; `(C, H, W)` each.
        size: Side of the crop, px.
        margin: What is added to the crop on each side, px.
        scale_range: Smallest and largest s.
        scale_ranges: Others, by dataset name (the item's `dataset`).
        items: Items of the datalist; a dataset that none of them has is refused. Not asked when not given.
        class_key: A class map, such as `types`, whose classes crops are balanced by.
        class_prob: Share of the crops that are drawn around a pixel of a class, each class of the image alike, so that
            rare ones are seen as often as common ones.

    Raises:
        ValueError: A range is not 0 < smallest <= largest, one is for an unknown dataset, or `class_prob` is no share.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        scale_range: Sequence[float] = (0.75, 1.25),
        scale_ranges: Mapping[str, Sequence[float]] | None = None,
        class_key: str | None = None,
        class_prob: float = 0.0,
        margin: int = 0,
        items: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        MapTransform.__init__(self, keys)
        if not 0 <= class_prob <= 1:
            raise ValueError(f"Expected class_prob (class_balance), a share, from 0 to 1, got {class_prob}.")
        if items is not None:
            check_datasets("scale_ranges", scale_ranges or {}, items)
        self.class_key, self.class_prob = class_key, class_prob
        self.size, self.margin = size, margin
        self.scale_range = _checked(scale_range, "scale_range")
        self.scale_ranges = {
            name: _checked(given, f"scale_ranges of {name}") for name, given in (scale_ranges or {}).items()
        }

    def randomize(
        self, shape: tuple[int, int], scale_range: tuple[float, float], class_map: NDArray[np.integer] | None = None
    ) -> tuple[int, int, int]:
        """Draws the first row, the first column and the side of the square, which holds a pixel of a drawn class."""
        scale = np.exp(self.R.uniform(*np.log(scale_range)))
        side = max(1, round(self.size * scale))
        inside = None if class_map is None else self._pixel_of_a_class(class_map)
        row, column = (
            int(self.R.randint(*_starts(length, side, None if inside is None else inside[axis])))
            for axis, length in enumerate(shape)
        )
        return row, column, side

    def _pixel_of_a_class(self, class_map: NDArray[np.integer]) -> tuple[int, int] | None:
        if self.R.uniform() >= self.class_prob:
            return None
        classes = [c for c in np.unique(class_map).tolist() if 0 < c < UNLABELLED]
        if not classes:
            return None
        pixels = np.flatnonzero(class_map == classes[self.R.randint(len(classes))])
        row, column = np.unravel_index(pixels[self.R.randint(pixels.size)], class_map.shape)
        return int(row), int(column)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cuts the same square out of every key."""
        item = dict(data)
        image = item[self.keys[0]]
        scale_range = self.scale_ranges.get(str(item.get(coseg_keys.DATASET, "")), self.scale_range)
        class_map = np.asarray(item[self.class_key])[0] if self.class_key in item and self.class_prob else None
        row, column, side = self.randomize((image.shape[-2], image.shape[-1]), scale_range, class_map)
        around = round(side * self.margin / self.size)
        row, column, side = row - around, column - around, side + 2 * around
        size = self.size + 2 * self.margin
        for number, key in enumerate(self.key_iterator(item)):
            cut = _square(np.asarray(item[key]), row, column, side)
            resized = _resize_image(cut, size) if number == 0 else resample_nearest(cut, (size, size))
            item[key] = torch.from_numpy(resized)
        return item


def _starts(length: int, side: int, inside: int | None) -> tuple[int, int]:
    """Range of first rows (or columns) of a square of `side` in an image of `length`, with `inside` in the square."""
    last = max(length - side, 0)
    if inside is None:
        return 0, last + 1
    return max(0, min(inside - side + 1, last)), min(inside, last) + 1


def _checked(scale_range: Sequence[float], name: str) -> tuple[float, float]:
    if len(scale_range) != 2 or not 0 < scale_range[0] <= scale_range[1]:
        raise ValueError(f"Expected 0 < smallest <= largest for {name}, such as [0.75, 1.25], got {list(scale_range)}.")
    smallest, largest = scale_range
    return float(smallest), float(largest)


def _square(values: NDArray[Any], row: int, column: int, side: int) -> NDArray[Any]:
    """Cuts a square out of `(C, H, W)`; beyond the image it is mirrored, as often as it takes."""
    starts = row, column
    ends = [start + side for start in starts]
    missing = [
        (max(0, -start), max(0, end - length))
        for start, end, length in zip(starts, ends, values.shape[-2:], strict=True)
    ]
    cut = values[..., max(0, row) : max(0, ends[0]), max(0, column) : max(0, ends[1])]
    return np.pad(cut, [(0, 0), *missing], mode="symmetric") if any(map(any, missing)) else cut


def _resize_image(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    interpolation = cv2.INTER_AREA if values.shape[-1] > size else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(values.transpose(1, 2, 0)), (size, size), interpolation=interpolation)
    return np.ascontiguousarray(resized.transpose(2, 0, 1), dtype=np.float32)  # (H, W, C) -> (C, H, W)

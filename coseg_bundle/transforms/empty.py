"""Emptiness: glass and what was not scanned, beside the tissue or instead of it, which no labelled set shows enough."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_SHAPES, _SHARES = ("whole", "half", "frame", "block", "blob"), (0.12, 0.33, 0.15, 0.25, 0.15)


class RandEmptyd(RandomizableTransform, MapTransform):
    """Lays an empty area over a crop: no nuclei there, tissue class 0.

    The sets that people label are cut out of tissue. A network that has never seen glass calls it whatever bright thing
    it knows (the lumen of a gland, for one), and one that has never seen black calls it nuclei. Labels beside the area
    stay; unlabelled ones stay unlabelled. (`RandGlassd` is bright glass alone, instead of the whole crop.)

    The area is the whole crop, one side of a line at any angle, a frame, a block or a blob; its colour is that of glass
    (bright, slightly tinted), black or any grey, noisy or constant; its edge is hard or soft.

    Args:
        keys: The image `(3, H, W)`, float in [0, 1], first, then its label maps `(1, H, W)`.
        prob: Share of the crops that get an empty area.
        noise: Largest standard deviation of its noise.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.02, noise: float = 0.02) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.noise = noise

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Leaves one item as it is, or empties an area of its image and all its labels."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        image, *labels = self.key_iterator(item)
        area = self._area(item[image].shape[-2:])
        opacity = np.clip(gaussian_filter(area.astype(float), self.R.uniform(0.3, 2)), 0, 1)
        if self.R.uniform() < 0.5:
            opacity = area.astype(float)
        colour = self._colour() + self.R.normal(0, self._noise(), item[image].shape)
        mixed = np.asarray(item[image]) * (1 - opacity) + colour * opacity
        item[image] = torch.from_numpy(mixed.clip(0, 1)).to(item[image].dtype)
        for key in labels:
            item[key] = torch.where(torch.from_numpy(opacity >= 0.5), 0, torch.as_tensor(item[key]))
        return item

    def _area(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        kind = self.R.choice(_SHAPES, p=_SHARES)
        rows, columns = (np.linspace(-1, 1, length) for length in shape)
        if kind == "half":
            angle = self.R.uniform(0, 2 * np.pi) if self.R.uniform() < 0.5 else self.R.randint(4) * np.pi / 2
            side = rows[:, None] * np.sin(angle) + columns * np.cos(angle)
            return np.asarray(side > self.R.uniform(-0.6, 0.8))
        if kind == "frame":
            top, bottom, left, right = self.R.uniform(0, 0.7, 4)
            return ~((rows > top - 1) & (rows < 1 - bottom))[:, None] | ~((columns > left - 1) & (columns < 1 - right))
        if kind == "block":
            middle, half = self.R.uniform(-0.8, 0.8, 2), self.R.uniform(0.1, 0.9, 2)
            return (abs(rows - middle[0]) < half[0])[:, None] & (abs(columns - middle[1]) < half[1])
        if kind == "blob":
            field = gaussian_filter(self.R.normal(size=shape), max(shape) / self.R.uniform(6, 25), mode="wrap")
            return np.asarray(field > np.quantile(field, self.R.uniform(0.4, 0.9)))
        return np.ones(shape, dtype=bool)

    def _colour(self) -> NDArray[np.float64]:
        """Red, green and blue `(3, 1, 1)`."""
        kind = self.R.choice(("glass", "black", "grey"), p=(0.5, 0.25, 0.25))
        if kind == "glass":
            return np.asarray(self.R.uniform(0.8, 1) + self.R.uniform(-0.05, 0.05, (3, 1, 1)))
        level = self.R.uniform(0, 0.06) if kind == "black" else self.R.uniform(0, 0.85)
        return np.asarray(level + self.R.uniform(-0.02, 0.02, (3, 1, 1)))

    def _noise(self) -> float:
        return float(self.R.uniform(0, self.noise)) if self.R.uniform() < 0.5 else 0.0

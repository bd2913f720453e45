"""Bare glass: what lies beside the tissue of a slide, which no labelled set shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandGlassd(RandomizableTransform, MapTransform):
    """Replaces a crop, seldom, by bright empty glass: no nuclei, tissue class 0.

    The sets that people label are cut out of tissue. A network that has never seen glass calls it whatever bright thing
    it knows (the lumen of a gland, for one).

    Args:
        keys: The image `(3, H, W)`, float in [0, 1], first, then its label maps `(1, H, W)`.
        prob: Share of the crops that become glass.
        brightness: Range of the colour channels of glass.
        noise: Standard deviation of its noise.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.02,
        brightness: tuple[float, float] = (0.85, 1.0),
        noise: float = 0.01,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.brightness, self.noise = brightness, noise

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Leaves one item as it is, or replaces its image and all its labels."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        image, *labels = self.key_iterator(item)
        colour = torch.from_numpy(self.R.uniform(*self.brightness, (3, 1, 1)))
        noise = torch.from_numpy(self.R.normal(0, self.noise, item[image].shape))
        item[image] = (colour + noise).clamp(0, 1).to(item[image].dtype)
        for key in labels:
            item[key] = torch.zeros_like(item[key])
        return item

"""JPEG: what compression adds to an image and takes from it, as each scanner, conversion and export does once more."""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandJpegd(RandomizableTransform, MapTransform):
    """Compresses an RGB image in [0, 1] as JPEG, its colours at full or at half resolution, and reads it again.

    Args:
        keys: Images `(3, H, W)`, float32 in [0, 1].
        prob: Share of the images that are changed.
        quality: Lowest and highest quality, drawn evenly; slides have 30 to 95.

    Raises:
        ValueError: The qualities are none of JPEG's.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, quality: tuple[int, int] = (30, 95)) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        low, high = quality
        if not 1 <= low <= high <= 100:
            raise ValueError(f"Expected two qualities of JPEG from 1 to 100, the lower one first, got {quality}.")
        self.quality = low, high

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Changes one item."""
        item = dict(data)
        self.randomize(None)
        quality, halved = self.R.randint(self.quality[0], self.quality[1] + 1), self.R.uniform() < 0.5
        if self._do_transform:
            for key in self.key_iterator(item):
                item[key] = as_jpeg(item[key], quality, halved)
        return item


def as_jpeg(image: torch.Tensor, quality: int, halved: bool) -> torch.Tensor:
    """An RGB image `(3, H, W)` in [0, 1] after JPEG of a quality, its colours at half the resolution or not."""
    from PIL import Image

    rgb = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    with io.BytesIO() as file:
        Image.fromarray(np.ascontiguousarray(rgb)).save(file, "JPEG", quality=quality, subsampling=2 if halved else 0)
        read = np.asarray(Image.open(file))
    return torch.from_numpy(read.copy()).permute(2, 0, 1).to(image.dtype) / 255

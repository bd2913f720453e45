"""Stain variation: scales and shifts haematoxylin and eosin in optical density (Tellez et al. 2018; Ruifrok 2001)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from skimage.color import hed_from_rgb, rgb_from_hed

_DARKEST = 1 / 255


def optical_density(image: torch.Tensor) -> torch.Tensor:
    """Optical density `(3, H, W)` of an RGB image in [0, 1]."""
    return -torch.log(image.clamp_min(_DARKEST))


class RandStainJitterd(RandomizableTransform, MapTransform):
    """Varies the amounts of the stains of an RGB image in [0, 1].

    Optical density is unmixed into haematoxylin, eosin and a rest, each channel is multiplied by `1 + a` and shifted by
    `b`, and mixed again: in optical density that is one 3 x 3 matrix and one offset. With `mix`, each channel also
    takes on a little of the colour of the others, as dyes and scanners differ in hue.

    Args:
        keys: Images `(3, H, W)`, float32 in [0, 1].
        scale: Largest |a|.
        shift: Largest |b|, in units of optical density.
        prob: Share of the images that are varied.
        mix: Largest share, of either sign, of another channel's colour.
    """

    def __init__(
        self, keys: KeysCollection, scale: float = 0.3, shift: float = 0.05, prob: float = 0.8, mix: float = 0.0
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.scale, self.shift, self.mix = scale, shift, mix
        self._unmix = torch.tensor(hed_from_rgb, dtype=torch.float32)
        self._mix = torch.tensor(rgb_from_hed, dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Varies one item."""
        item = dict(data)
        self.randomize(None)
        factors = 1 + self.R.uniform(-self.scale, self.scale, 3)
        offsets = torch.from_numpy(self.R.uniform(-self.shift, self.shift, 3)).float()
        amounts = self.R.uniform(-self.mix, self.mix, (3, 3)) if self.mix else np.zeros((3, 3))
        np.fill_diagonal(amounts, factors)
        if self._do_transform:
            for key in self.key_iterator(item):
                item[key] = self._jitter(item[key], torch.from_numpy(amounts).float(), offsets)
        return item

    def _jitter(self, image: torch.Tensor, amounts: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        matrix = self._unmix @ amounts @ self._mix
        varied = torch.einsum("chw,cd->dhw", optical_density(image), matrix) + (offsets @ self._mix)[:, None, None]
        return torch.exp(-varied).clamp(0, 1)

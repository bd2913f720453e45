"""Stain transfer: an image in the colours of another one (optimal transport between Gaussians, in optical density)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray

from coseg_bundle.data.images import read_image
from coseg_bundle.transforms.stain import optical_density

_TISSUE_DENSITY = 0.3
"""Optical density, all channels together, below which a pixel is glass and says nothing of stains."""


class RandStainTransferd(RandomizableTransform, MapTransform):
    """Gives an RGB image in [0, 1] colours that lie between its own and those of a reference image.

    What the network is to know must not follow from which laboratory stained and scanned an image, yet sets that are
    labelled for one task each come from one laboratory each. The colours of an image are its second moments of optical
    density over the tissue, and the map from one to the other is the linear one that moves densities least (Olkin and
    Pukelsheim 1982). It has no offset: glass stays glass.

    Args:
        keys: Images `(3, H, W)`, float32 in [0, 1].
        references: Image files, each drawn alike; read once, here.
        prob: Share of the images that are changed.

    Raises:
        ValueError: No reference shows tissue.
    """

    def __init__(self, keys: KeysCollection, references: Sequence[str | PathLike[str]], prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        images = (torch.from_numpy(read_image(path).rgb).permute(2, 0, 1) / 255 for path in references)
        self.moments = [found for image in images if (found := stain_moments(optical_density(image))) is not None]
        if not self.moments:
            raise ValueError(
                f"Expected references to take colours from, but none of these {len(references)} images shows tissue."
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Changes one item."""
        item = dict(data)
        self.randomize(None)
        target, strength = self.R.randint(len(self.moments)), self.R.uniform()
        if self._do_transform:
            for key in self.key_iterator(item):
                item[key] = transferred(item[key], self.moments[target], strength)
        return item


def transferred(image: torch.Tensor, target: NDArray[np.float64], strength: float = 1.0) -> torch.Tensor:
    """An RGB image `(3, H, W)` in [0, 1] in the colours of `target`, or some of the way there.

    Args:
        image: The image; one without tissue stays as it is.
        target: Second moments of other colours, see `stain_moments`.
        strength: From 0, its own colours, to 1, the others.
    """
    density = optical_density(image)
    moments = stain_moments(density)
    if moments is None:
        return image
    matrix = (1 - strength) * np.eye(3) + strength * transport(moments, target)
    return torch.exp(-torch.einsum("chw,dc->dhw", density, torch.from_numpy(matrix).float())).clamp(0, 1)


def stain_moments(density: torch.Tensor) -> NDArray[np.float64] | None:
    """Second moments `(3, 3)` of optical density `(3, H, W)` over the tissue; None with less than a tenth of tissue."""
    pixels = density.flatten(1)[:, ::7].double()
    tissue = pixels[:, pixels.sum(0) > _TISSUE_DENSITY]
    if tissue.shape[1] < pixels.shape[1] / 10:
        return None
    moments: NDArray[np.float64] = (tissue @ tissue.T / tissue.shape[1]).numpy() + 1e-4 * np.eye(3)
    return moments


def transport(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric matrix A with `A source A = target`, both symmetric and positive definite."""
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    return inverse @ _power(root @ target @ root, 0.5) @ inverse


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    powered: NDArray[np.float64] = (vectors * values**exponent) @ vectors.T
    return powered

"""Tissue at two scales: a region is often larger than what the network was trained to see at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import Inferer
from torch import Tensor, nn

from coseg_bundle.inferers.tiled import mirror_to
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.networks.image_encoder import SIDE_MULTIPLE


class TwoScaleNetwork(nn.Module):
    """Looks at tiles as they are and at half their resolution; tissue is the mean of both answers.

    From further away a region is told by its shape, from close by its texture (van Rijthoven et al. 2021, HookNet,
    learns both). Nuclei are only looked at from close. A quarter more pixels go through it.

    Args:
        network: Takes tiles and returns `pred` `(B, C, H, W)`.
        layout: Channels of `pred`.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], layout: HeadLayout) -> None:
        super().__init__()
        self.network, self.layout = network, layout

    def forward(self, tiles: Tensor) -> Tensor:
        """Segments tiles.

        Args:
            tiles: RGB `(B, 3, H, W)` in [0, 1], or `(B, 5, H, W)` with corrections (`refinement.with_correction`);
                sides are multiples of 32.

        Returns:
            `pred` `(B, C, H, W)`.
        """
        parts = self.layout.split(self.network(tiles))
        near, far = parts["tissue_logits"], self._tissue_from_afar(tiles)
        size = (tiles.shape[-2], tiles.shape[-1])
        tissue = (near + F.interpolate(far.float(), size, mode="bilinear").to(near.dtype)) / 2
        return torch.cat([*(parts | {"tissue_logits": tissue}).values()], dim=1)

    def _tissue_from_afar(self, tiles: Tensor) -> Tensor:
        """Tissue logits `(B, C_t, H / 2, W / 2)` of tiles at half their resolution."""
        halved = torch.cat([F.avg_pool2d(tiles[:, :3], 2), tiles[:, 3:, ::2, ::2]], dim=1)
        height, width = halved.shape[-2:]
        sides = (-(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in (height, width))
        pred = self.network(mirror_to(halved, *sides))
        return self.layout.split(pred)["tissue_logits"][..., :height, :width]


class TwoScaleInferer(Inferer):
    """Runs another inferer with a network that looks at tissue at two scales.

    Args:
        inferer: What cuts the image into tiles.
        layout: Channels of the prediction.
        enabled: False leaves the network as it is. None does what its weights say (`CoSeg.two_scales`): tissue that was
            learned at one resolution is not known at half of it.
    """

    def __init__(self, inferer: Inferer, layout: HeadLayout, enabled: bool | None = None) -> None:
        super().__init__()
        self.inferer, self.layout, self.enabled = inferer, layout, enabled

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Infers `inputs` `(B, 3, H, W)` with the network."""
        enabled = bool(getattr(network, "two_scales", False)) if self.enabled is None else self.enabled
        return self.inferer(inputs, TwoScaleNetwork(network, self.layout) if enabled else network, *args, **kwargs)

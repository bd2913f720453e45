"""Sliding-window inference on images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import SlidingWindowInferer

from coseg_bundle.networks.image_encoder import SIDE_MULTIPLE


class TiledInferer(SlidingWindowInferer):
    """MONAI's sliding window with Gaussian blending, for images of any size from 1 x 1 pixel on.

    Smaller images are mirrored to the size of a tile (where there is something to mirror; else the edge is repeated);
    MONAI's own padding cannot mirror an image that is smaller than half a tile.

    Args:
        tile_size: Side of the square tiles, px; a multiple of 32. As large as in training.
        batch_size: Tiles that go through the network together.
        overlap: Share of a tile that the next one covers again, 0 to below 1.

    Raises:
        ValueError: The tile size is no multiple of 32.
    """

    def __init__(self, tile_size: int = 256, batch_size: int = 4, overlap: float = 0.25) -> None:
        check_tile_size(tile_size)
        super().__init__((tile_size, tile_size), sw_batch_size=batch_size, overlap=overlap, mode="gaussian")
        self.tile_size = tile_size

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Infers `inputs` `(B, 3, H, W)`; the result has the same height and width."""
        height, width = inputs.shape[-2:]
        padded = mirror_to(inputs, max(height, self.tile_size), max(width, self.tile_size))
        pred: torch.Tensor = super().__call__(padded, network, *args, **kwargs)
        return pred[..., :height, :width]


def check_tile_size(tile_size: int) -> None:
    """Raises ValueError unless the network takes tiles of this side, in pixels."""
    if tile_size <= 0 or tile_size % SIDE_MULTIPLE:
        raise ValueError(f"Expected a tile_size that is a multiple of {SIDE_MULTIPLE}, got {tile_size}.")


def mirror_to(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Extends `(B, C, H, W)` to the right and below by mirroring, and by repeating where one pixel is all there is."""
    while images.shape[-2:] != (height, width):
        old_height, old_width = images.shape[-2:]
        below, right = min(height - old_height, old_height - 1), min(width - old_width, old_width - 1)
        if below or right:
            images = F.pad(images, (0, right, 0, below), mode="reflect")
        else:  # a single row or column has no mirror image
            images = F.pad(images, (0, width - old_width, 0, height - old_height), mode="replicate")
    return images

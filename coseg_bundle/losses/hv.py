"""Loss terms of the hv map (Graham et al., HoVer-Net, Medical Image Analysis 2019, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def hv_mse(hv_map: Tensor, target: Tensor, labelled: Tensor, pixels: float | None = None) -> Tensor:
    """Mean squared error of the hv map over the labelled pixels.

    Args:
        hv_map: Predicted map `(B, 2, H, W)`.
        target: True map `(B, 2, H, W)` in [-1, 1].
        labelled: Pixels with a nuclei label `(B, 1, H, W)` bool.
        pixels: What the sum is divided by, per channel; the number of labelled pixels when not given.

    Returns:
        The loss; 0 where nothing is labelled.
    """
    count = float(labelled.sum()) if pixels is None else pixels
    return ((hv_map - target) ** 2 * labelled).sum() / (2 * count or 1)


class HVGradientLoss(nn.Module):
    """Mean squared error of the hv map's gradients over the pixels of nuclei (MSGE).

    Channel 0 (x) is differentiated horizontally and channel 1 (y) vertically, with HoVer-Net's 5x5 filter
    `offset / (offset_x^2 + offset_y^2)`. Its answer to a slope of 1 per pixel is 12, and published weights of this
    term belong to it: MONAI's `SobelGradients`, which answers 1, makes the term 144 times smaller.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        offset = torch.arange(-2.0, 3.0)
        y, x = torch.meshgrid(offset, offset, indexing="ij")
        along_x = x / (x**2 + y**2).clamp_min(1)
        self.register_buffer("kernels", torch.stack([along_x, along_x.T])[:, None], persistent=False)

    def forward(self, hv_map: Tensor, target: Tensor, nuclei: Tensor, pixels: float | None = None) -> Tensor:
        """Compares gradients.

        Args:
            hv_map: Predicted map `(B, 2, H, W)`.
            target: True map `(B, 2, H, W)`.
            nuclei: True nuclei mask `(B, 1, H, W)` bool.
            pixels: What the sum is divided by, per channel; the number of pixels of nuclei when not given.

        Returns:
            The loss; 0 where there are no nuclei.
        """
        difference = F.pad(hv_map - target, (2, 2, 2, 2), mode="replicate")  # linear: one gradient, of the difference
        gradient = F.conv2d(difference, self.kernels.to(difference), groups=2)
        count = float(nuclei.sum()) if pixels is None else pixels
        return (gradient**2 * nuclei).sum() / (2 * count or 1)

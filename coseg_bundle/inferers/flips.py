"""Test-time augmentation: the mean over mirrored copies of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coseg_bundle.engine.tensors import Images, flipped
from coseg_bundle.networks.head_layout import HeadLayout

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class FlipInferer:
    """Runs another inferer on the image and its three mirror images and averages what it says.

    The hv map points along the axes, so a mirrored copy's x or y changes its sign on the way back.

    Args:
        inferer: What infers.
        layout: Channels of the prediction.
        enabled: False runs the inferer once, on the image itself.
    """

    def __init__(self, inferer: Callable[..., Any], layout: HeadLayout, enabled: bool = True) -> None:
        self.inferer, self.enabled = inferer, enabled
        self.hv_x = layout.slices["hv_map"].start
        self.hv_y = self.hv_x + 1

    def __call__(self, inputs: Images, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Images:
        """Infers `inputs` `(B, 3, H, W)`."""
        if not self.enabled:
            unchanged: Images = self.inferer(inputs, network, *args, **kwargs)
            return unchanged
        total: Any = None
        for axes in _FLIPS:
            pred: Any = flipped(self.inferer(flipped(inputs, axes), network, *args, **kwargs), axes)
            if -1 in axes:
                pred[:, self.hv_x] *= -1
            if -2 in axes:
                pred[:, self.hv_y] *= -1
            total = pred if total is None else total + pred
        mean: Images = total / len(_FLIPS)
        return mean

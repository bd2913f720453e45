"""Tissue at two scales: the mean of what a network says from close and from twice as far away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.engine.tensors import Images, doubled, joined, mean_pooled, to_numpy
from coseg_bundle.inferers.tiled import mirror_to
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.postprocessing.hover import segment_instances
from coseg_bundle.postprocessing.probabilities import logistic
from coseg_bundle.writers.summary import ENOUGH_NUCLEI, NUCLEUS_WIDTH_UM, circle_width

_ENOUGH_PX = 512
"""So many rows and columns tell how wide nuclei are, mostly."""

_SEVENTHS = 7
"""Once for each seventh that nuclei are wider than narrow."""


@dataclass
class _Image:
    """What is known of an image: whether somebody gave its resolution, and how much the look from afar counts, once its
    nuclei told."""

    known: bool
    far_weight: float | None = None


_image: ContextVar[_Image | None] = ContextVar("image", default=None)


@contextmanager
def resolution_known(known: bool = True) -> Iterator[None]:
    """Says of what is inferred inside whether somebody gave its resolution (see `TwoScaleInferer`). Where nobody did it
    is one image, in parts or mirrored copies: the first with enough nuclei tells for all after it."""
    token = _image.set(_Image(known))
    try:
        yield
    finally:
        _image.reset(token)


class TwoScaleInferer:
    """Looks at an image from close and, for its tissue, at half its resolution.

    From further away a region is told by its shape, from close by its texture (van Rijthoven et al. 2021, HookNet,
    learns both). Nuclei are only looked at from close: a network that has `tissue_alone` is asked for no more from
    afar. A quarter more pixels go through the network.

    Glands are told better from afar, so where the resolution is known (`resolution_known`) that look counts more. An
    image whose resolution nobody gave may be seen from afar already: its nuclei tell. Where they are narrow the look
    from close counts alone; the wider they are, the more the one from afar. Where they are few both count alike.

    Args:
        inferer: What cuts the image into windows.
        far: What cuts the image at half its resolution; the same when not given. Its windows can be larger: from afar
            the more a window shows the better.
        layout: Channels of the prediction.
        enabled: False looks from close only. None does what the network's weights say (`CoSeg.two_scales`): tissue that
            was learned at one resolution is not known at half of it.
        far_weight: How much the look from afar counts where the resolution is known; the one from close counts once.
        narrow_px: Nuclei are narrow whose middle one is less wide: 3.5 um (`writers.summary.NUCLEUS_WIDTH_UM`) in
            pixels of the network. For each seventh that it is wider the look from afar counts once, up to `far_weight`.
        taught_nuclei: False where nobody taught the network nuclei, so that they tell nothing.
    """

    def __init__(
        self,
        inferer: Callable[..., Any],
        layout: HeadLayout,
        enabled: bool | None = None,
        far: Callable[..., Any] | None = None,
        far_weight: float = 3.0,
        narrow_px: float = NUCLEUS_WIDTH_UM[0] / 0.25,
        taught_nuclei: bool = True,
    ) -> None:
        if not 0 <= far_weight < math.inf or not 0 < narrow_px < math.inf:
            raise ValueError(
                f"Expected a far_weight of at least 0 and narrow_um above 0, got {far_weight} and {narrow_px} px."
            )
        self.inferer, self.layout, self.enabled, self.far = inferer, layout, enabled, far or inferer
        self.far_weight, self.narrow_px, self.taught_nuclei = far_weight, narrow_px, taught_nuclei

    def __call__(
        self,
        inputs: Images,
        network: Callable[..., Any],
        *args: Any,
        resolution_known: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Infers `inputs`: RGB `(B, 3, H, W)` in [0, 1], or `(B, 5, H, W)` with corrections (`refinement`).

        Args:
            inputs: The images.
            network: What says something of a window.
            args: What the network is given besides.
            resolution_known: Whether somebody gave their resolution; what `resolution_known` says around the call
                when not given.
            kwargs: What the network is given besides, by name.
        """
        enabled = bool(getattr(network, "two_scales", False)) if self.enabled is None else self.enabled
        if not enabled or min(inputs.shape[-2:]) < 2:
            return self.inferer(inputs, network, *args, **kwargs)
        image = (_image.get() or _Image(False)) if resolution_known is None else _Image(resolution_known)
        if len(inputs) > 1 and not image.known:  # each has nuclei of its own
            each = [inputs[i : i + 1] for i in range(len(inputs))]
            return joined([self(one, network, *args, resolution_known=resolution_known, **kwargs) for one in each], 0)
        pred = self.inferer(inputs, network, *args, **kwargs)
        weight = self._far_weight(image, pred, inputs, network, *args, **kwargs)
        if not weight:
            return pred
        alone = None if args or kwargs else getattr(network, "tissue_alone", None)  # nobody asks for nuclei from afar
        if alone is not None:
            far = self.far(halved(inputs), alone)
        else:
            far = self.layout.split(self.far(halved(inputs), network, *args, **kwargs))["tissue_logits"]
        return with_tissue_from_afar(pred, far, self.layout, weight)

    def _far_weight(
        self, image: _Image, pred: Any, inputs: Images, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> float:
        """How much the look from afar counts, the one from close once."""
        if image.known:
            return self.far_weight
        if image.far_weight is None and self.taught_nuclei:
            if (inputs[:, 3:] != UNLABELLED).any():  # what a person says of one place changes no other
                inputs = joined([inputs[:, :3], inputs[:, 3:] * 0 + UNLABELLED], 1)
                pred = self.inferer(inputs, network, *args, **kwargs)
            if (width := nuclei_width(pred[0], self.layout)) is not None:
                image.far_weight = min(max(_SEVENTHS * (width / self.narrow_px - 1), 0.0), self.far_weight)
        return 1.0 if image.far_weight is None else image.far_weight


def nuclei_width(pred: Any, layout: HeadLayout) -> float | None:
    """How wide the middle one of an image's nuclei is, as a circle of its area, px; None where they are few.

    Those in the middle of a large image are asked, all where they are few.

    Args:
        pred: The network's output `(C, H, W)`.
        layout: Its channels.
    """
    height, width = pred.shape[-2:]
    above, left = max(height - _ENOUGH_PX, 0) // 2, max(width - _ENOUGH_PX, 0) // 2
    middle = pred[:, above : above + _ENOUGH_PX, left : left + _ENOUGH_PX]
    for part in (middle, pred) if middle.shape != pred.shape else (pred,):
        parts = layout.split(part, channel_dim=0)
        prob = logistic(to_numpy(parts["nuclei_logits"][0]))
        nuclei = segment_instances(prob, to_numpy(parts["hv_map"]), min_area_px=30, min_prob=0.75)
        areas = np.bincount(nuclei.ravel())[1:]
        if len(areas) >= ENOUGH_NUCLEI:
            return float(circle_width(np.median(areas)))
    return None


def halved(images: Images) -> Images:
    """Images `(B, 3, H, W)` at half their resolution, an odd last row or column left out; of corrections (the channels
    after the third) every other pixel."""
    even = images[..., : images.shape[-2] // 2 * 2, : images.shape[-1] // 2 * 2]
    return joined([mean_pooled(even[:, :3], 2), even[:, 3:, ::2, ::2]], 1)


def with_tissue_from_afar(pred: Images, far: Images, layout: HeadLayout, weight: float) -> Images:
    """`pred` `(B, C, H, W)` with the mean of its tissue logits and those `(B, C_t, H // 2, W // 2)` from afar, which
    count `weight` times."""
    parts = layout.split(pred)
    near = parts["tissue_logits"]
    enlarged = mirror_to(doubled(far), near.shape[-2], near.shape[-1])
    mean = (near + weight * enlarged) / (1 + weight)
    return joined([*(parts | {"tissue_logits": mean}).values()], 1)

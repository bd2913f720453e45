"""Mixed precision around any inferer, on any device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from coseg_bundle.precision import Precision, resolve


class AutocastInferer:
    """Runs another inferer in a precision. MONAI's `amp` knows CUDA only; bf16 gains on CPUs with units for it too.

    Args:
        inferer: What infers.
        precision: `fp32`, `bf16` or `fp16`; `auto` is what the inputs' device computes natively.
    """

    def __init__(self, inferer: Callable[..., Any], precision: str | Precision = "auto") -> None:
        self.inferer, self.precision = inferer, precision

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Infers `inputs` `(B, 3, H, W)` with the network.

        Raises:
            ValueError: The device has not got the precision.
        """
        device = inputs.device
        precision = resolve(self.precision, device, training=torch.is_grad_enabled())
        lower = precision.name != "fp32"
        recording = inputs.is_cuda and torch.cuda.is_current_stream_capturing()  # a graph must hold its own casts
        with (
            torch.autocast(device.type, precision.dtype if lower else None, lower, not recording),
            _attention(device, lower),
        ):
            return self.inferer(inputs, network, *args, **kwargs)


def _attention(device: torch.device, lower: bool) -> AbstractContextManager[None]:
    """Plain attention for training in bf16 on a CPU: backwards through windows of 64 tokens, flash attention is 2 to 7
    times slower there. Full precision keeps flash attention, which holds no scores of a large tile; inference has its
    own (`networks.blocks.attention`)."""
    if lower and device.type == "cpu" and torch.is_grad_enabled():
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()

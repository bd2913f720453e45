"""Automatic mixed precision around any inferer, on any device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.inferers import Inferer
from torch.nn.attention import SDPBackend, sdpa_kernel


class AutocastInferer(Inferer):
    """Runs another inferer under `torch.autocast`. MONAI's `amp` knows CUDA only; bf16 gains on CPUs too.

    Args:
        inferer: What infers.
        dtype: Name of the lower precision, `bfloat16` or `float16`.
        enabled: False runs in full precision.
    """

    def __init__(self, inferer: Inferer, dtype: str = "bfloat16", enabled: bool = True) -> None:
        super().__init__()
        if dtype not in ("bfloat16", "float16"):
            raise ValueError(f"Expected dtype bfloat16 or float16, got {dtype!r}.")
        self.inferer = inferer
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Infers `inputs` `(B, 3, H, W)` with the network."""
        recording = inputs.is_cuda and torch.cuda.is_current_stream_capturing()  # a graph must hold its own casts
        with (
            torch.autocast(inputs.device.type, self.dtype, enabled=self.enabled, cache_enabled=not recording),
            _attention(inputs.device),
        ):
            return self.inferer(inputs, network, *args, **kwargs)


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Plain attention for training on a CPU: backwards through windows of 64 tokens, flash attention is 2 to 7 times
    slower there. Inference keeps flash attention, which needs no memory for the scores of a large tile."""
    if device.type == "cpu" and torch.is_grad_enabled():
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()

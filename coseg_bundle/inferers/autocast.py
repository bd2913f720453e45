"""Automatic mixed precision around any inferer, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer


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
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.enabled):
            return self.inferer(inputs, network, *args, **kwargs)

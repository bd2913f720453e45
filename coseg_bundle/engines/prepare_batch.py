"""What trainer and evaluator take from a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch

from coseg_bundle import keys


class CoSegPrepareBatch(PrepareBatch):
    """Splits a batch into the image and the dictionary of its targets.

    Args:
        return_prior: Asks the network for the first decoding's logits too; for training.
    """

    def __init__(self, return_prior: bool = False) -> None:
        self.return_prior = return_prior

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[()], dict[str, bool]]:
        """Image `(B, 3, H, W)`, targets by name, no arguments, keyword arguments for the network."""
        names = [n for n in (keys.TISSUE, keys.NUCLEI, keys.HV_MAP, keys.TYPES, keys.INSTANCES) if n in batchdata]
        targets = {name: batchdata[name].to(device=device, non_blocking=non_blocking) for name in names}
        image = batchdata[keys.IMAGE].to(device=device, non_blocking=non_blocking)
        return image, targets, (), {"return_prior": True} if self.return_prior else {}

"""What trainer and evaluator take from a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch

from coseg_bundle import keys
from coseg_bundle.batches.teachers import Teachers


class CoSegPrepareBatch(PrepareBatch):
    """Splits a batch into the image and the dictionary of its targets.

    Args:
        return_prior: Asks the network for the first decoding's logits too; for training.
        told: Share of the batches whose tissue labels take the place of the prior, so that the network learns to
            listen to a person who corrects it.
        teachers: Networks whose answers become a target; for training.
        resolution: Says of the batch whether its items give their resolution, to a `TwoScaleInferer`.
    """

    def __init__(
        self,
        return_prior: bool = False,
        told: float = 0.0,
        teachers: Teachers | None = None,
        resolution: bool = False,
    ) -> None:
        self.return_prior, self.told, self.teachers, self.resolution = return_prior, told, teachers, resolution

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[()], dict[str, Any]]:
        """Image `(B, 3, H, W)`, targets by name, no arguments, keyword arguments for the inferer."""
        names = [n for n in (keys.TISSUE, keys.NUCLEI, keys.HV_MAP, keys.TYPES, keys.INSTANCES) if n in batchdata]
        targets = {name: batchdata[name].to(device=device, non_blocking=non_blocking) for name in names}
        image = batchdata[keys.IMAGE].to(device=device, non_blocking=non_blocking)
        if self.teachers is not None:
            targets[keys.TAUGHT] = self.teachers(image)
        arguments: dict[str, Any] = {"return_prior": True} if self.return_prior else {}
        if self.resolution:
            arguments["resolution_known"] = keys.MPP in batchdata
        if self.told and torch.rand(()).item() < self.told:
            arguments["said"] = {keys.TISSUE: targets[keys.TISSUE]}
        return image, targets, (), arguments

"""TorchScript of networks that can be traced and not scripted."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

TRACED_SIDE = 512
"""Side of the tiles that TorchScript files take, px: that of the crops of the released weights' last training."""


class TracedNetwork(nn.Module):
    """A network as a trace, inside a module that `torch.jit.script` accepts.

    SAM 2 computes window padding and position encodings with Python numbers. A trace keeps them as they were, so it is
    right for one tile size only, and says so when it gets another; the batch may have any size.

    Args:
        network: Takes `(B, 3, H, W)` in [0, 1] and returns one tensor; traced in evaluation mode.
        side: Height and width of the tiles, px.
    """

    def __init__(self, network: nn.Module, side: int = TRACED_SIDE) -> None:
        super().__init__()
        self.side = side
        was_training = network.training
        device = next(network.parameters()).device
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of what `forward` below checks
            example = torch.rand(2, 3, side, side, device=device)
            self.network = torch.jit.trace(network.eval(), example, check_trace=False)
        network.train(was_training)

    def forward(self, image: Tensor) -> Tensor:
        """Segments tiles `(B, 3, side, side)`."""
        if image.shape[-2] != self.side or image.shape[-1] != self.side:
            raise ValueError(f"Expected tiles of {self.side} px, got {image.shape[-2]} x {image.shape[-1]}.")
        return self.network(image)

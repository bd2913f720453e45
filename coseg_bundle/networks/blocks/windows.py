"""Maps cut into windows, for what must not depend on what lies further away."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cut(maps: Tensor, side: int) -> Tensor:
    """Maps `(B, C, h, w)` as windows `(B * n, C, side, side)`, in rows; the last ones go on as the maps end."""
    height, width = maps.shape[-2:]
    below, right = (side - height % side) % side, (side - width % side) % side
    if not (isinstance(below, int) and isinstance(right, int) and below == right == 0):  # symbols in an export
        maps = F.pad(maps, (0, right, 0, below), mode="replicate")
    rows, columns = (height + below) // side, (width + right) // side
    windows = maps.unflatten(3, (columns, side)).unflatten(2, (rows, side))  # (B, C, rows, side, columns, side)
    return windows.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def put_together(windows: Tensor, batch: int, height: int, width: int) -> Tensor:
    """What `cut` cut, or an answer of its windows `(B * n, C, side, side)`, as maps `(B, C, height, width)`."""
    side = windows.shape[-1]
    rows, columns = (height + side - 1) // side, (width + side - 1) // side
    maps = windows.unflatten(0, (batch, rows, columns)).permute(0, 3, 1, 4, 2, 5)
    return maps.flatten(4, 5).flatten(2, 3)[..., :height, :width]

"""The trunk and the neck of SAM 2's image encoder: Hiera (Ryali et al. 2023) and a feature pyramid (Ravi et al. 2024).

Parameters have SAM 2's names, so that its checkpoints load, and the answers are SAM 2's to the bit. The package `sam2`
itself is a source distribution with dependencies that nothing here needs (docs/decisions/own-blocks.md); where it is
installed, `tests/networks/blocks/test_hiera.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.networks.blocks.attention import attention
from coseg_bundle.networks.blocks.fused import convolution, linear, only_answers
from coseg_bundle.networks.blocks.layers import MLP, DropPath

_POOL = 2
"""A stage after the first starts with queries at half the resolution."""


class HieraTrunk(nn.Module):
    """A vision transformer whose later stages have fewer tokens and more channels; most blocks attend within windows.

    Args:
        embed_dim: Channels of the first stage; each later one has twice as many.
        num_heads: Attention heads of the first stage, likewise.
        stages: Blocks of each stage.
        windows: Side of the windows of each stage, tokens. The first block of a stage still has those of the stage
            before.
        global_blocks: Blocks, counted through, that attend to the whole image.
        background_size: Height and width of the position embedding that is stretched over the image.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from 0 in the first.
        mlp_ratio: Hidden channels of the FFNs for each of their inputs.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        stages: Sequence[int],
        windows: Sequence[int],
        global_blocks: Sequence[int],
        background_size: tuple[int, int],
        drop_path_rate: float = 0.0,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, embed_dim, *background_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, embed_dim, windows[0], windows[0]))
        *starts, depth = accumulate(stages)
        self.stage_ends = [start - 1 for start in (*starts, depth)]
        rates = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList()
        stage, dim = 0, embed_dim
        for number, rate in enumerate(rates):
            window = 0 if number in global_blocks else windows[stage]
            pooled = number in starts
            stage += pooled
            dim_out, heads = embed_dim * 2**stage, num_heads * 2**stage
            self.blocks.append(HieraBlock(dim, dim_out, heads, window, pooled, rate, mlp_ratio))
            dim = dim_out
        self.channel_list = [embed_dim * 2**stage for stage in reversed(range(len(stages)))]
        """Channels of the stages' outputs, coarse to fine."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features `(B, C, H/s, W/s)` of each stage, fine to coarse: s = 4, 8, 16, 32."""
        x = self.tokens(image)
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.stage_ends:
                features.append(x.permute(0, 3, 1, 2))  # (B, h, w, C) -> (B, C, h, w)
        return features

    def tokens(self, image: Tensor) -> Tensor:
        """What the first block sees of an image `(B, 3, H, W)`: `(B, H/4, W/4, C)`."""
        x: Tensor = self.patch_embed(image)
        return x + self._positions(x.shape[1], x.shape[2])

    def _positions(self, height: int, width: int) -> Tensor:
        """What is added to the tokens, `(1, h, w, C)`: one embedding over the image, one again in each window."""
        side = self.pos_embed_window.shape[-1]
        windows = self.pos_embed_window.permute(0, 2, 3, 1).tile(1, height // side, width // side, 1)
        return stretched(self.pos_embed, height, width) + windows


def stretched(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps `(1, C, h, w)` as tokens `(1, height, width, C)`, bicubic.

    PyTorch's interpolation takes 3 % of the mini network's time. Where nothing but an answer is wanted, two products
    with what it says along an axis take a tenth of that; the difference is rounding.
    """
    if not only_answers(maps):
        return F.interpolate(maps, size=(height, width), mode="bicubic").permute(0, 2, 3, 1)
    down, across = (_cubic(*sizes) for sizes in zip(maps.shape[2:], (height, width), strict=True))
    tokens = maps[0].permute(1, 2, 0)  # (C, h, w) -> (h, w, C)
    with torch.autocast("cpu", enabled=False):  # as interpolation is
        rows = (down @ tokens.flatten(1)).unflatten(1, tokens.shape[1:])  # (height, w, C)
        return (across @ rows)[None]


def _cubic(old: int, new: int) -> Tensor:
    """How much of each of the `old` values along an axis is in each of the `new` ones, `(new, old)`."""
    return F.interpolate(torch.eye(old, dtype=torch.float32)[None, None], size=(new, old), mode="bicubic")[0, 0]


class PatchEmbed(nn.Module):
    """Patches of an image as tokens, at stride 4.

    Args:
        embed_dim: Channels of a token.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=7, stride=4, padding=3)

    def forward(self, image: Tensor) -> Tensor:
        """`(B, 3, H, W)` to `(B, H/4, W/4, C)`."""
        tokens: Tensor = self.proj(image)
        return tokens.permute(0, 2, 3, 1)


class HieraBlock(nn.Module):
    """Attention and FFN, each with a residual.

    Args:
        dim: Channels of its input.
        dim_out: Channels of its output.
        num_heads: Attention heads.
        window: Side of the windows it attends within, tokens; 0 attends to all.
        pooled: Whether its output has half the resolution.
        drop_path: Share of the samples that skip it in training.
        mlp_ratio: Hidden channels of its FFN for each of its output.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        window: int,
        pooled: bool,
        drop_path: float,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.dim_out, self.window, self.pooled = dim_out, window, pooled
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PooledAttention(dim, dim_out, num_heads, pooled)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, int(mlp_ratio * dim_out), dim_out, activation=nn.GELU)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, h, w, dim)` to `(B, h', w', dim_out)`."""
        normed = self.norm1(x)
        if self.proj is not None:
            x = linear(self.proj, normed)
            x = pool(x) if self.pooled else x
        if self.window:
            batch, height, width, _ = x.shape
            after = self.window // _POOL if self.pooled else self.window
            windows = self.attn(to_windows(normed, self.window))
            attended = from_windows(windows, after, batch, height, width)
        else:
            attended = self.attn(normed)
        x = x + self.drop_path(attended)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PooledAttention(nn.Module):
    """Self-attention whose queries may be pooled.

    Args:
        dim: Channels of its input.
        dim_out: Channels of its output.
        num_heads: Heads.
        pooled: Whether the queries, and so the output, have half the resolution.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, pooled: bool) -> None:
        super().__init__()
        self.num_heads, self.pooled = num_heads, pooled
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, h, w, dim)` to `(B, h', w', dim_out)`."""
        batch, height, width, _ = x.shape
        projected = linear(self.qkv, x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = projected.unbind(2)  # (B, N, heads, d) each
        if self.pooled:
            q = pool(q.reshape(batch, height, width, -1))
            height, width = q.shape[1], q.shape[2]
            q = q.reshape(batch, height * width, self.num_heads, -1)
        attended = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return linear(self.proj, attended.transpose(1, 2).reshape(batch, height, width, -1))


def pool(tokens: Tensor) -> Tensor:
    """Tokens `(B, h, w, C)` at half the resolution: the largest of four."""
    return F.max_pool2d(tokens.permute(0, 3, 1, 2), _POOL).permute(0, 2, 3, 1)


def to_windows(tokens: Tensor, side: int) -> Tensor:
    """Tokens `(B, h, w, C)` as windows `(B * n, side, side, C)`, zeros beyond the last row and column."""
    batch, height, width, channels = tokens.shape
    below, right = (side - height % side) % side, (side - width % side) % side
    if not (isinstance(below, int) and isinstance(right, int) and below == right == 0):  # symbols in an export
        tokens = F.pad(tokens, (0, 0, 0, right, 0, below))
    rows, columns = (height + below) // side, (width + right) // side
    tokens = tokens.view(batch, rows, side, columns, side, channels)
    return tokens.permute(0, 1, 3, 2, 4, 5).reshape(-1, side, side, channels)


def from_windows(windows: Tensor, side: int, batch: int, height: int, width: int) -> Tensor:
    """Windows `(B * n, side, side, C)` as tokens `(B, h, w, C)`, without what lies beyond the last row and column."""
    rows, columns = (height + side - 1) // side, (width + side - 1) // side
    tokens = windows.reshape(batch, rows, columns, side, side, -1).permute(0, 1, 3, 2, 4, 5)
    return tokens.reshape(batch, rows * side, columns * side, -1)[:, :height, :width]


class Neck(nn.Module):
    """Brings the trunk's features to one number of channels; some levels add what the coarser one says.

    Args:
        dim: Channels of the output.
        trunk_dims: Channels of the trunk's features, coarse to fine.
        top_down_levels: Levels, 0 the finest, that add the coarser features.
    """

    def __init__(self, dim: int, trunk_dims: Sequence[int], top_down_levels: Sequence[int]) -> None:
        super().__init__()
        self.top_down_levels = tuple(top_down_levels)
        self.convs = nn.ModuleList(_Lateral(trunk_dim, dim) for trunk_dim in trunk_dims)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features `(B, C_i, h, w)`, fine to coarse, as `(B, dim, h, w)`."""
        refined: list[Tensor] = []
        for level, lateral in zip(reversed(range(len(features))), self.convs, strict=True):
            feature = lateral(features[level])
            if level in self.top_down_levels and refined:
                feature = feature + F.interpolate(refined[-1].float(), scale_factor=2.0, mode="nearest")
            refined.append(feature)
        return refined[::-1]


class _Lateral(nn.Module):
    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim_out, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolution(self.conv, x)

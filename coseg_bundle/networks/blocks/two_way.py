"""SAM's two-way transformer and its position encoding (Kirillov et al. 2023), parameters under SAM's names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from coseg_bundle.networks.blocks.attention import attention
from coseg_bundle.networks.blocks.fused import linear
from coseg_bundle.networks.blocks.layers import MLP

_NARROWER = 2
"""Attention between queries and pixels has so many times fewer channels."""


class TwoWayTransformer(nn.Module):
    """Queries that look at an image, and an image that looks at them.

    Args:
        depth: Layers.
        dim: Channels C.
        num_heads: Attention heads.
        mlp_dim: Hidden channels of the FFN.
    """

    def __init__(self, depth: int, dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(dim, num_heads, mlp_dim, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(dim, num_heads, dim // _NARROWER)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, positions: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Transforms both.

        Args:
            image: Embeddings `(B, C, h, w)`.
            positions: Their position encoding, the same shape.
            tokens: Queries `(B, N, C)`; also what tells them apart in every layer.

        Returns:
            The queries `(B, N, C)` and the image `(B, h * w, C)`.
        """
        keys, positions = (x.flatten(2).transpose(1, 2) for x in (image, positions))  # (B, C, h, w) -> (B, h * w, C)
        queries = tokens
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, positions)
        attended = self.final_attn_token_to_image(queries + tokens, keys + positions, keys)
        return self.norm_final_attn(queries + attended), keys


class TwoWayLayer(nn.Module):
    """Queries attend to each other and to the image, then the image to the queries.

    Args:
        dim: Channels C.
        num_heads: Attention heads.
        mlp_dim: Hidden channels of the FFN.
        first: Whether the queries are still what tells them apart, and need not be told.
    """

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, num_heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, num_heads, dim // _NARROWER)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, num_heads, dim // _NARROWER)

    def forward(self, queries: Tensor, keys: Tensor, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """One layer: `queries` and `tokens` `(B, N, C)`, `keys` and `positions` `(B, M, C)`."""
        if self.first:
            queries = self.norm1(self.self_attn(queries, queries, queries))
        else:
            placed = queries + tokens
            queries = self.norm1(queries + self.self_attn(placed, placed, queries))
        queries = self.norm2(queries + self.cross_attn_token_to_image(queries + tokens, keys + positions, keys))
        queries = self.norm3(queries + self.mlp(queries))
        keys = self.norm4(keys + self.cross_attn_image_to_token(keys + positions, queries + tokens, queries))
        return queries, keys


class Attention(nn.Module):
    """Attention over tokens, possibly with fewer channels inside.

    Args:
        dim: Channels of its input and output.
        num_heads: Heads.
        inner_dim: Channels of all heads together.
    """

    def __init__(self, dim: int, num_heads: int, inner_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, inner_dim)
        self.k_proj = nn.Linear(dim, inner_dim)
        self.v_proj = nn.Linear(dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attends from `queries` `(B, N, C)` to `keys` and `values` `(B, M, C)`."""
        projected = linear(self.q_proj, queries), linear(self.k_proj, keys), linear(self.v_proj, values)
        q, k, v = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in projected)  # -> (B, heads, N, d)
        attended = attention(q, k, v)
        return linear(self.out_proj, attended.transpose(1, 2).flatten(2))


class RandomPositions(nn.Module):
    """Position encoding with random spatial frequencies (Tancik et al. 2020), which are part of the weights.

    Args:
        frequencies: How many; the encoding has twice as many channels.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, frequencies))

    def forward(self, height: int, width: int) -> Tensor:
        """The encoding `(C, h, w)` of a grid, whatever its shape: it spans [-1, 1] in both directions."""
        matrix = self.positional_encoding_gaussian_matrix
        cells = torch.ones(height, width, device=matrix.device, dtype=torch.float32)
        y, x = ((cells.cumsum(axis) - 0.5) / side for axis, side in enumerate((height, width)))
        angles = 2 * math.pi * ((2 * torch.stack([x, y], dim=-1) - 1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)

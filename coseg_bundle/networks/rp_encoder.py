"""Region-aware prompt encoder (RP-Encoder): rough mask logits become dense prompts (paper, section 2.2, figure 2b)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.networks.blocks.attention import attention
from coseg_bundle.networks.blocks.fused import linear
from coseg_bundle.networks.blocks.layers import LayerNorm2d
from coseg_bundle.networks.blocks.variants import SIDE_MULTIPLE
from coseg_bundle.networks.blocks.windows import cut, put_together

PATCH = 16
"""Stride of the mask downsampling (Conv_1 of Eq. 4): the stride of the image embeddings."""

STRIDES = 1, SIDE_MULTIPLE // PATCH
"""Sides of squares that fill every grid of tokens."""


class RotaryAttention(nn.Module):
    """Attention between two token grids of the same shape with axial rotary positions (Su et al. 2021; two axes as in
    Heo et al. 2024). Unlike SAM 2's, it works on grids that are not square.

    Args:
        dim: Channels of the tokens.
        num_heads: Heads; the channels of a head must be a multiple of 4 (sine and cosine on two axes).
        stride: Side of the squares of tokens whose means are attended to.

    Raises:
        ValueError: `dim` does not divide so.
    """

    def __init__(self, dim: int, num_heads: int, stride: int = 1) -> None:
        super().__init__()
        if dim % (4 * num_heads):
            raise ValueError(f"Expected dim to be a multiple of 4 x heads = {4 * num_heads}, got dim {dim}.")
        self.num_heads, self.stride = num_heads, stride
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, seen: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attends from `queries` `(B, h * w, C)`, `grid` = (h, w), to what is `seen`: the same shape.

        With a `stride` it is the means of squares of so many tokens a side that are looked at, from their middle.
        """
        seen = pooled(seen, grid, self.stride)
        q, k, v = (self._heads(linear(*of)) for of in ((self.q, queries), (self.k, seen), (self.v, seen)))
        angles = rotary_angles(grid, q.shape[-1], q.device)
        coarse = angles if self.stride == 1 else rotary_angles(grid, q.shape[-1], q.device, self.stride)
        attended = attention(rotate(q, *angles), rotate(k, *coarse), v)
        return linear(self.out, attended.transpose(1, 2).flatten(2))  # (B, heads, N, d) -> (B, N, C)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, N, C) -> (B, heads, N, d)


def pooled(tokens: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """Means over squares of `stride` tokens a side of tokens `(B, h * w, C)`, `grid` = (h, w)."""
    if stride == 1:
        return tokens
    maps = tokens.transpose(1, 2).unflatten(2, grid)  # (B, h * w, C) -> (B, C, h, w)
    return F.avg_pool2d(maps, stride).flatten(2).transpose(1, 2)


def rotary_angles(grid: tuple[int, int], head_dim: int, device: torch.device, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Cosines and sines `(h * w, head_dim / 2)` float32: half of the pairs turns with y, the other with x.

    With a `stride` those of the middles of squares of so many tokens a side.
    """
    frequencies = 10000.0 ** -(torch.arange(head_dim // 4, device=device, dtype=torch.float32) / (head_dim // 4))
    middle = (stride - 1) / 2
    rows, columns = (torch.arange(n // stride, device=device, dtype=torch.float32) * stride + middle for n in grid)
    y = torch.outer(rows, frequencies)[:, None].expand(-1, grid[1] // stride, -1)
    x = torch.outer(columns, frequencies)[None].expand(grid[0] // stride, -1, -1)
    angles = torch.cat([y, x], dim=-1).flatten(0, 1)  # (h, w, d/2) -> (h * w, d/2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the channel pairs (i, i + d/2) of `(B, heads, N, d)` by the angles of their positions."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1).to(x.dtype)


class RegionPromptEncoder(nn.Module):
    """Encodes the logits of one task as a dense prompt g_i (Eq. 4 and 5).

    Args:
        in_channels: Channels of the logits: C_t for tissue, 1 for nuclei.
        embed_dim: Channels C of the image embeddings and of the prompt.
        mask_dim: Channels between Conv_1 and Conv_2; the paper gives none, SAM's mask prompts have 16.
        num_heads: Attention heads.
        mlp_dim: Hidden channels of the closing FFN.
        window: Side of the windows that attention stays within, tokens; 0 attends to all.
        stride: Side of the squares of tokens whose means are attended to, 1 or 2. Where it is 2 it stands among the
            weights, as a buffer.

    Raises:
        ValueError: The stride is another.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        mask_dim: int,
        num_heads: int,
        mlp_dim: int,
        window: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if stride not in STRIDES:
            raise ValueError(f"Expected a stride of 1 or 2, which divides every grid of tokens, got {stride}.")
        self.window = window
        if stride > 1:  # among the weights, whose shapes do not tell
            self.register_buffer("stride", torch.tensor(stride))
        self.conv_1 = nn.Conv2d(in_channels, mask_dim, kernel_size=PATCH, stride=PATCH)
        self.norm = LayerNorm2d(mask_dim)
        self.conv_2 = nn.Conv2d(mask_dim, embed_dim, kernel_size=1)
        self.norm_self = nn.LayerNorm(embed_dim)
        self.self_attention = RotaryAttention(embed_dim, num_heads, stride)
        self.norm_cross = nn.LayerNorm(embed_dim)
        self.cross_attention = RotaryAttention(embed_dim, num_heads, stride)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        self.mlp = nn.Sequential(nn.Linear(embed_dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, embed_dim))

    def forward(self, logits: Tensor, image_embeddings: Tensor) -> Tensor:
        """Encodes one task's rough logits.

        Args:
            logits: mu_i, `(B, in_channels, H, W)`, at the resolution of the image.
            image_embeddings: z, `(B, C, H/16, W/16)`.

        Returns:
            The prompt g_i, `(B, C, H/16, W/16)`.
        """
        m = self.conv_2(F.gelu(self.norm(self.conv_1(logits))))  # Eq. 4
        if not self.window:
            return self._attended(m, image_embeddings)
        prompts = self._attended(cut(m, self.window), cut(image_embeddings, self.window))
        return put_together(prompts, m.shape[0], m.shape[-2], m.shape[-1])

    def _attended(self, m: Tensor, image_embeddings: Tensor) -> Tensor:
        grid = (m.shape[-2], m.shape[-1])
        z = image_embeddings.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h * w, C)
        tokens = m.flatten(2).transpose(1, 2)
        normed = self.norm_self(tokens)
        tokens = tokens + self.self_attention(normed, normed, grid)
        tokens = tokens + self.cross_attention(self.norm_cross(tokens), z, grid)  # Eq. 5
        widen, _, narrow = self.mlp
        tokens = tokens + linear(narrow, linear(widen, self.norm_mlp(tokens), gelu=True))
        return tokens.transpose(1, 2).unflatten(2, grid)  # (B, h * w, C) -> (B, C, h, w)


class RPEncoder(nn.Module):
    """The two region prompt encoders of the network, one for each task's logits.

    Which decoder a prompt goes to is decided in `CoSeg`: the paper crosses them.

    Args:
        tissue_classes: Number of tissue classes C_t.
        embed_dim: Channels C of the image embeddings.
        mask_dim: Channels between Conv_1 and Conv_2.
        num_heads: Attention heads; the released code has one.
        mlp_dim: Hidden channels of the FFN; the released code has 2048 at 256 channels.
        window: Side of the windows, tokens, that the prompt of the nuclei stays within; 0, as in the paper, attends to
            all. The prompt of tissue, which is told by what lies around it, always does.
        stride: Side of the squares of tokens whose means the prompt of tissue attends to; 1, as in the paper, attends
            to each.
    """

    def __init__(
        self,
        tissue_classes: int,
        embed_dim: int = 256,
        mask_dim: int = 16,
        num_heads: int = 1,
        mlp_dim: int = 2048,
        window: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.arguments = {
            "tissue_classes": tissue_classes,
            "embed_dim": embed_dim,
            "mask_dim": mask_dim,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "window": window,
            "stride": stride,
        }
        self.from_tissue = RegionPromptEncoder(tissue_classes, embed_dim, mask_dim, num_heads, mlp_dim, window)
        self.from_nuclei = RegionPromptEncoder(1, embed_dim, mask_dim, num_heads, mlp_dim, stride=stride)

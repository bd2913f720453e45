"""Mutual prompt mask decoder (MP-Decoder): a tissue and a nuclei head over prompted embeddings (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.networks.blocks.fused import convolution
from coseg_bundle.networks.blocks.layers import MLP, LayerNorm2d
from coseg_bundle.networks.blocks.two_way import RandomPositions, TwoWayTransformer
from coseg_bundle.networks.blocks.windows import cut, put_together
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.networks.image_encoder import ImageEmbeddings

_STRIDE, _FINEST = 16, 4
"""Of the image embeddings, and of the finest features."""


class MaskHead(nn.Module):
    """One task's head: queries, two-way transformer (Eq. 6 and 7), pixel decoder and dot product, as in SAM.

    Args:
        num_masks: Output channels; each has its own query and hypernetwork.
        embed_dim: Channels C of the image embeddings.
        high_res_dims: Channels of the high-resolution features, coarse to fine.
        pixel_dims: Channels of the pixel decoder at the same strides; SAM has C/4 and C/8.
        depth: Layers of the two-way transformer.
        num_heads: Its attention heads.
        mlp_dim: Hidden channels of its FFN.
        subpixel: Answers per side that each pixel of stride 4 gives, each with weights of its own (Shi et al. 2016);
            SAM has 1.
        window: Side of the windows in which queries look at the image, each with queries of its own, at stride 16; 0
            for one that holds all.
    """

    def __init__(
        self,
        num_masks: int,
        embed_dim: int,
        high_res_dims: Sequence[int],
        pixel_dims: Sequence[int],
        depth: int,
        num_heads: int,
        mlp_dim: int,
        subpixel: int,
        window: int = 0,
    ) -> None:
        super().__init__()
        self.subpixel, self.window = subpixel, window
        self.queries = nn.Embedding(num_masks, embed_dim)
        self.transformer = TwoWayTransformer(depth, embed_dim, num_heads, mlp_dim)
        self.upscalings = nn.ModuleList()
        self.skips = nn.ModuleList()
        self.norms = nn.ModuleList()
        dim = embed_dim
        for level, (skip_dim, pixel_dim) in enumerate(zip(high_res_dims, pixel_dims, strict=True)):
            is_last = level == len(pixel_dims) - 1
            self.upscalings.append(nn.ConvTranspose2d(dim, pixel_dim, kernel_size=2, stride=2))
            self.skips.append(nn.Conv2d(skip_dim, pixel_dim, kernel_size=1))
            self.norms.append(nn.Identity() if is_last else LayerNorm2d(pixel_dim))
            dim = pixel_dim
        mlps = [MLP(embed_dim, embed_dim, embed_dim, dim * subpixel**2) for _ in range(num_masks)]
        for mlp in mlps:  # start as a fixed 1x1 convolution, which the queries then learn to modulate
            nn.init.normal_(cast(nn.Linear, mlp.layers[-1]).bias, std=dim**-0.5)
        self.hypernetworks = nn.ModuleList(mlps)

    def prepared(self, embeddings: ImageEmbeddings) -> ImageEmbeddings:
        """The encoder's embeddings with the high-resolution features as the pixel decoder adds them.

        That is done once an image and not once a decoding, as in SAM 2.
        """
        features = zip(self.skips, embeddings.high_res_features, strict=True)
        return embeddings._replace(high_res_features=tuple(convolution(skip, feature) for skip, feature in features))

    def forward(
        self, embeddings: ImageEmbeddings, prompt: Tensor | None, positions: RandomPositions, masks: int | None = None
    ) -> Tensor:
        """Decodes one task.

        Args:
            embeddings: z and the high-resolution features, `prepared`.
            prompt: g, `(B, C, H/16, W/16)`, or None in the first decoding.
            positions: Makes the position encoding of a window.
            masks: How many channels to give, from the first; all when not given.

        Returns:
            Logits `(B, masks, s H/4, s W/4)`, s = `subpixel`.
        """
        z = embeddings.embeddings if prompt is None else embeddings.embeddings + prompt
        batch, (height, width) = z.shape[0], z.shape[-2:]
        seen = cut(z, self.window) if self.window else z
        tokens = self.queries.weight.expand(seen.shape[0], -1, -1)
        places = positions(seen.shape[-2], seen.shape[-1]).to(z.dtype).expand(seen.shape[0], -1, -1, -1)
        queries, h = self.transformer(seen, places, tokens)  # q' and h of Eq. 6 and 7
        pixels = h.transpose(1, 2).unflatten(2, seen.shape[-2:])  # (B, h * w, C) -> (B, C, h, w)
        if self.window:
            pixels = put_together(pixels, batch, height, width)
        for upscale, norm, features in zip(self.upscalings, self.norms, embeddings.high_res_features, strict=True):
            pixels = F.gelu(norm(upscale(pixels) + features))
        weights = torch.stack([mlp(queries[:, i]) for i, mlp in enumerate(self.hypernetworks[:masks])], dim=1)
        weights = weights.unflatten(2, (self.subpixel**2, -1)).flatten(1, 2)  # (B, n, s*s*C) -> (B, n*s*s, C)
        if not self.window:
            return F.pixel_shuffle(torch.einsum("bnc,bchw->bnhw", weights, pixels), self.subpixel)
        enlarged = _STRIDE // _FINEST
        answers = torch.einsum("bnc,bchw->bnhw", weights, cut(pixels, enlarged * self.window))
        return F.pixel_shuffle(put_together(answers, batch, enlarged * height, enlarged * width), self.subpixel)


class MPDecoder(nn.Module):
    """The tissue head and the nuclei head; the same weights serve both decodings (paper, section 2.4).

    Args:
        layout: Channels to decode.
        embed_dim: Channels C of the image embeddings.
        high_res_dims: Channels of the encoder's high-resolution features, coarse to fine.
        pixel_dims: Channels of the heads' pixel decoders at strides 8 and 4; SAM's C/4 and C/8 when not given.
        depth: Layers of the two-way transformers.
        num_heads: Their attention heads.
        mlp_dim: Hidden channels of their FFNs; SAM has 2048 at 256 channels.
        subpixel: 1 decodes at stride 4 as SAM does, 2 at stride 2, from the same features (docs/decisions/mini.md).
        window: Side of the windows that nuclei are decoded in, at stride 16; 0 for one that holds all, as in the paper
            (docs/decisions/local-attention.md). Tissue is told by what lies around it, and always sees all.

    Raises:
        ValueError: Other than one number in `pixel_dims` for each of `high_res_dims`.
    """

    def __init__(
        self,
        layout: HeadLayout,
        embed_dim: int = 256,
        high_res_dims: Sequence[int] = (256, 256),
        pixel_dims: Sequence[int] | None = None,
        depth: int = 2,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        subpixel: int = 1,
        window: int = 0,
    ) -> None:
        super().__init__()
        self.layout, self.subpixel = layout, subpixel
        self.arguments = {
            "embed_dim": embed_dim,
            "high_res_dims": list(high_res_dims),
            "pixel_dims": None if pixel_dims is None else list(pixel_dims),
            "depth": depth,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "subpixel": subpixel,
            "window": window,
        }
        self.positions = RandomPositions(embed_dim // 2)
        pixel_dims = pixel_dims or (embed_dim // 4, embed_dim // 8)
        if len(pixel_dims) != len(high_res_dims):
            raise ValueError(
                f"Expected {len(high_res_dims)} pixel_dims, one for each high-res feature, got {list(pixel_dims)}."
            )
        sizes = embed_dim, high_res_dims, pixel_dims, depth, num_heads, mlp_dim, subpixel
        self.tissue = MaskHead(layout.tissue_classes, *sizes)
        self.nuclei = MaskHead(layout.nuclei_channels, *sizes, window)

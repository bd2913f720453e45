"""Sizes of the encoder's variants; plain numbers, for who has no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

Variant = Literal["mini", "tiny", "small", "base_plus", "large"]

SIDE_MULTIPLE = 32
"""Image sides are multiples of this: the trunk's coarsest stride."""


@dataclass(frozen=True)
class VariantSizes:
    """Sizes of one variant of the encoder.

    Args:
        trunk: Arguments of `HieraTrunk`.
        embed_dim: Channels of the neck's output, and so of the image embeddings.
        pyramid_dims: Channels of the refined high-resolution features at strides 8 and 4; empty for SAM 2's sizes,
            whose features are the neck's own.
        top_down_levels: Neck levels that receive coarser features.
    """

    trunk: dict[str, object] = field(repr=False)
    embed_dim: int = 256
    pyramid_dims: tuple[int, ...] = ()
    top_down_levels: tuple[int, ...] = (2, 3)

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks of the trunk's stages."""
        return cast("tuple[int, ...]", self.trunk["stages"])


# The last four rows are SAM 2's and SAM 2.1's own (the yaml files inside the sam2 package).
VARIANTS: dict[Variant, VariantSizes] = {
    "mini": VariantSizes(
        {
            "embed_dim": 48,
            "num_heads": 1,
            "stages": (1, 2, 7, 2),
            "global_blocks": (5, 8),
            "background_size": (7, 7),
            "windows": (8, 4, 8, 8),
        },
        embed_dim=128,
        pyramid_dims=(64, 64),
        top_down_levels=(0, 1, 2, 3),
    ),
    "tiny": VariantSizes(
        {
            "embed_dim": 96,
            "num_heads": 1,
            "stages": (1, 2, 7, 2),
            "global_blocks": (5, 7, 9),
            "background_size": (7, 7),
            "windows": (8, 4, 14, 7),
        }
    ),
    "small": VariantSizes(
        {
            "embed_dim": 96,
            "num_heads": 1,
            "stages": (1, 2, 11, 2),
            "global_blocks": (7, 10, 13),
            "background_size": (7, 7),
            "windows": (8, 4, 14, 7),
        }
    ),
    "base_plus": VariantSizes(
        {
            "embed_dim": 112,
            "num_heads": 2,
            "stages": (2, 3, 16, 3),
            "global_blocks": (12, 16, 20),
            "background_size": (14, 14),
            "windows": (8, 4, 14, 7),
        }
    ),
    "large": VariantSizes(
        {
            "embed_dim": 144,
            "num_heads": 2,
            "stages": (2, 6, 36, 4),
            "global_blocks": (23, 33, 43),
            "background_size": (7, 7),
            "windows": (8, 4, 16, 8),
        }
    ),
}

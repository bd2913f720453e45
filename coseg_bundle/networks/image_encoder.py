"""The shared image encoder: SAM 2's Hiera trunk and FPN neck (paper, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.networks.blocks.fused import convolution
from coseg_bundle.networks.blocks.hiera import HieraTrunk, Neck
from coseg_bundle.networks.blocks.layers import LayerNorm2d
from coseg_bundle.networks.blocks.variants import SIDE_MULTIPLE, VARIANTS, Variant
from coseg_bundle.networks.peft import add_adapters, add_lora, freeze


class ImageEmbeddings(NamedTuple):
    """What the encoder knows about an image.

    Attributes:
        embeddings: z of the paper, `(B, C, H/16, W/16)`.
        high_res_features: Finer features for the pixel decoders, coarse to fine: `(B, C_8, H/8, W/8)` and
            `(B, C_4, H/4, W/4)`.
    """

    embeddings: Tensor
    high_res_features: tuple[Tensor, ...]


class HieraImageEncoder(nn.Module):
    """SAM 2's image encoder with LoRA and adapters (paper, section 2.4).

    Parameter names below `trunk.` and `neck.` are SAM 2's, so that its checkpoints load (see `load_sam2_weights`).
    Images are normalised inside, with the mean and standard deviation that SAM 2 was trained with.

    Args:
        variant: Size; `large` is the paper's, `mini` is small enough to train from scratch on a CPU.
        freeze_trunk: Keeps the trunk's own weights as they are; neck, LoRA and adapters still learn.
        lora_rank: Rank of LoRA in every attention; 0 for none.
        adapter_ratio: Width of the adapter beside every FFN as a share of its channels; 0 for none.
        adapter_scale: Weight of the adapters' branch.
        drop_path: Share of the samples for which a block of the trunk is skipped in training (stochastic depth), in the
            last block; it rises linearly from 0 in the first.
        detail_depth: Residual blocks of `FineDetail` at strides 8 and 4; 0 leaves it out, as SAM 2 does.
        detail_dims: Channels inside those blocks, at strides 8 and 4; twice those around them when not given.
        pyramid_dims: Channels of the high-resolution features at strides 8 and 4; the variant's own when not given.
        global_attention: Whether some blocks of the trunk attend to the whole image, as in SAM 2. Without, all stay
            within their windows.
        stages: Blocks of the trunk's stages; the variant's own when not given.
        mlp_ratio: Hidden channels of the trunk's FFNs for each of their inputs.

    Raises:
        ValueError: The variant is unknown, or other stages shall attend to the whole image.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        variant: Variant = "mini",
        freeze_trunk: bool = False,
        lora_rank: int = 0,
        adapter_ratio: float = 0.0,
        adapter_scale: float = 0.5,
        detail_depth: int = 0,
        drop_path: float = 0.0,
        pyramid_dims: Sequence[int] | None = None,
        global_attention: bool = True,
        detail_dims: Sequence[int] | None = None,
        stages: Sequence[int] | None = None,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"Unknown encoder variant {variant!r}: expected one of {', '.join(get_args(Variant))}.")
        sizes = VARIANTS[variant]
        trunk = sizes.trunk if global_attention else sizes.trunk | {"global_blocks": ()}
        stages = tuple(stages or sizes.stages)
        if global_attention and stages != sizes.stages:
            raise ValueError(
                f"Expected the stages {sizes.stages} of {variant!r}, got {stages}: only of those it is known which "
                "blocks attend to the whole image; set global_attention to false, or leave stages out."
            )
        pyramid = tuple(pyramid_dims or sizes.pyramid_dims)
        self.high_res_dims = pyramid or (sizes.embed_dim, sizes.embed_dim)
        """Channels of `high_res_features`, coarse to fine."""
        detail_dims = tuple(detail_dims or (2 * dim for dim in self.high_res_dims))
        self.variant = variant
        self.arguments = {  # those that the weights without LoRA depend on
            "variant": variant,
            "adapter_ratio": adapter_ratio,
            "adapter_scale": adapter_scale,
            "detail_depth": detail_depth,
            "pyramid_dims": list(pyramid) or None,
            "global_attention": global_attention,
            "detail_dims": list(detail_dims),
            "stages": list(stages),
            "mlp_ratio": mlp_ratio,
        }
        self.embed_dim = sizes.embed_dim
        own = {"stages": stages, "mlp_ratio": mlp_ratio, "drop_path_rate": drop_path}
        self.trunk = HieraTrunk(**(trunk | own))  # type: ignore[arg-type]
        self.neck = Neck(sizes.embed_dim, self.trunk.channel_list, sizes.top_down_levels)
        self.pyramid = FeaturePyramid(sizes.embed_dim, pyramid) if pyramid else None
        self.detail = FineDetail(self.high_res_dims, detail_depth, detail_dims) if detail_depth else None
        self.register_buffer(
            "pixel_mean", torch.tensor([0.485, 0.456, 0.406], dtype=torch.float32).view(3, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor([0.229, 0.224, 0.225], dtype=torch.float32).view(3, 1, 1), persistent=False
        )
        if freeze_trunk:
            freeze(self.trunk)
        if lora_rank:
            add_lora(self.trunk, lora_rank)
        if adapter_ratio:
            add_adapters(self.trunk, adapter_ratio, adapter_scale)

    def forward(self, image: Tensor) -> ImageEmbeddings:
        """Encodes images.

        Args:
            image: RGB `(B, 3, H, W)`, float in [0, 1], sides multiples of 32, not necessarily square.

        Raises:
            ValueError: The shape is another.
        """
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[-2] % SIDE_MULTIPLE or image.shape[-1] % SIDE_MULTIPLE:
            raise ValueError(
                f"Expected RGB images (B, 3, H, W) with sides that are multiples of {SIDE_MULTIPLE}, got shape "
                f"{tuple(image.shape)}; pad the image (DivisiblePad) or use the sliding window inferer."
            )
        image = ((image - self.pixel_mean) / self.pixel_std).contiguous(memory_format=torch.channels_last)
        stride_4, stride_8, stride_16, _ = self.neck(self.trunk(image))  # SAM 2 drops the coarsest level too
        high_res = (stride_8, stride_4)
        if self.pyramid is not None:
            high_res = self.pyramid(stride_16, high_res)
        if self.detail is not None:
            high_res = self.detail(image, high_res)
        return ImageEmbeddings(stride_16, high_res)


class FeaturePyramid(nn.Module):
    """Refines the neck's features from coarse to fine with a 3x3 convolution each.

    SAM 2 has none: its large trunk has room for fine structure, and a small one has not. They stand here and not in the
    mask heads, so that they run once an image and not once a decoding.

    Args:
        embed_dim: Channels of the neck's features.
        dims: Channels at strides 8 and 4.
    """

    def __init__(self, embed_dim: int, dims: Sequence[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(embed_dim, dim, kernel_size=1) for dim in dims)
        self.top_downs = nn.ModuleList(
            nn.Conv2d(coarser, dim, kernel_size=1) for coarser, dim in zip((embed_dim, *dims), dims, strict=False)
        )
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, kernel_size=3, padding=1), LayerNorm2d(dim), nn.GELU()) for dim in dims
        )

    def forward(self, coarse: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Refines `features` `(B, C, h, w)` from coarse to fine; each is twice as fine as the one before."""
        refined = []
        for feature, lateral, top_down, refine in zip(
            features, self.laterals, self.top_downs, self.convolutions, strict=True
        ):
            from_above = F.interpolate(convolution(top_down, coarse), scale_factor=2.0, mode="bilinear")
            coarse = refine(convolution(lateral, feature) + from_above)
            refined.append(coarse)
        return tuple(refined)


class FineDetail(nn.Module):
    """What the trunk's patches of 4 x 4 px lose: convolutions from the image on, and residual blocks.

    Starts as the identity, so that it can be added to weights that were trained without (`start_from`).

    Args:
        dims: Channels of the high-resolution features at strides 8 and 4.
        depth: Residual blocks at each stride.
        hidden: Channels inside those blocks, in the same order.
    """

    def __init__(self, dims: Sequence[int], depth: int, hidden: Sequence[int]) -> None:
        super().__init__()
        finest = dims[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, finest // 2, kernel_size=3, stride=2, padding=1),
            LayerNorm2d(finest // 2),
            nn.GELU(),
            nn.Conv2d(finest // 2, finest, kernel_size=3, stride=2, padding=1),
            LayerNorm2d(finest),
            nn.GELU(),
            _starting_at_zero(nn.Conv2d(finest, finest, kernel_size=1)),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(dim, inside) for _ in range(depth)))
            for dim, inside in zip(dims, hidden, strict=True)
        )

    def forward(self, image: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Refines `features` `(B, C, h, w)`, coarse to fine, of a normalised image `(B, 3, H, W)`."""
        *coarser, finest = features
        joined = (*coarser, finest + self.stem(image))
        return tuple(blocks(feature) for blocks, feature in zip(self.blocks, joined, strict=True))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, added to what came in; the identity at the start.

    Args:
        dim: Channels of its input and output.
        hidden: Channels between the two.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.widen = nn.Conv2d(dim, hidden, kernel_size=3, padding=1)
        self.narrow = _starting_at_zero(nn.Conv2d(hidden, dim, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        return x + self.narrow(convolution(self.widen, self.norm(x), gelu=True))


def _starting_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

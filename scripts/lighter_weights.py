"""Writes the weights of a lighter network, cut out of a heavier one's so that its features stay what they were.

python scripts/lighter_weights.py DATALIST HEAVIER OUTPUT

FFNs of the trunk keep one hidden channel for each of their inputs instead of four, the residual blocks of the fine
detail 32 of 128 at stride 8 and 64 of 128 at stride 4, and three blocks of the trunk go. Channels are left out one
by one, always the one that costs least once the others have taken over what they can of it (Optimal Brain Surgeon,
Hassibi and Stork 1993, whole channels at a time). Blocks are cut in their order, each so that its answer is what the
heavier network says there, on crops of the datalist's training images as a training sees them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.networks import CoSeg
from coseg_bundle.networks.about import About, build, describe
from coseg_bundle.networks.checkpoints import load_weights
from coseg_bundle.networks.image_encoder import HieraImageEncoder
from coseg_bundle.networks.weights_file import ABOUT

DETAIL_DIMS = [32, 64]
MLP_RATIO = 1.0
LEFT_OUT = (4, 6, 8)
"""Blocks of the trunk's third stage."""

BATCHES = 16
PRESETS = ("train", "presets/mini_classes", "presets/mini_classes_scales")


def main() -> None:
    """Reads, cuts, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("datalist", "heavier", "output"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    about = About.of_file(given.heavier)
    if about is None:
        raise SystemExit(f"{given.heavier} does not say which network it belongs to; expected weights of `coseg`.")
    heavier = build(about.network).eval()
    load_weights(heavier, given.heavier)
    lighter = cut(heavier, crops_of(given.datalist, about))
    said = replace(about, network=about.network | {"image_encoder": lighter.image_encoder.arguments})
    given.output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(lighter.state_dict() | {ABOUT: said.to_tensor()}, given.output)


def crops_of(datalist: Path, about: About) -> list[Tensor]:
    """Crops of a training's images `(4, 3, 256, 256)`, in [0, 1], as the training sees them."""
    from monai.bundle import ConfigParser

    root = find_bundle_root()
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"{name}.yaml") for name in PRESETS])
    classes = {"tissue_classes": list(about.tissue_classes), "nuclei_classes": list(about.nuclei_classes)}
    parser.update({"dataset_file": str(datalist.resolve()), "bundle_root": str(root), "num_workers": 0, **classes})
    return [batch["image"] for batch in islice(parser.get_parsed_content("train::dataloader"), BATCHES)]


@torch.no_grad()
def cut(heavier: CoSeg, images: Sequence[Tensor]) -> CoSeg:
    """The lighter network, whose parts that are not cut are the heavier one's.

    Args:
        heavier: Without attention to the whole image, and with fine detail.
        images: Batches `(B, 3, H, W)` to be alike on.
    """
    old = heavier.image_encoder
    stages = [
        count - sum(first <= block < first + count for block in LEFT_OUT)
        for first, count in zip(accumulate(old.arguments["stages"], initial=0), old.arguments["stages"], strict=False)
    ]
    smaller = old.arguments | {"detail_dims": DETAIL_DIMS, "stages": stages, "mlp_ratio": MLP_RATIO}
    lighter = build(describe(heavier) | {"image_encoder": smaller}).eval()
    theirs, ours = heavier.state_dict(), lighter.state_dict()
    as_they_are = {
        name: value for name, value in theirs.items() if value.shape == getattr(ours.get(name), "shape", None)
    }
    lighter.load_state_dict(as_they_are, strict=False)
    new = lighter.image_encoder
    images = [(image - old.pixel_mean) / old.pixel_std for image in images]
    cut_trunk(old, new, images)
    cut_detail(old, new, images)
    return lighter


def cut_trunk(old: HieraImageEncoder, new: HieraImageEncoder, images: Sequence[Tensor]) -> None:
    """Block by block; what one cannot say any more the next ones make up for."""
    wanted = [old.trunk.tokens(image) for image in images]
    had = list(wanted)
    blocks = iter(new.trunk.blocks)
    for number, block in enumerate(old.trunk.blocks):
        wanted = [block(tokens) for tokens in wanted]
        if number in LEFT_OUT:
            continue
        lighter = next(blocks)
        lighter.load_state_dict(
            {name: value for name, value in block.state_dict().items() if "mlp" not in name}, strict=False
        )
        widen, narrow = lighter.mlp.layers
        say_nothing(narrow)
        had = [lighter(tokens) for tokens in had]
        fewest = Fewest(block.mlp.layers[0].out_features, narrow.out_features)
        for is_there, should_be in zip(had, wanted, strict=True):
            hidden = F.gelu(block.mlp.layers[0](lighter.norm2(is_there)))
            fewest.add(hidden.flatten(0, -2), (should_be - is_there).flatten(0, -2))
        fewest.cut(block.mlp.layers[0], widen, narrow)
        had = [tokens + lighter.mlp(lighter.norm2(tokens)) for tokens in had]


def cut_detail(old: HieraImageEncoder, new: HieraImageEncoder, images: Sequence[Tensor]) -> None:
    """Residual blocks at each stride, likewise."""
    of_old, of_new = (zip(*(before_detail(encoder, image) for image in images), strict=True) for encoder in (old, new))
    for old_blocks, new_blocks, wanted, had in zip(old.detail.blocks, new.detail.blocks, of_old, of_new, strict=True):
        for block, lighter in zip(old_blocks, new_blocks, strict=True):
            wanted = [block(features) for features in wanted]
            lighter.norm.load_state_dict(block.norm.state_dict())
            fewest = Fewest(block.widen.out_channels, block.narrow.out_channels, taps=9)
            for is_there, should_be in zip(had, wanted, strict=True):
                hidden = F.gelu(block.widen(block.norm(is_there)))
                difference = (should_be - is_there).permute(0, 2, 3, 1)  # (B, C, h, w) -> (B, h, w, C)
                fewest.add(F.unfold(hidden, 3, padding=1).transpose(1, 2).flatten(0, 1), difference.flatten(0, 2))
            fewest.cut(block.widen, lighter.widen, lighter.narrow)
            had = [lighter(features) for features in had]


def before_detail(encoder: HieraImageEncoder, image: Tensor) -> tuple[Tensor, ...]:
    """What the residual blocks at strides 8 and 4 see of a normalised image."""
    stride_4, stride_8, stride_16, _ = encoder.neck(encoder.trunk(image))
    coarser, finest = encoder.pyramid(stride_16, (stride_8, stride_4))
    return coarser, finest + encoder.detail.stem(image)


class Fewest:
    """The hidden channels that suffice, and the layer that reads them.

    Args:
        channels: Hidden channels that there are.
        outputs: Channels of what they are to say.
        taps: Values of each channel that the layer reads: 9 for a convolution of 3 x 3.
    """

    def __init__(self, channels: int, outputs: int, taps: int = 1) -> None:
        self.channels, self.taps = channels, taps
        size = channels * taps + 1  # and the bias
        self.squares = torch.zeros(size, size, dtype=torch.float64)
        self.products = torch.zeros(size, outputs, dtype=torch.float64)

    def add(self, hidden: Tensor, wanted: Tensor) -> None:
        """Takes `hidden` `(N, channels * taps)`, and what is wanted of them `(N, outputs)`, into account."""
        hidden = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)
        self.squares += (hidden.T @ hidden).double()
        self.products += (hidden.T @ wanted).double()

    def cut(self, wide: nn.Module, widen: nn.Module, narrow: nn.Module) -> None:
        """Fills `widen` with as many channels of `wide` as it has, and `narrow` with how they say what is wanted."""
        kept = self.kept(len(widen.weight))
        weights = self.solved(kept)
        widen.weight.copy_(wide.weight[kept])
        widen.bias.copy_(wide.bias[kept])
        narrow.weight.copy_(weights[:-1].T.reshape(narrow.weight.shape))
        narrow.bias.copy_(weights[-1])

    def kept(self, count: int) -> Tensor:
        """The channels that are left when the others went, one by one, each time the one that costs least."""
        inverse = torch.linalg.inv(self._steadied())
        weights = inverse @ self.products
        alive = torch.arange(self.channels)
        while len(alive) > count:
            places = self._places(alive)
            own = torch.linalg.inv(inverse[places[:, :, None], places[:, None, :]])  # (channels, taps, taps)
            costs = (weights[places] * (own @ weights[places])).sum((1, 2))
            least = int(costs.argmin())
            gone, shift = places[least], inverse[:, places[least]] @ own[least]
            weights = weights - shift @ weights[gone]
            inverse = inverse - shift @ inverse[gone]
            alive = torch.cat([alive[:least], alive[least + 1 :]])
        return alive

    def solved(self, kept: Tensor) -> Tensor:
        """What the `kept` channels and the bias are to be weighed with, `(len(kept) * taps + 1, outputs)`."""
        places = torch.cat([self._places(kept).flatten(), torch.tensor([len(self.squares) - 1])])
        return torch.linalg.solve(self._steadied()[places][:, places], self.products[places])

    def _places(self, channels: Tensor) -> Tensor:
        return channels[:, None] * self.taps + torch.arange(self.taps)

    def _steadied(self) -> Tensor:
        """The squares with a little on the diagonal: channels that are never on have none."""
        return self.squares + 1e-4 * self.squares.diagonal().mean() * torch.eye(len(self.squares))


def say_nothing(layer: nn.Module) -> None:
    """Sets all parameters to zero."""
    for parameter in layer.parameters():
        parameter.zero_()


if __name__ == "__main__":
    main()

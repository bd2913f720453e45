"""Writes the weights of a lighter network, cut out of a heavier one's, to train on.

python scripts/lighter_weights.py HEAVIER OUTPUT

The fine-detail branch keeps its first residual block at each stride, and stride 4 those 48 of its channels that the
mask heads weigh most: 0.58 of the operations. What the file says of itself follows.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from coseg_bundle.networks.about import About, build
from coseg_bundle.networks.weights_file import ABOUT

FINEST = 48
HEADS = ("tissue", "nuclei")


def main() -> None:
    """Reads, cuts, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("heavier", "output"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    weights = torch.load(given.heavier, map_location="cpu", weights_only=True)
    about = About.from_tensor(weights.pop(ABOUT))
    encoder = about.network["image_encoder"] | {"detail_depth": 1, "pyramid_dims": [64, FINEST]}
    decoder = about.network["mp_decoder"] | {"high_res_dims": encoder["pyramid_dims"]}
    about = replace(about, network=about.network | {"image_encoder": encoder, "mp_decoder": decoder})
    given.output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(cut(weights, about) | {ABOUT: about.to_tensor()}, given.output)


def cut(weights: dict[str, Tensor], about: About) -> dict[str, Tensor]:
    """The part of `weights` that the network of `about` has."""
    kept = {
        "finest": most_weighed([weights[f"mp_decoder.{head}.skips.1.weight"] for head in HEADS], FINEST),
        "hidden": most_weighed([weights["image_encoder.detail.blocks.1.0.narrow.weight"]], 2 * FINEST),
        "stem": most_weighed([weights["image_encoder.detail.stem.3.weight"]], FINEST // 2),
    }
    new = build(about.network).state_dict()
    return {name: _narrowed(name, weights[name], value.shape, kept) for name, value in new.items()}


def most_weighed(consumers: list[Tensor], count: int) -> Tensor:
    """Input channels with the largest weights in the layers that read them, in their order."""
    weighed = torch.stack([layer.flatten(2).square().sum((0, 2)) for layer in consumers]).sum(0)
    return weighed.topk(count).indices.sort().values


def _narrowed(name: str, weight: Tensor, shape: torch.Size, kept: dict[str, Tensor]) -> Tensor:
    """Rows are what a layer gives, columns what it reads."""
    of_block = re.search(r"detail\.blocks\.1\.0\.(widen|narrow)", name)
    of_stem = re.search(r"detail\.stem\.([013])\.", name)
    rows = "hidden" if of_block and of_block[1] == "widen" else "stem" if of_stem and of_stem[1] in "01" else "finest"
    columns = (
        "hidden" if of_block and of_block[1] == "narrow" else "stem" if of_stem and of_stem[1] == "3" else "finest"
    )
    for dim, which in enumerate((rows, columns)[: weight.ndim]):
        if weight.shape[dim] != shape[dim]:
            weight = weight.index_select(dim, kept[which])
    if weight.shape != shape:
        raise ValueError(
            f"{name}: expected {tuple(shape)}, got {tuple(weight.shape)}; the heavier network has another form."
        )
    return weight.contiguous()


if __name__ == "__main__":
    main()

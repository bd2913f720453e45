"""The whole network against one encoding and the two decodings measured apart."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.networks import CoSeg, HeadLayout, HieraImageEncoder, MPDecoder, RPEncoder
from coseg_bundle.networks.coseg import Prompts


def lines(variant: str = "large", side: int = 1024) -> Iterator[str]:
    """The section, for one size of the network."""
    torch.manual_seed(0)
    layout = HeadLayout(2)
    network = CoSeg(HieraImageEncoder(variant), MPDecoder(layout), RPEncoder(2)).eval()  # type: ignore[arg-type]
    image, size = torch.rand(1, 3, side, side), (side, side)
    with torch.inference_mode():
        embeddings = network.encode(image)
        prior = network.decode(embeddings, Prompts(None, None), size, nuclei_channels=1)
        prompts = network.prompt(prior, embeddings)
        whole, encoding, first, second = seconds(
            lambda: network(image),
            lambda: network.encode(image),
            lambda: network.decode(embeddings, Prompts(None, None), size, nuclei_channels=1),
            lambda: network.decode(embeddings, prompts, size),
            rounds=3,
        )
    yield f"\nNetwork, {variant} at {side} x {side}, {torch.get_num_threads()} threads, fp32"
    yield row("encoding, first decoding, second decoding", f"{encoding:.2f} s", f"{first:.2f} s", f"{second:.2f} s")
    yield row(
        "whole / (encoding + decodings) (at most 1.15)", f"{whole:.2f} s", f"{whole / (encoding + first + second):.3f}"
    )

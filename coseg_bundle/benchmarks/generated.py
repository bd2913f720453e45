"""What is measured on: nuclei, what a network would say about them, slides, and a network that reads them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.precision import Precision
from coseg_bundle.transforms import hv_map

_BLOCK_PX = 1024
"""A slide holds the same block of nuclei again and again."""


def ellipses(count: int, size: int = 1024, seed: int = 0) -> NDArray[np.int32]:
    """`count` nuclei on a jittered grid, as large as its cells allow up to 18 px, many of them touching."""
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(count**0.5))
    pitch = size / cells
    radius = min(9.0, pitch / 2)
    instances = np.zeros((size, size), np.int32)
    reach = int(radius) + 1
    for number, cell in enumerate(rng.permutation(cells**2)[:count], start=1):
        centre = (np.array(divmod(cell, cells)) + 0.5) * pitch + rng.uniform(-0.2, 0.2, 2) * pitch
        y, x = np.clip(centre.astype(int), reach, size - reach - 1)
        yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        a, b = radius * rng.uniform(0.7, 1.0, 2)
        window = instances[y - reach : y + reach + 1, x - reach : x + reach + 1]
        window[((yy / a) ** 2 + (xx / b) ** 2 <= 1) & (window == 0)] = number
    return instances


def network_output(instances: NDArray[np.int32], types: int = 5) -> NDArray[np.float32]:
    """What a good, slightly noisy network with types would say about these instances, `(9 + types, H, W)`."""
    rng = np.random.default_rng(0)
    layout = HeadLayout(2, types)
    pred = np.zeros((layout.channels, *instances.shape), np.float32)
    parts = layout.split(pred, channel_dim=0)
    parts["tissue_logits"][1] = np.where(np.arange(instances.shape[1]) < instances.shape[1] // 2, 3, -3)
    parts["nuclei_logits"][0] = np.where(instances > 0, 4, -4)
    parts["hv_map"][:] = hv_map(instances)
    type_map = np.where(instances > 0, instances % types + 1, 0)
    np.put_along_axis(parts["type_logits"], type_map[None], 4.0, axis=0)
    return pred + np.asarray(rng.normal(0, 0.02, pred.shape), np.float32)


def write_slide(path: Path, side: int, tissue: int, tile: int = _BLOCK_PX) -> Path:
    """A slide of `side` px whose upper left `tissue` px square holds the same 1024 px of nuclei again and again.

    Args:
        path: The TIFF.
        side: Width and height, px.
        tissue: Width and height of the tissue, px.
        tile: Side of the file's tiles, px; 1024 is a multiple of it.
    """
    instances = ellipses(900, _BLOCK_PX)
    rgb = np.full((_BLOCK_PX, _BLOCK_PX, 3), (235, 128, 128), np.uint8)
    rgb[instances > 0, 0] = 60
    rgb[..., 1:] = np.moveaxis(np.round(128 + 100 * hv_map(instances)), 0, -1)
    glass = np.full((tile, tile, 3), 255, np.uint8)

    def content(row: int, column: int) -> NDArray[np.uint8]:
        if max(row, column) >= tissue // tile:
            return glass
        y, x = (place * tile % _BLOCK_PX for place in (row, column))
        return rgb[y : y + tile, x : x + tile]

    count = -(-side // tile)
    tiles = (content(row, column) for row in range(count) for column in range(count))
    resolution = {"resolution": (4e4, 4e4), "resolutionunit": "CENTIMETER"}
    options = {"tile": (tile, tile), "photometric": "rgb", "compression": "zstd", **resolution}
    tifffile.imwrite(path, tiles, shape=(side, side, 3), dtype=np.uint8, bigtiff=True, **options)
    return path


class ColourReader(torch.nn.Module):
    """Reads the maps back from the colours of `write_slide`, pixel by pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Image `(B, 3, H, W)` in [0, 1] to the network's output `(B, C, H, W)`."""
        red = image[:, :1] * 255
        tissue = torch.cat([torch.zeros_like(red), (240 - red) / 8], dim=1)
        return torch.cat([tissue, (130 - red) / 10, (image[:, 1:] * 255 - 128) / 100, image[:, :2] * 0], dim=1)


def colour_reader(precision: str = "fp32") -> Predictor:
    """A stand-in for the predictor: a network that costs next to nothing."""
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    settings = PostProcessing(HeadLayout(2), min_nucleus_area_px=30)
    taken = {"precision": asdict(Precision("fp32", "there is nothing to multiply"))}
    return Predictor(
        ColourReader(), lambda images, network: network(images), settings, *names, mpp=0.25, settings=taken
    )

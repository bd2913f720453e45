"""A network that reads its answer from the colours of the image, so that the truth is known; and such images.

Red and green are the hv map, -1 to 1. Blue says what a pixel is: 0 background, 1/3 gland, 2/3 a nucleus outside a
gland, 1 a nucleus in one. It looks at one pixel at a time, at any resolution.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import torch
import yaml
from scipy import ndimage

from coseg_bundle.transforms.hv_maps import hv_map

PITCH_X, PITCH_Y, WIDTH, HEIGHT = 56, 36, 20, 24


class ColourNetwork(torch.nn.Module):
    """What `network_def` names in the bundle of these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 7, H, W)` of an image `(B, 3, H, W)` in [0, 1]."""
        red, green, blue = image.unbind(1)
        code = (blue * 3).round()
        gland = 20 * ((code % 2) - 0.5)
        nucleus = 20 * (blue - 0.5)
        rest = torch.zeros_like(red)
        return torch.stack([-gland, gland, nucleus, 2 * red - 1, 2 * green - 1, rest, rest + 0.25 * (code == 3)], 1)


def encode(instances: np.ndarray, gland: np.ndarray, uneven: float = 0.0) -> np.ndarray:
    """The image `(H, W, 3)` uint8 that the network reads these maps from; `uneven` background is no fill."""
    nearest = ndimage.distance_transform_edt(instances == 0, return_distances=False, return_indices=True)
    x, y = hv_map(instances)
    if instances.any():
        x, y = x[tuple(nearest)], y[tuple(nearest)]  # flat outside, as networks draw it
    blue = (gland + 2 * (instances > 0)) / 3
    rows, columns = np.indices(instances.shape) // 8
    blue = blue + uneven * ((rows + columns) % 2) * (instances == 0)
    return np.round(255 * np.stack([(x + 1) / 2, (y + 1) / 2, blue], axis=-1)).astype(np.uint8)


def touching_pairs(height: int, width: int, margin: int = 6) -> np.ndarray:
    """An instance map with pairs of nuclei that touch along a side, as many as there is room for."""
    instances = np.zeros((height, width), np.int32)
    count = 0
    for y in range(margin, height - HEIGHT - margin, PITCH_Y):
        for x in range(margin, width - 2 * WIDTH - margin, PITCH_X):
            for left in (x, x + WIDTH):
                count += 1
                instances[y : y + HEIGHT, left : left + WIDTH] = count
    return instances


def gland_map(height: int, width: int) -> np.ndarray:
    """One gland: a rectangle in the middle."""
    gland = np.zeros((height, width), np.uint8)
    gland[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return gland


def write_slide(path: Path, rgb: np.ndarray, mpp: float, levels: int = 2) -> None:
    """A tiled pyramid, each level half of the one before, with its resolution."""
    with tifffile.TiffWriter(path) as tif:
        for level in range(levels):
            step = 2**level
            per_cm = 1e4 / (mpp * step)
            tif.write(
                np.ascontiguousarray(rgb[::step, ::step]),
                tile=(256, 256),
                photometric="rgb",
                compression="deflate",
                subfiletype=int(level > 0),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
            )


def write_bundle(folder: Path, bundle_root: Path) -> Path:
    """A bundle with this network."""
    config = yaml.safe_load((bundle_root / "configs" / "inference.yaml").read_text())
    config["network_def"] = {"_target_": "colour_network.ColourNetwork"}
    config["tissue_classes"], config["nuclei_classes"] = ["background", "gland"], ["background", "nucleus"]
    config["min_tissue_area_px"] = 400
    config["precision"] = "fp32"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.yaml").write_text(yaml.safe_dump(config))
    torch.save(ColourNetwork().state_dict(), folder / "models" / "model.pt")
    return folder

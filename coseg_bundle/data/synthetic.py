"""Generated tissue with every label, from a seed: for tests, demonstrations and ablations without data.

Nuclei and regions depend on each other, which is what mutual prompts live on: glands hold dense, dark, round nuclei,
the stroma between them sparse, pale, spindle-shaped ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.data.datalist import DatalistError, read_datalist, write_datalist

TISSUE_CLASSES = ClassMap(("background", "gland"))
NUCLEI_CLASSES = ClassMap(("background", "round", "spindle"))

_DATASET = "synthetic"

_HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
_EOSIN = np.array([0.07, 0.99, 0.11])
"""Optical densities of the stains (Ruifrok and Johnston 2001)."""


@dataclass(frozen=True)
class SyntheticTissue:
    """One generated image with its labels.

    Attributes:
        rgb: `(H, W, 3)` uint8.
        instance_map: `(H, W)` int32.
        type_map: `(H, W)` uint8: 1 round (in glands), 2 spindle (in stroma).
        tissue_map: `(H, W)` uint8: 1 gland.
    """

    rgb: NDArray[np.uint8]
    instance_map: NDArray[np.int32]
    type_map: NDArray[np.uint8]
    tissue_map: NDArray[np.uint8]


def synthetic_tissue(size: int = 256, seed: int = 0, glands: bool = True) -> SyntheticTissue:
    """Generates one image.

    Args:
        size: Side of the square image, px, at least 16.
        seed: The same seed gives the same image.
        glands: False leaves the glands out: stroma with a few nuclei.

    Raises:
        ValueError: The size is too small.

    Example:
        >>> tissue = synthetic_tissue(64, seed=1)
        >>> tissue.rgb.shape, bool((tissue.type_map > 0).any())
        ((64, 64, 3), True)
    """
    _check_size(size)
    rng = np.random.default_rng(seed)
    tissue_map = _glands(size, rng) if glands else np.zeros((size, size), np.uint8)
    instance_map, type_map = _nuclei(tissue_map, rng)
    return SyntheticTissue(_stain(instance_map, type_map, tissue_map, rng), instance_map, type_map, tissue_map)


def ambiguous_tissue(size: int = 256, seed: int = 0, pale: bool = True) -> SyntheticTissue:
    """Generates an image in which only the tissue tells what is a nucleus.

    The stroma holds round dark specks, as frequent as nuclei and drawn as those of glands are; they are no nuclei.

    Args:
        size: Side of the square image, px, at least 16.
        seed: The same seed gives the same image.
        pale: Whether glands and stroma are stained alike, so that the regions must be guessed.

    Raises:
        ValueError: The size is too small.
    """
    _check_size(size)
    rng = np.random.default_rng(seed)
    tissue_map = _glands(size, rng)
    instance_map, type_map = _nuclei(tissue_map, rng)
    drawn, look = instance_map.copy(), type_map.copy()
    for x, y in rng.integers(0, size, (size * size // 150, 2)):
        speck = np.zeros((size, size), np.uint8)
        axes = np.round(rng.uniform(4.5, 6.5, 2)).astype(int).tolist()
        cv2.ellipse(speck, (int(x), int(y)), tuple(axes), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        inside = speck > 0
        if not (drawn[inside] > 0).any() and not tissue_map[inside].any():
            drawn[inside], look[inside] = drawn.max() + 1, 1
    shown = np.zeros_like(tissue_map) if pale else tissue_map
    return SyntheticTissue(_stain(drawn, look, shown, rng), instance_map, type_map, tissue_map)


def write_dataset(
    folder: str | PathLike[str], count: int = 12, size: int = 256, seed: int = 0, ambiguous: bool = False
) -> Path:
    """Writes images, labels and `datalist.json`, a quarter for validation.

    Args:
        folder: Where to.
        count: Number of images.
        size: Side of an image, px.
        seed: Of the first image; the others follow.
        ambiguous: Whether to draw `ambiguous_tissue`, in which each task needs the other.

    Returns:
        The datalist.

    Raises:
        DatalistError: The folder holds images, and no datalist says that they were generated.
        ValueError: The size is too small.
        NoRoomError: The disk is full.
    """
    _check_size(size)
    folder = Path(folder).resolve()
    _check_ours(folder)
    items = [_item(folder, number) for number in range(count)]
    split = count - max(1, count // 4) if count > 1 else count
    datalist = folder / "datalist.json"  # first: it says whose the files are, should writing them be interrupted
    write_datalist(datalist, {"training": items[:split], "validation": items[split:]})
    for number, item in enumerate(items):
        _write((ambiguous_tissue if ambiguous else synthetic_tissue)(size, seed + number), item)
    return datalist


def _check_size(size: int) -> None:
    if size < 16:
        raise ValueError(f"Expected a size of at least 16 pixels, got {size}.")


def _item(folder: Path, number: int) -> dict[str, str]:
    files = {
        keys.IMAGE: f"images/{number:03d}.png",
        keys.INSTANCES: f"nuclei/{number:03d}.tif",
        keys.TYPES: f"nuclei_type/{number:03d}.png",
        keys.TISSUE: f"tissue/{number:03d}.png",
    }
    return {keys.DATASET: _DATASET, **{key: str(folder / file) for key, file in files.items()}}


def _write(tissue: SyntheticTissue, item: dict[str, str]) -> None:
    arrays: dict[str, NDArray[Any]] = {
        keys.IMAGE: tissue.rgb,
        keys.INSTANCES: tissue.instance_map,
        keys.TYPES: tissue.type_map,
        keys.TISSUE: tissue.tissue_map,
    }
    for key, array in arrays.items():
        path = Path(item[key])
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            if path.suffix == ".tif":
                tifffile.imwrite(partial, array.astype(np.uint16), compression="deflate")
            else:
                Image.fromarray(array).save(partial)


def _check_ours(folder: Path) -> None:
    datalist = folder / "datalist.json"
    listed = [item for items in read_datalist(datalist).values() for item in items] if datalist.is_file() else []
    others = [item[keys.IMAGE] for item in listed if item.get(keys.DATASET) != _DATASET]
    if not listed:
        others = sorted(map(str, (folder / "images").glob("*")))
    if others:
        raise DatalistError(
            f"{folder}: expected an empty folder, or one with generated images, got {len(others)} others (first: "
            f"{others[0]}); give another folder."
        )


def _glands(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth blobs that cover about 45 % of the image."""
    noise = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), sigmaX=max(size / 14, 3))
    return (noise > np.quantile(noise, 0.55)).astype(np.uint8)


def _nuclei(tissue_map: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Ellipses at random places; one that would cover more than a few pixels of another is not drawn."""
    size = len(tissue_map)
    instance_map = np.zeros((size, size), np.int32)
    type_map = np.zeros((size, size), np.uint8)
    count = 0
    for x, y in rng.integers(0, size, (size * size // 90, 2)):
        in_gland = bool(tissue_map[y, x])
        if not in_gland and rng.random() > 0.3:
            continue  # the stroma is sparse
        axes = rng.uniform(4.5, 6.5, 2) if in_gland else np.array([rng.uniform(8, 11), rng.uniform(2, 3)])
        ellipse = np.zeros((size, size), np.uint8)
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(ellipse, (int(x), int(y)), tuple(np.round(axes).astype(int).tolist()), angle, 0, 360, 1, -1)
        inside = ellipse > 0
        if (instance_map[inside] > 0).sum() > 2:
            continue
        count += 1
        inside &= instance_map == 0
        instance_map[inside] = count
        type_map[inside] = 1 if in_gland else 2
    return instance_map, type_map


def _stain(
    instance_map: NDArray[np.int32],
    type_map: NDArray[np.uint8],
    tissue_map: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    texture = cv2.GaussianBlur(rng.standard_normal(instance_map.shape), (0, 0), 1.5)[..., None]
    darkness = rng.uniform(0.85, 1.15, instance_map.max() + 1)[instance_map]  # nuclei differ
    haematoxylin = np.select([type_map == 1, type_map == 2], [1.1 * darkness, 0.75 * darkness], 0.12 + 0.1 * tissue_map)
    eosin = np.where(type_map > 0, 0.15, 0.35 - 0.12 * tissue_map)
    haematoxylin = cv2.GaussianBlur(haematoxylin, (0, 0), 0.8)[..., None]
    density = haematoxylin * _HAEMATOXYLIN + eosin[..., None] * _EOSIN
    density = density * (1 + 0.25 * texture) + 0.01 * rng.standard_normal(density.shape)
    return np.clip(255 * np.exp(-np.clip(density, 0.02, None)), 0, 255).round().astype(np.uint8)

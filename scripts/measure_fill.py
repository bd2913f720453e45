"""How well areas that were not scanned are left alone: real tiles with black and grey fill against the same with white.

python scripts/measure_fill.py IMAGE... [--greys 0 20 40 60 80] [--jpeg 75]

Each tile (its upper left 512 px) gets a half, a frame and a block of every grey; with --jpeg it goes through JPEG of
that quality. Prints a row per kind and grey: nuclei pixels per pixel of fill (worst tile), and the nuclei of all tiles
beside the fill against those beside white (sum, and the worst tile).
"""

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle.data.images import read_image
from coseg_bundle.inferers import Predictor

SIDE = 512
KINDS = ("half", "frame", "block")


def fill_mask(kind: str) -> NDArray[np.bool_]:
    """Where the fill is; its edges lie on no multiple of 8, as those of JPEG's blocks do."""
    mask = np.zeros((SIDE, SIDE), bool)
    if kind == "half":
        mask[:, 250:] = True
    elif kind == "frame":
        mask[:] = True
        mask[100:413, 100:413] = False
    else:
        mask[163:352, 163:352] = True
    return mask


def through_jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The image as JPEG gives it back."""
    if not quality:
        return rgb
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--greys", nargs="+", type=int, default=[0, 20, 40, 60, 80])
    parser.add_argument("--jpeg", type=int, default=0, metavar="QUALITY")
    options = parser.parse_args()
    try:
        tiles = [read_image(path).rgb[:SIDE, :SIDE] for path in options.images]
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    for path, tile in zip(options.images, tiles, strict=True):
        if tile.shape[:2] != (SIDE, SIDE):
            got = f"{tile.shape[1]} x {tile.shape[0]}"
            raise SystemExit(f"{path}: expected {SIDE} x {SIDE} px or more, got {got}; give larger images.")
    predictor = Predictor.from_bundle(device="cpu")
    for kind in KINDS:
        mask = fill_mask(kind)
        white = [_with_fill(tile, mask, 255, options.jpeg) for tile in tiles]
        expected = [len(predictor.predict(rgb).instances) for rgb in white]
        for grey in options.greys:
            shares, counts = [], []
            for tile in tiles:
                found = predictor.predict(_with_fill(tile, mask, grey, options.jpeg))
                shares.append((found.instance_map[mask] > 0).mean())
                counts.append(len(found.instances))
            change = 100 * (sum(counts) / sum(expected) - 1)
            off = [abs(n / max(e, 1) - 1) for n, e in zip(counts, expected, strict=True)]
            print(
                f"{kind} {grey}: nuclei in the fill {100 * max(shares):.3f} %, beside it {sum(counts)} against "
                f"{sum(expected)} ({change:+.1f} %, worst tile {100 * max(off):.1f} %)",
                flush=True,
            )


def _with_fill(tile: NDArray[np.uint8], mask: NDArray[np.bool_], grey: int, quality: int) -> NDArray[np.uint8]:
    return through_jpeg(np.where(mask[..., None], np.uint8(grey), tile), quality)


if __name__ == "__main__":
    main()

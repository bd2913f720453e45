#!/usr/bin/env bash
# dlup's tiles of a slide with a tissue mask (SlideDataset, compute_masked_indices): how much of a tile has to be tissue.
#
# Expected: what the documentation says: with a threshold of 1 a tile "must be completely foreground", with 0.8 more than four fifths
# of it. A slide whose mask is tissue throughout keeps all of its 16 tiles at 1, and one on which the upper half of each tile is
# tissue none at 0.8, however the mask is given: as an array of 0 and 1 or of 0 and 255, as an image or as regions.
# Seen (dlup 0.9.4, fastslide 0.8.1, numpy 2.4.6, tifffile 2026.3.3, CPython 3.11): at 1, the default of compute_masked_indices, a
# slide that is all tissue has none of 16 tiles by an array; by the same mask as a TIFF it has 16. A mask of 0 and 255, as programs
# save it, keeps all 16 half tiles at 0.8 and at 1, for the mean of a tile is 127. Regions that lie over one another are counted
# twice: a region of the upper half of four tiles keeps none at 0.8, with a second one of nearly the same place all four, at 1 too.
# What follows: masks of 0 and 1 with a threshold a little below 1, and one region where several lie over one another.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "dlup==0.9.4" "fastslide==0.8.1" "fimage-python==0.1.2" "numpy==2.4.6" "tifffile==2026.3.3"
cat > tiles.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from dlup import ImageConfig, MaskConfig, SlideAnnotations, SlideDataset, SlideImage, TilingConfig
from dlup.background import compute_masked_indices
from dlup.geometry import Polygon


def saved(name, pixels):
    """A tiled TIFF of an image with pixels of 0.5 um, opened by dlup."""
    tifffile.imwrite(name, pixels, tile=(256, 256), photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER")
    return SlideImage.from_file_path(name, backend="TIFFFILE")


def kept(mask, threshold):
    """How many of the 16 tiles of 128 x 128 px stay."""
    return len(SlideDataset.from_standard_tiling("slide.tif", TilingConfig(mpp=0.5, tile_size=(128, 128)),
                                                 MaskConfig(mask=mask, mask_threshold=threshold), ImageConfig(backend="TIFFFILE")))


def regions(*heights):
    """Regions of interest from the slide's upper left corner, as wide as the slide."""
    found = SlideAnnotations()
    for height in heights:
        found.add_roi(Polygon([(0, 0), (512, 0), (512, height), (0, height)], []))
    found.rebuild_rtree()
    return found


print(*(f"{name} {version(name)}" for name in ("dlup", "fastslide", "numpy", "tifffile")))
slide = saved("slide.tif", np.full((512, 512, 3), 200, np.uint8))
tissue = np.ones((512, 512), np.uint8)
half = np.tile(np.repeat([[1], [0]], 64, axis=0), (4, 512)).astype(np.uint8)
array, image = kept(tissue, 1.0), kept(saved("mask.tif", np.stack([tissue] * 3, axis=-1) * 255), 1.0)
default = len(compute_masked_indices(slide, tissue, [(128.0 * i, 0.0, 128, 128, 0.5) for i in range(4)]))
print(f"all tissue, threshold 1: {array} of 16 tiles by an array, {image} by a TIFF, {default} of 4 by default;",
      f"threshold 0.99: {kept(tissue, 0.99)}")
ones, bytes_ = ([kept(half * value, threshold) for threshold in (0.4, 0.8, 1.0)] for value in (1, 255))
print(f"half of each tile, thresholds 0.4, 0.8 and 1: {ones} by a mask of 0 and 1, {bytes_} by one of 0 and 255")
one, two = ([kept(regions(*heights), threshold) for threshold in (0.4, 0.8, 1.0)] for heights in ((70,), (70, 66)))
print(f"half of the upper four tiles, the same thresholds: {one} by a region, {two} by two regions over one another")
as_seen = array == 0 and image == 16 and default == 0 and kept(tissue, 0.99) == 16
as_seen &= ones == [16, 0, 0] and bytes_ == [16, 16, 16] and one == [4, 0, 0] and two == [4, 4, 4]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore tiles.py

#!/usr/bin/env bash
# wsi-tile-processor's GaussianWSIProcessor: a model over a slide with overlapping tiles, blended; and masks that it writes.
#
# Expected: a model that gives each tile back leaves the slide as it was, its edges too; "float outputs in [0, 1] are scaled to uint8";
# tiles of background are filled with background_value, "default 1.0 (white)", "float in [0, 1] is scaled to uint8". A class map of
# one channel ("segmentation masks" are what FastWSIProcessor is for) has the classes that the model gave.
# Seen (wsi-tile-processor 0.2.0, tifffile 2026.3.3, pyvips 3.2.0, numpy 2.4.6, CPython 3.11), tiles of 512 px, the README's stride of
# 256 and sigma of 64: the slide's edge is black, 22 px wide along its sides and more at its corners, for the weights there
# lie below what float16 holds. Background is 1, black beside the model's 0..255; a model that gives 0..1 leaves 0 everywhere, where
# FastWSIProcessor gives the slide. Of a mask of classes 0 and 1 in blobs the file has other values, for it is written as JPEG.
# GaussianWSIProcessor.process keeps sums and weights in float16 and scales neither; both processors write with compression="jpeg".
# What follows: background_value=255, outputs of 0..255 and blur_sigma=128 for tiles of 512; class maps written with tifffile.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "wsi-tile-processor==0.2.0" "numpy==2.4.6" "tifffile==2026.3.3" "pyvips[binary]==3.2.0" \
    "openslide-python==1.4.7" "openslide-bin==4.0.1.2" "scipy==1.17.1" "imagecodecs==2026.3.6"
cat > blend.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter
from wsi_tile_processor import FastWSIProcessor, GaussianWSIProcessor


def through(kind, name, model, **options):
    """The slide after a model: the whole of level 0 that was written."""
    kind(wsi_path="slide.tif", tiff_path=name, level=0, tile_size=512, generate=model, **options).process()
    return tifffile.imread(name).astype(int)


def classes(tile):
    return blobs[:512, :512, None]


print(*(f"{name} {version(name)}" for name in ("wsi-tile-processor", "tifffile", "pyvips", "numpy")))
slide = np.full((1024, 1536, 3), (180, 120, 160), np.uint8)  # tissue, and background in the right third
slide[:, 1024:] = 245
tifffile.imwrite("slide.tif", slide, tile=(256, 256), photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER")
blend = {"stride": 256, "blur_sigma": 64.0}
tissue = slide[0, 0].astype(int)
got = through(GaussianWSIProcessor, "blended.ome.tiff", lambda tile: tile, **blend)
wide = through(GaussianWSIProcessor, "wide.ome.tiff", lambda tile: tile, stride=256, blur_sigma=128.0, background_value=255)
plain = through(FastWSIProcessor, "plain.ome.tiff", lambda tile: tile)
black = (got[:, :900].max(axis=-1) < 60).sum(axis=0)[450], int((got[:512, 450].max(axis=-1) < 60).argmin())
print(f"given back, tissue {tissue}: inside {got[300, 300]}, at the corner {got[2, 2]}, {black[1]} rows black at the top;",
      f"with sigma 128 {wide[2, 2]}, plain {plain[2, 2]}")
print(f"background: {got[300, 1400]} blended, {plain[300, 1400]} plain, {wide[300, 1400]} blended with background_value=255")
halves = {kind.__name__: through(kind, f"{kind.__name__}.ome.tiff", lambda tile: tile / 255.0, **options)[300, 300]
          for kind, options in ((FastWSIProcessor, {}), (GaussianWSIProcessor, blend))}
print(f"a model of 0..1: {halves}")
noise = gaussian_filter(np.random.default_rng(0).standard_normal((512, 512)), 3)
blobs = (noise > 0).astype(np.uint8)
mask = through(FastWSIProcessor, "mask.ome.tiff", classes, output_channels=1, background_value=0)[:512, :512]
print(f"classes 0 and 1: {np.unique(mask)[:8]} in the file, {(mask != blobs).mean():.1%} of the pixels another class")
as_seen = np.abs(got[300, 300] - tissue).max() < 4 and got[2, 2].max() == 0 and black[1] > 10
as_seen &= bool(np.abs(wide[2, 2] - tissue).max() < 30)
as_seen &= got[300, 1400].max() == 1 and plain[300, 1400].min() == 255 and np.abs(plain[2, 2] - tissue).max() < 4
as_seen &= np.abs(halves["FastWSIProcessor"] - tissue).max() < 4 and halves["GaussianWSIProcessor"].max() <= 1
as_seen &= bool((mask != blobs).any())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore blend.py

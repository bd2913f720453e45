#!/usr/bin/env bash
# SliDL: a segmentation of a slide from overlapping tiles (getNonOverlappingSegmentationInferenceArray), and QuPath's annotations.
#
# Expected: "tile overlap is stitched together to produce one mask", by the mean: where every tile says 0.6, the mean is 0.6, and with
# a probabilityThreshold of 0.5 all that tiles cover is of the class, with dtype="int" as with "float". Tiles lie in the slide.
# A QuPath polygon with a hole covers its area without the hole.
# Seen (slidl 0.1.dev4, numpy 2.4.6, scipy 1.17.1, shapely 2.2.0, CPython 3.11), a slide of 1000 px, tiles of 400 that overlap by half:
# only the four corners that a single tile covers are of the class, 16 % of the slide; the rest is background, at 0.9 as at 0.6,
# for the sum is kept in uint8: 153 + 153 is 50. At 0.3, with a threshold of 0.2, what four tiles cover is missing, 36 %.
# With dtype="float" probabilities are cast to uint8 and nothing is of the class at all. With an overlap of three quarters tiles reach
# 200 px beyond the slide's edge (setTileProperties). Of a polygon of 250000 px with a hole of 62500 addAnnotations takes all
# 250000, and the tile that is the hole has an overlap of 1; "2 polygons made from one annotation" is printed.
# What follows: tiles without overlap, or the tiles' predictions averaged in float by oneself; holes drawn as a negativeClass.
# PyTorch and the loader of slides are stood in for (pyvips' wheel opens no slides); predictions go in by appendTag, as from a model.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==3.1.1" "scikit-image==0.26.0" "pillow==13.0.0" "shapely==2.2.0" \
    "matplotlib==3.11.2" "pyvips[binary]==3.2.0"
env/bin/pip install --quiet --no-deps "slidl==0.1.dev4"
cat > stitched.py <<'PY'
import json
import sys
import types
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
import pyvips
import scipy.ndimage
import scipy.sparse

for name in ("torch", "torchvision", "joblib", "sklearn", "sklearn.metrics", "tqdm", "slidl.models.tissuedetector",
             "slidl.utils.torch.WholeSlideImageDataset", "slidl.utils.torch.dice_loss"):
    sys.modules[name] = MagicMock()
sys.modules["scipy.ndimage.morphology"] = types.ModuleType("scipy.ndimage.morphology")  # its name before SciPy 2
sys.modules["scipy.ndimage.morphology"].binary_fill_holes = scipy.ndimage.binary_fill_holes


def opened(path, level=0):
    """A black slide of 1000 px with the fields that OpenSlide's loader sets."""
    slide = pyvips.Image.black(1000, 1000, bands=3).copy()
    for field, value in (("vips-loader", "openslideload"), ("openslide.level[0].downsample", "1")):
        slide.set_type(pyvips.GValue.gstr_type, field, value)
    return slide


pyvips.Image.new_from_file = opened

from slidl.slide import Slide


def stitched(probability, threshold, dtype):
    """The slide's mask, where every tile says the same, and what the mean over the tiles is."""
    slide = Slide("slide.svs").setTileProperties(400, tileOverlap=0.5)
    total, times = np.zeros((1000, 1000)), np.zeros((1000, 1000))
    for address in slide.iterateTiles():
        tile = np.full((400, 400), probability, np.float32)
        slide.appendTag(address, "segmenterInferencePrediction", {"tumour": (tile * 255).astype(np.uint8) if dtype == "int" else tile})
        place = slide.tileDictionary[address]
        total[place["y"]:place["y"] + 400, place["x"]:place["x"] + 400] += probability
        times[place["y"]:place["y"] + 400, place["x"]:place["x"] + 400] += 1
    slide.getNonOverlappingSegmentationInferenceArray("tumour", folder=".", dtype=dtype, probabilityThreshold=threshold)
    mask = scipy.sparse.load_npz("slide.npz").toarray().astype(bool)
    return mask, total / times > threshold, times


def square(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


print(*(f"{name} {version(name)}" for name in ("slidl", "numpy", "scipy", "shapely")))
shares = {}
for case in ((0.6, 0.5, "int"), (0.9, 0.5, "int"), (0.3, 0.2, "int"), (0.6, 0.5, "float")):
    mask, right, times = stitched(*case)
    shares[case] = mask.mean(), right.mean(), [mask[times == count].mean() for count in (1, 2, 4)]
    print(f"{case[2]}, every tile {case[0]}, threshold {case[1]}: {mask.mean():.0%} of the slide, by hand {right.mean():.0%};",
          f"where 1, 2 and 4 tiles lie {[float(share) for share in shares[case][2]]}")
slide = Slide("slide.svs").setTileProperties(400, tileOverlap=0.75)
edge = max(tile["x"] + tile["width"] for tile in slide.tileDictionary.values())
print(f"an overlap of 0.75: tiles up to {edge} px on a slide of 1000")
annotation = {"type": "Feature", "properties": {"classification": {"name": "tumour"}},
              "geometry": {"type": "Polygon", "coordinates": [square(0, 0, 500, 500), square(250, 250, 500, 500)[::-1]]}}
with open("slide.geojson", "w") as file:
    json.dump([annotation], file)
slide = Slide("slide.svs").setTileProperties(250)
slide.addAnnotations("slide.geojson")
overlaps = {address: float(tile["tumourOverlap"]) for address, tile in slide.tileDictionary.items() if tile["tumourOverlap"]}
print(f"overlaps of tiles of 250 px: {overlaps}, the hole is (1, 1)")
as_seen = all(np.isclose(shares[case][0], 0.16) for case in list(shares)[:2]) and all(share[1] == 1 for share in shares.values())
as_seen &= all(shares[case][2] == [1, 0, 0] for case in list(shares)[:2]) and 0.16 < shares[0.3, 0.2, "int"][0] < 1
as_seen &= shares[0.6, 0.5, "float"][0] == 0 and edge == 1200 and overlaps.get((1, 1)) == 1 and len(overlaps) == 4
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stitched.py

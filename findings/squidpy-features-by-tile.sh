#!/usr/bin/env bash
# squidpy.experimental.im.calculate_image_features: where nuclei are, how large they are and what texture they have.
#
# Expected: the centroid is where the nucleus is in the image. Images are cut into tiles of 2048 px "with overlap so that every cell
# is fully contained in exactly one tile", and overlap_margin="auto" "computes the minimum from the largest cell's bounding box".
# Texture is that of the nucleus, whatever shape it has.
# Seen (squidpy 1.8.2, spatialdata 0.7.3, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): centroids are counted from the corner of a
# tile with its margin. In an image 2,300 px wide a nucleus at x = 2200 is said to be at 214, and one at 1000 at 1000. They change with
# tile_size. A cell with a body at x = 2020 and a tail on its right has 678 px for 741: the margin is half of its bounding box,
# and its centroid is not in the middle of that, so its end is outside of the tile. With one tile all is right.
# A nucleus of noise has an ASM of 0.003. The same pixels with a fine thread of 20 px more have 0.50: what lies around a nucleus, in
# its bounding box, counts as pixels of the lowest grey. By pixels of the nucleus alone it is 0.003 again. Nothing is said about any.
# What follows: tile_size at least the image's size; overlap_margin at least the largest bounding box; textures of nuclei only
# where they fill their boxes alike.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "squidpy==1.8.2" "spatialdata==0.7.3" "scikit-image==0.26.0" "numpy==2.4.6" "anndata==0.12.19" \
    "pandas==2.3.3"
cat > features.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import spatialdata
import squidpy
from spatialdata.models import Image2DModel, Labels2DModel

rng = np.random.default_rng(0)
noise = rng.integers(100, 141, (21, 21)).astype(np.uint8)
image, mask = np.full((64, 2300), 120, np.uint8), np.zeros((64, 2300), np.int32)
for number, x in ((1, 1000), (2, 1300), (3, 2020), (4, 2200)):
    image[10:31, x - 10 : x + 11], mask[10:31, x - 10 : x + 11] = noise, number
mask[19:22, 2031:2131] = 3  # a tail
for step in range(20):  # a thread
    mask[31 + step, 1311 + step] = 2
layers = {"images": {"slide": Image2DModel.parse(image[None], dims=("c", "y", "x"), c_coords=["grey"])},
          "labels": {"cells": Labels2DModel.parse(mask, dims=("y", "x"))}}
data = spatialdata.SpatialData(**layers)


def asm(number):
    """The angular second moment of a nucleus, of pairs of which both pixels are its own."""
    inside = mask == number
    grey = image.astype(float)
    low, high = grey[inside].min(), grey[inside].max()
    level = ((grey - low) / (high - low) * 31).round().astype(int)
    both = inside[:, :-1] & inside[:, 1:]
    pairs = np.zeros((32, 32))
    np.add.at(pairs, (level[:, :-1][both], level[:, 1:][both]), 1)
    pairs += pairs.T
    return float(((pairs / pairs.sum()) ** 2).sum())


print(*(f"{name} {version(name)}" for name in ("squidpy", "spatialdata", "scikit-image", "numpy")))
rows, columns = zip(*(np.argwhere(mask == number).mean(axis=0) for number in range(1, 5)))
right = {"x": np.round(columns, 2).tolist(), "area": np.bincount(mask.ravel())[1:].tolist()}
print("by hand:", right)
seen = {}
for tile in (2048, 4096, 500):
    options = {"image_key": "slide", "labels_key": "cells", "tile_size": tile, "inplace": False}
    wanted = ["skimage:morphology:centroid", "skimage:morphology:area", "squidpy:texture"]
    table = squidpy.experimental.im.calculate_image_features(data, features=wanted, **options).to_df()
    seen[tile] = {"x": table["centroid-1"].round(2).tolist(), "area": table["area"].astype(int).tolist()}
    print(f"tiles of {tile} px:", seen[tile])
    texture = table["texture_ASM_grey"].tolist()
by_hand = [round(asm(number), 4) for number in (1, 2)]
print("ASM of the nucleus, and with a thread:", [round(one, 4) for one in texture[:2]], "by hand:", by_hand)
as_seen = np.allclose(seen[4096]["x"], right["x"], atol=0.01) and seen[4096]["area"] == right["area"]
as_seen &= seen[2048]["x"][0] == 1000 and seen[2048]["x"][3] == 214 and seen[2048]["area"] == [441, 461, 678, 441]
as_seen &= seen[500]["x"][0] != 1000 and texture[0] < 0.003 and texture[1] > 0.4 and asm(2) < 0.003
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore features.py 2> messages.txt | grep -v "INFO\|WARNING" || { cat messages.txt >&2; exit 1; }

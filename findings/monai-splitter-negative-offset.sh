#!/usr/bin/env bash
# MONAI's WSISlidingWindowSplitter with an offset below 0: where the patches of a slide lie.
#
# Expected: "the amount of offset for the patches with respect to the original input": with an offset of -32 the first patch begins
# 32 px above and left of the slide, which is filled up there, and each patch comes with its place. SlidingWindowSplitter does so
# with the same pixels as a tensor.
# Seen (monai 1.6.1, torch 2.13.0, openslide 4.0.1, numpy 2.4.6, CPython 3.11): with offsets of 0 and 32 both have the same patches at
# the same places. With -32 the places are the same, and none of the 49 patches within the slide is: what is said to be at
# (96, 96) is what is at (128, 128). Put together by their places, they show the slide 32 px farther up and left than it is, and a
# nucleus at (512, 512) is found at (480, 480). On level 1 (a half) it is 32 px of that level. The places are corrected for the
# padding after the patch was read, so that it is read where it lies in the padded slide. Nothing is said about it.
# What follows: an offset of 0 or more, or add the padding to the places.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "tifffile==2026.3.3" "numpy==2.4.6" "openslide-bin==4.0.1.2" \
    "openslide-python==1.4.7"
cat > offset.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import openslide
import tifffile
import torch
from monai.inferers import SlidingWindowSplitter, WSISlidingWindowSplitter

rng = np.random.default_rng(0)
slide = np.kron(rng.integers(150, 256, (256, 256, 3)), np.ones((4, 4, 1))).astype(np.uint8)
slide[500:524, 500:524] = 60  # a nucleus around (512, 512)
with tifffile.TiffWriter("slide.tif") as file:
    for factor in (1, 2):
        part = np.ascontiguousarray(slide[::factor, ::factor])
        file.write(part, tile=(128, 128), photometric="rgb", subfiletype=int(factor > 1))


def together(patches, size):
    """The slide, put together of patches by their places, and the row and column of the nucleus."""
    whole = np.full((size + 512, size + 512), 255)
    for patch, (row, column) in patches:
        whole[row + 256 : row + 384, column + 256 : column + 384] = np.asarray(patch)[0, 0]
    rows, columns = (whole[256 : 256 + size, 256 : 256 + size] == 60).nonzero()
    return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5


print(*(f"{name} {version(name)}" for name in ("monai", "torch", "openslide-bin", "numpy")), openslide.__library_version__)
as_seen = True
for level, factor in ((0, 1), (1, 2)):
    tensor = torch.as_tensor(np.ascontiguousarray(slide[::factor, ::factor].transpose(2, 0, 1)))[None]
    for offset in (0, 32, -32):
        file = list(WSISlidingWindowSplitter(128, offset=offset, reader="openslide", level=level)("slide.tif"))
        right = list(SlidingWindowSplitter(128, offset=offset)(tensor))
        places = [tuple(place) for _, place in file] == [tuple(place) for _, place in right]
        inside = [n for n, (_, place) in enumerate(right) if 0 <= min(place) and max(place) + 128 <= 1024 // factor]
        alike = sum(np.array_equal(np.asarray(file[n][0]), np.asarray(right[n][0])) for n in inside)
        nucleus, by_hand = together(file, 1024 // factor), together(right, 1024 // factor)
        print(f"level {level}, offset {offset}: {len(file)} patches, the same places: {places}; of {len(inside)} within the slide "
              f"{alike} are alike; nucleus at {nucleus}, of the tensor at {by_hand}")
        moved = 32 if offset < 0 else 0
        as_seen &= places and by_hand == (512 / factor,) * 2 and nucleus == (512 / factor - moved,) * 2
        as_seen &= alike == (0 if moved else len(inside))
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore offset.py

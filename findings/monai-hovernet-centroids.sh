#!/usr/bin/env bash
# MONAI's HoVerNetInstanceMapPostProcessing: where the centre of a nucleus is.
#
# Expected: `centroid` is the middle of the nucleus, in x and y as its `contour` is, or in row and column as its map is; in either
# order it lies within the bounding box of that nucleus.
# Seen (monai 1.6.1, torch 2.13.0, scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): that holds for nuclei that are as
# wide as they are high. One of 40 x 10 px around (59.5, 24.5) is said to be at (44, 39), which is outside of it, and the same
# upright around (14.5, 69.5) at (29, 54). The row within the bounding box is added to the box's left, and the column to its top;
# each coordinate is off by half the difference of width and height. The contours are right, and the fraction is cut off. Nothing
# is said about it.
# What follows: take centres from the instance map that comes with them, or from the contours; distances and counts per region of
# the given centres are wrong for long nuclei.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "scikit-image==0.26.0" "scipy==1.17.1" "numpy==2.4.6"
cat > centres.py <<'PY'
import sys

import monai
import numpy as np
import skimage
import torch
from monai.apps.pathology.transforms import HoVerNetInstanceMapPostProcessing

nuclei = np.zeros((100, 120), dtype=int)
nuclei[20:30, 40:80] = 1  # lies
nuclei[50:90, 10:20] = 2  # stands
nuclei[60:80, 60:80] = 3  # as wide as it is high
is_nucleus = np.stack([nuclei == 0, nuclei > 0]).astype(np.float32)
hover = np.zeros((2, 100, 120), dtype=np.float32)  # from -1 to 1, horizontally and vertically, as the network is taught
for number in (1, 2, 3):
    rows, columns = np.nonzero(nuclei == number)
    for channel, place in enumerate((columns, rows)):
        away = place - place.mean()
        hover[channel, rows, columns] = away / abs(away).max()

found, numbered = HoVerNetInstanceMapPostProcessing()(torch.tensor(is_nucleus * 20 - 10), torch.tensor(hover))
numbered = np.asarray(numbered)[0]
print("monai", monai.__version__, "torch", torch.__version__, "scikit-image", skimage.__version__, "numpy", np.__version__)
if len(found) != 3 or not np.array_equal(numbered > 0, nuclei > 0):
    sys.exit("the nuclei themselves are not found")
as_seen = True
for number, nucleus in found.items():
    rows, columns = np.nonzero(numbered == number)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    x, y = columns.mean(), rows.mean()
    contour, said = np.asarray(nucleus["contour"]), np.asarray(nucleus["centroid"]).tolist()
    middle = (contour.min(axis=0) + contour.max(axis=0)) / 2
    print(f"{width} x {height} px around ({x}, {y}): contour around {middle.tolist()}, centroid {said}")
    off = (height - width) / 2
    as_seen &= bool(np.array_equal(middle, (x, y)) and said == [int(x + off), int(y - off)])
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore centres.py

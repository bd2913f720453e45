#!/usr/bin/env bash
# Nyxus and the shape of a nucleus that lies farther down in the image.
#
# Expected: what a nucleus of 20 x 10 px measures is the same wherever it lies. SOLIDITY is 1, or a little more or less where borders
# go through the middles of pixels. DIAMETER_EQUAL_AREA is the 16.0 px of a circle of 200. At 4 pixels per micron AREA_UM2 is 12.5.
# Of two that touch, each has a neighbour.
# Seen (nyxus 0.11.0, numpy 2.4.6, CPython 3.11): CONVEX_HULL_AREA and SOLIDITY depend on the row. Below the upper border SOLIDITY is
# 1.05, 100 rows farther down 0.10, and 300 rows down 0.03, with 5,871 as hull area. Left and right make no difference. The diameter
# is 254.6, which is its square. AREA_UM2 and NUM_NEIGHBORS are 0, with and without `pixels_per_micron`. Nothing is said about it.
# (The source has since mended the diameter and worked on the hull; no release has that yet.)
# What follows: take area, diameter, solidity and neighbours from another program; CENTROID_X and _Y, BBOX_* and AREA_PIXELS_COUNT
# are right.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "nyxus==0.11.0" "numpy==2.4.6"
cat > shapes.py <<'PY'
import sys

import numpy as np
import nyxus

tops, lefts = (1, 50, 100, 300), (100, 120, 300)  # the first two of each row touch
labels = np.zeros((400, 400), dtype=np.uint32)
for number in range(12):
    y, x = tops[number // 3], lefts[number % 3]
    labels[y : y + 10, x : x + 20] = number + 1
features = ["AREA_PIXELS_COUNT", "CENTROID_Y", "CONVEX_HULL_AREA", "SOLIDITY", "DIAMETER_EQUAL_AREA", "AREA_UM2", "NUM_NEIGHBORS"]
table = nyxus.Nyxus(features, pixels_per_micron=4.0).featurize(np.full(labels.shape, 50, dtype=np.uint32), labels)
print("nyxus", nyxus.__version__, "numpy", np.__version__)
print(table[["ROI_label", *features]].round(3).to_string(index=False))
solidity = table["SOLIDITY"].to_numpy().reshape(4, 3)
right = (table["AREA_PIXELS_COUNT"] == 200).all() and np.allclose(table["CENTROID_Y"], np.repeat(tops, 3) + 4.5)
by_row = (solidity == solidity[:, :1]).all() and abs(solidity[0, 0] - 200 / 190) < 1e-6 and solidity[3, 0] < 0.04
falls = (np.diff(solidity[:, 0]) < 0).all()
square = np.allclose(table["DIAMETER_EQUAL_AREA"], 4 * 200 / np.pi)
nothing = (table[["AREA_UM2", "NUM_NEIGHBORS"]] == 0).all(axis=None)
sys.exit(0 if right and by_row and falls and square and nothing else 1)
PY
env/bin/python shapes.py

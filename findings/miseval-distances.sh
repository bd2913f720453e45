#!/usr/bin/env bash
# miseval's distances between masks: HausdorffDistance (HD), AverageHausdorffDistance (AHD) and BoundaryDistance (BD).
#
# Expected: the largest distance between the outlines, in px; the average of their distances, which is less; and 0 of both, and of the
# "distance of segmentation boundaries", for a right answer.
# Seen (miseval 1.3.0, hausdorff 0.2.6, dictances 1.5.3, scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): a nucleus of 10
# px radius that was found 50 px farther down has HD 0, as one that was found right; one that was found 50 px to the right has 4.6 and
# one 1 px to the right 1.4. HD takes each row of the mask for a point with as many coordinates as the mask has columns, and compares
# rows. AHD is the largest distance: a speck 85 px away besides a right answer makes it 76.4, where the average of the outlines'
# distances is 5.0. BD of a right answer is 12.8, and 10.7 of one of half the radius, so that the wrong one is nearer: it is the mean
# of the distances of all points of one outline from all of the other. Nothing is said about any of it.
# What follows: MONAI's compute_hausdorff_distance and compute_average_surface_distance, or a k-d tree of the outlines.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "miseval==1.3.0" "hausdorff==0.2.6" "dictances==1.5.3" "numba==0.68.1" "scikit-image==0.26.0" \
  "scikit-learn==1.9.1" "scipy==1.17.1" "numpy==2.4.6"
cat > distances.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from miseval import evaluate
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

y, x = np.mgrid[:128, :128]


def nucleus(row, column, radius=10):
    return ((y - row) ** 2 + (x - column) ** 2 <= radius**2).astype(int)


def by_hand(true, found):
    """The largest and the average distance of each outline from the other one."""
    one, other = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (true == 1, found == 1))
    away = np.concatenate([cKDTree(other).query(one)[0], cKDTree(one).query(other)[0]])
    return round(float(away.max()), 1), round(float(away.mean()), 1)


print(*(f"{name} {version(name)}" for name in ("miseval", "hausdorff", "dictances", "scikit-image", "scipy", "numpy")))
true = nucleus(40, 40)
answers = {"right": true, "50 px down": nucleus(90, 40), "50 px to the right": nucleus(40, 90), "1 px to the right": nucleus(40, 41),
           "half the radius": nucleus(40, 40, 5), "right, and a speck": np.maximum(true, nucleus(100, 100, 2))}
said = {}
for name, found in answers.items():
    said[name] = {metric: round(float(evaluate(true, found, metric)), 1) for metric in ("HD", "AHD", "BD")}
    largest, average = by_hand(true, found)
    print(f"{name}: {said[name]}, by hand largest {largest}, average {average}")
as_seen = said["right"]["HD"] == said["50 px down"]["HD"] == 0 and 4 < said["50 px to the right"]["HD"] < 5
as_seen &= said["1 px to the right"]["HD"] > 1.3 and by_hand(true, answers["50 px down"])[0] > 40
as_seen &= said["right, and a speck"]["AHD"] > 70 and by_hand(true, answers["right, and a speck"])[1] < 20
as_seen &= said["right"]["BD"] > 12 and said["half the radius"]["BD"] < said["right"]["BD"]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore distances.py

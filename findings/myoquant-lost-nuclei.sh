#!/usr/bin/env bash
# MyoQuant's run_he_analysis: nuclei in the middle or at the rim of muscle fibres, and those that are neither.
#
# Expected: each nucleus of a fibre is internal or peripheral, by how far it lies between the fibre's centre and rim (0.75 by default),
# so that the two add up to all nuclei, and the table of nuclei has a row of each, marked as it is counted.
# Seen (myoquant 0.4.0, scikit-image 0.26.0, pandas 3.1.1, numpy 2.4.6, CPython 3.11): a square fibre with four nuclei at its rim and
# one nearer its centre has 5 nuclei, 0 internal and 2 peripheral. Those on its left and upper side, and the one that lies towards
# them, are in neither count nor table; the two on the right and lower side are counted as peripheral and marked internalised=True in
# the table. The line from the centre through a nucleus ends at the fibre's bounding box, and the nucleus is counted where the line
# leaves the fibre: where the fibre reaches the box it does not, or it ends outside of the array. Of 100 fibres that fill an image as
# in muscle, with 400 nuclei within 5 px of the rim, 10 nuclei are in no count, and 15 with a score above 0.75 are marked as
# internalised. The share of internal nuclei is of all, those in no count too. Nothing is said about it.
# What follows: the score of each nucleus by hand, its distance from the fibre's centre by that of the rim in the same direction.
# Installed without its dependencies: the module of the analysis is loaded without cellpose, StarDist and TensorFlow, which find the
# masks.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scikit-image==0.26.0" "scipy==1.17.1" "pandas==3.1.1" "matplotlib==3.11.2" "pillow==13.0.0" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "myoquant==0.4.0"
cat > fibres.py <<'PY'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

for name in ("tensorflow", "keras", "torch", "cellpose", "cellpose.models", "stardist", "stardist.models", "csbdeep", "csbdeep.utils",
             "imageio"):
    sys.modules[name] = MagicMock()  # what finds fibres and nuclei in an image, which nothing here calls
from myoquant.HE_analysis import run_he_analysis


def said(fibres, places, radius=3):
    """How many nuclei there are, internal, peripheral; and which the table marks as internalised, with their score."""
    y, x = np.mgrid[: fibres.shape[0], : fibres.shape[1]]
    nuclei = np.zeros(fibres.shape, int)
    for number, (row, column) in enumerate(places, start=1):
        nuclei[((y - row) ** 2 + (x - column) ** 2 <= radius**2) & (fibres == fibres[row, column])] = number
    counts, _, _, table = run_he_analysis(np.full(fibres.shape, 128, np.uint8), fibres, nuclei, 0.75)
    return [int(count) for count in counts["Raw Count"][:3]], table[["internalised", "score_eccentricity"]].to_numpy(float)


print(*(f"{name} {version(name)}" for name in ("myoquant", "scikit-image", "pandas", "numpy")))
square = np.zeros((100, 100), int)
square[10:90, 10:90] = 1
counts, table = said(square, [(52, 82), (47, 18), (18, 52), (82, 53), (40, 40)])
print("a square fibre: nuclei, internal, peripheral", counts, "table (internalised, score)", table.round(2).tolist())
rng = np.random.default_rng(0)
y, x = np.mgrid[:1000, :1000]
fibres = 1 + cKDTree(rng.random((100, 2)) * 1000).query(np.stack([y, x], axis=-1))[1]
fibres[ndimage.maximum_filter(fibres, 5) != ndimage.minimum_filter(fibres, 5)] = 0
inside = ndimage.distance_transform_edt(fibres > 0)
rim, taken = rng.permutation(np.argwhere((inside > 4) & (inside < 6))), []
for place in rim:
    if len(taken) < 400 and all(((place - other) ** 2).sum() > 400 for other in taken):
        taken.append(place)
many, marks = said(fibres, taken)
wrong = int(((marks[:, 0] == 1) & (marks[:, 1] > 0.75)).sum())
print(f"100 fibres: nuclei, internal, peripheral {many}, {many[0] - many[1] - many[2]} in neither; {len(marks)} rows,",
      f"{wrong} of a score above 0.75 marked as internalised")
as_seen = counts == [5, 0, 2] and len(table) == 2 and bool((table[:, 0] == 1).all() and (table[:, 1] > 0.75).all())
as_seen &= many[0] == 400 and many[1] + many[2] == len(marks) < 396 and wrong > 5
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore fibres.py

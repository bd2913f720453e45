#!/usr/bin/env bash
# SCALLOPS' features of stains in nuclei (label_features): colocalization, correlationpearsonbox and MassDisplacement of intensity.
#
# Expected: CellProfiler's measures. Costes' coefficients of each pair of stains, with a threshold down to which they are correlated.
# PearsonBox: the correlation "using all values in region bounding box". MassDisplacement: the distance of the grey values' centre from
# the centre of "the binary representation of the object". normalize=False leaves 16 bits as they are.
# Seen (scallops 1.0.0, scikit-image 0.26.0, dask 2026.3.0, numpy 2.4.6, CPython 3.11): two stains with foci in common and foci of
# their own have Costes' coefficients of 0.36 and 0.34 by hand, and 1.00 and 1.00 here. Its steps are counted in the largest number of
# the image's type, which is 1 since the image was made float before: the threshold is always 0. Of three pairs there is one
# "Correlation_Costes_1" and one "_2", without names, of the pair that came last. Two stains that have nothing to do with one another
# (-0.01 in the box, -0.02 in the nucleus) have a PearsonBox of 0.55: what is in the box and outside the nucleus is set to 0 for both.
# A nucleus one half of which is stained, evenly, has its stain 21.5 px from its centre, and a MassDisplacement of 0.0: pixels without
# stain are left out of its binary representation. With normalize=False and 16 bits Overlap, which is at most 1, is 1.007: squares are
# taken in 16 bits. Nothing is said about any of these.
# What follows: numpy.corrcoef of the box, regionprops' centroid, and CellProfiler or cp_measure for Costes.
# Installed without its dependencies (tensorflow, ITK): what these features do not use is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==2.3.3" "scikit-image==0.26.0" "dask[dataframe]==2026.3.0" \
    "zarr==2.18.7" "xarray==2026.4.0"
env/bin/pip install --quiet --no-deps "scallops==1.0.0"
cat > stains.py <<'PY'
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from unittest.mock import MagicMock

import dask.array as da
import numpy as np


class StandIn(MetaPathFinder, Loader):
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("centrosome", "cp_measure", "dask_image", "filelock", "mahotas"):
            return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return MagicMock(__path__=[])

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, StandIn())
from scallops.features.find_objects import find_objects  # noqa: E402
from scallops.features.generate import label_features  # noqa: E402

print(*(f"{name} {version(name)}" for name in ("scallops", "scikit-image", "dask", "numpy")))
random = np.random.default_rng(0)
y, x = np.mgrid[:120, :120]
labels = ((y - 60) ** 2 + (x - 60) ** 2 < 50**2).astype(np.int32)
nucleus, box = labels == 1, np.s_[11:110, 11:110]


def foci(*centres):
    return sum(30000 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 32) for row, column in centres)


shared = foci((40, 60), (80, 60))
image = np.zeros((120, 120, 4), np.uint16)
image[..., 0] = 6000 + shared + foci((60, 35), (60, 50)) + random.normal(0, 1500, (120, 120))
image[..., 1] = 6000 + shared + foci((60, 70), (60, 85), (75, 80), (45, 80)) + random.normal(0, 1500, (120, 120))
image[..., 2] = random.integers(8000, 12000, (120, 120))
image[..., 3] = np.where(x < 60, 20000, 0)
names = {0: "A", 1: "B", 2: "C", 3: "half"}
boxes = find_objects(da.from_array(labels)).compute()


def features(*wanted, **settings):
    table = label_features(boxes, da.from_array(labels), da.from_array(image, chunks=image.shape), wanted, names, **settings)
    return table.compute().iloc[0]


def costes(first, second):
    """Costes' coefficients by hand: from the top down along the line, until the pixels below are not correlated any more."""
    variances, covariance = np.array([first.var(), second.var()]), np.cov(first, second, ddof=0)[0, 1]
    slope = (variances[1] - variances[0] + np.hypot(variances[1] - variances[0], 2 * covariance)) / (2 * covariance)
    for threshold in range(int(first.max()), 0, -20):
        other = slope * (threshold - first.mean()) + second.mean()
        below = (first < threshold) | (second < other)
        if np.corrcoef(first[below], second[below])[0, 1] <= 0:
            break
    both = (first > threshold) & (second > other)
    return float(first[both].sum() / first[first > threshold].sum()), float(second[both].sum() / second[second > other].sum())


inside = image[nucleus].astype(float)
one, three = features("colocalization_0_1"), features("colocalization_0,1,2_0,1,2")
right = costes(inside[:, 0], inside[:, 1])
got = float(one["Correlation_Costes_1"]), float(one["Correlation_Costes_2"])
columns = [name for name in three.index if "Costes" in name]
print("Costes of A and B: by hand", np.round(right, 2), "here", np.round(got, 2))
print("of three pairs:", *columns, "and", sum("_Manders_" in name for name in three.index), "of Manders")
found = features("correlationpearsonbox_0,2_0,2", "intensity_3")
by_hand = [float(np.corrcoef(image[region][..., 0].ravel(), image[region][..., 2].ravel())[0, 1]) for region in (box, nucleus)]
print(f"A and C: correlated in the box {by_hand[0]:.2f}, in the nucleus {by_hand[1]:.2f}, "
      f"PearsonBox {found['Correlation_PearsonBox_A_C']:.2f}")
inner = np.argwhere(nucleus & (x < 60)).mean(axis=0)
away = float(np.hypot(*(inner - np.argwhere(nucleus).mean(axis=0))))
print(f"half: centre of its stain {away:.1f} px from the nucleus's, MassDisplacement {found['Intensity_MassDisplacement_half']:.1f}")
overlaps = [float(features("colocalization_0_2", normalize=yes)["Correlation_Overlap_A_C"]) for yes in (True, False)]
print("Overlap of A and C:", np.round(overlaps, 3), "(normalize=True, False)")
as_seen = max(right) < 0.8 and min(got) == 1 and columns == ["Correlation_Costes_1", "Correlation_Costes_2"]
as_seen &= max(map(abs, by_hand)) < 0.05 and found["Correlation_PearsonBox_A_C"] > 0.5
as_seen &= away > 20 and found["Intensity_MassDisplacement_half"] < 0.01 and overlaps[0] < 1 < overlaps[1]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stains.py

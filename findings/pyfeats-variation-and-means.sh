#!/usr/bin/env bash
# pyfeats: the coefficient of variation of a nucleus's grey values (fos), and the mean difference of neighbours (glds_features).
#
# Expected: FOS_CoefficientOfVariation is the standard deviation over the mean; a nucleus that is stained evenly has a small one.
# GLDS_Mean is the mean difference of the grey values of two neighbours, between 0 and 255; of the same texture a larger nucleus
# has the same.
# Seen (pyfeats 1.0.1, numpy 2.4.6, CPython 3.11): the coefficient is the root of the median over the mean. Of an even nucleus
# (grey 120, 2 % of variation) and a mottled one (120, 33 %) it is 0.091 both times. The features of glds_features are taken of
# counts, as if those were shares that sum to 1: GLDS_Mean is 8,030 for a nucleus of 197 px and 50,187 for one of 1,257 px of the
# same texture, by hand 40.2 and 40.0. Contrast, homogeneity, the second moment and the entropy, which is negative, grow with the
# area as well. Differences across the border of the mask are counted too. FOS_Mean itself is 256/255 of the mean. Nothing is said
# about it.
# What follows: the coefficient is sqrt(FOS_Variance) / FOS_Mean; GLDS_Mean, contrast and homogeneity are to be divided by the
# mask's area.
# Only the modules of these features are loaded.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "pyfeats==1.0.1"
cat > means.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np

for name in ("pyfeats", "pyfeats.textural"):  # without what their __init__ imports besides (mahotas, OpenCV)
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("pyfeats").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
from pyfeats.textural.fos import fos
from pyfeats.textural.glds import glds_features

print(*(f"{name} {version(name)}" for name in ("pyfeats", "numpy")))
rng = np.random.default_rng(0)
y, x = np.mgrid[:64, :64]


def disc(radius):
    return ((y - 32) ** 2 + (x - 32) ** 2 <= radius**2).astype(np.uint8)


mask = disc(16)
ratios = {}
for name, varies in (("even", 2.5), ("mottled", 40.0)):
    grey = rng.normal(120, varies, mask.shape).round().clip(0, 255).astype(np.uint8)
    values, names = fos(grey, mask)
    told = dict(zip(names, values))
    inside = grey[mask > 0]
    ratios[name] = told["FOS_CoefficientOfVariation"], inside.std() / inside.mean(), np.sqrt(np.median(inside)) / told["FOS_Mean"]
    ratios[name] += (told["FOS_Mean"] / inside.mean(),)
    said, hand, root, _ = ratios[name]
    print(f"{name}: coefficient of variation {said:.3f}, by hand {hand:.3f}; root of the median over the mean {root:.3f}")

grey = rng.integers(60, 180, mask.shape).astype(np.uint8)  # neighbours differ by 40 in the mean
means = {}
for radius in (8, 12, 16, 20):
    mask = disc(radius)
    values, names = glds_features(grey, mask)
    told = dict(zip(names, values))
    by_hand = []
    for down, across in ((0, 1), (1, 1), (1, 0), (1, -1)):
        moved, under = (np.roll(image, (-down, -across), (0, 1)).astype(int) for image in (grey, mask))
        by_hand.append(abs(grey - moved)[(mask & under) > 0].mean())
    means[int(mask.sum())] = told["GLDS_Mean"], np.mean(by_hand), told["GLDS_Entopy"]
    mean = told["GLDS_Mean"]
    print(f"{mask.sum()} px: GLDS_Mean {mean:.0f}, over the area {mean / mask.sum():.1f}, by hand {np.mean(by_hand):.1f}; "
          f"GLDS_Entopy {told['GLDS_Entopy']:.0f}")
as_seen = all(np.isclose(said, root) for said, _, root, _ in ratios.values()) and ratios["mottled"][1] > 10 * ratios["even"][1]
as_seen &= abs(ratios["even"][0] - ratios["mottled"][0]) < 0.01 and all(np.isclose(part, 256 / 255) for *_, part in ratios.values())
as_seen &= all(np.isclose(said / area, hand, rtol=0.1) and entropy < 0 for area, (said, hand, entropy) in means.items())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore means.py

#!/usr/bin/env bash
# pyfeats: zones and runs of grey in a nucleus (glszm_features, glrlm_features), and the mask that is given with them.
#
# Expected: both describe the pixels under the mask ("1 if pixels belongs to ROI, 0 else"): what is around the nucleus changes
# nothing. The matrix of zones has one entry for each connected zone of one grey value, at its size.
# Seen (pyfeats 1.0.1, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): glrlm_features never looks at its mask. With white around
# the same nucleus its Long Run Emphasis is 45.7, with noise 1.2; of its pixels alone it is 1.8. glszm adds, for each grey value
# from 0 to 254, all pixels that are not of that value as one more zone, also where the value does not occur. An image of 32 x 32
# in two halves, 2 zones, gets 257, of which 253 are as large as the image: its Large Zone Emphasis is 1,038,369 instead of
# 262,144. That of noise, whose zones have 1 or 2 pixels, is 209,472 instead of 1.0. A zone of the value 255 is left out. Nothing
# is said about it.
# What follows: with zeros around the nucleus the runs are those under the mask, as runs of 0 are dropped. For zones take
# pyradiomics, or count them with skimage.measure.label.
# Only the modules of these features are loaded.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
env/bin/pip install --quiet --no-deps "pyfeats==1.0.1"
cat > zones.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np
from skimage.measure import label

for name in ("pyfeats", "pyfeats.textural"):  # without what their __init__ imports besides (mahotas, OpenCV)
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("pyfeats").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
from pyfeats.textural.glrlm import glrlm_features
from pyfeats.textural.glszm import glszm, glszm_features

print(*(f"{name} {version(name)}" for name in ("pyfeats", "scikit-image", "numpy")))
rng = np.random.default_rng(0)
y, x = np.mgrid[:32, :32]
mask = (((y - 16) / 8) ** 2 + ((x - 16) / 11) ** 2 <= 1).astype(np.uint8)
grey = np.repeat(rng.integers(60, 120, (32, 16)), 2, axis=1).astype(np.uint8)
noise = rng.integers(200, 250, grey.shape, dtype=np.uint8)
runs = {}
for name, around in {"white": np.full_like(grey, 240), "noise": noise, "zeros": np.zeros_like(grey)}.items():
    values, names = glrlm_features(np.where(mask, grey, around), mask)
    assert names[1] == "GLRLM_LongRunEmphasis"
    runs[name] = values[1]


def long_runs(lines):
    """The mean of the squared lengths of runs in these lines, where the mask is."""
    lengths = []
    for values, inside in lines:
        ends = np.flatnonzero(np.diff(np.where(inside, values.astype(int), -1), prepend=-2, append=-2))
        lengths += [end - start for start, end in zip(ends, ends[1:]) if inside[start]]
    return np.mean(np.square(lengths))


directions = [zip(grey, mask), zip(grey.T, mask.T)]
for turned, under in ((grey, mask), (grey[::-1], mask[::-1])):
    directions.append([(turned.diagonal(at), under.diagonal(at)) for at in range(-31, 32)])
by_hand = np.mean([long_runs(lines) for lines in directions])
print("Long Run Emphasis by what is around:", {name: round(float(value), 2) for name, value in runs.items()}, f"by hand {by_hand:.2f}")

halves = np.full((32, 32), 120, dtype=np.uint8)
halves[:16] = 60
found = {}
grainy = rng.integers(50, 250, halves.shape, dtype=np.uint8)
for name, image in (("two halves", halves), ("noise", grainy), ("255", np.full_like(halves, 255))):
    whole = np.ones_like(image)
    sizes = np.bincount(label(image.astype(int) + 1, connectivity=1).ravel())[1:]
    matrix = glszm(image, whole)
    found[name] = int(matrix.sum()), len(sizes), int(matrix[:, image.size].sum())
    found[name] += float(glszm_features(image, whole)[0][1]), float((sizes.astype(float) ** 2).mean())
    print("{}: {} zones for {}, {} as large as the image; Large Zone Emphasis {:.0f} for {:.1f}".format(name, *found[name]))
as_seen = bool(np.isclose(runs["zeros"], by_hand) and runs["white"] > 20 * by_hand and runs["noise"] < 0.8 * by_hand)
as_seen &= found["two halves"][:3] == (257, 2, 253) and found["255"][:3] == (255, 1, 255)
as_seen &= found["two halves"][3] > 1_000_000 and found["noise"][3] > 100_000 > 1000 > found["noise"][4]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore zones.py

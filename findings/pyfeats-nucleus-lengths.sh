#!/usr/bin/env bash
# pyfeats.shape_parameters: how long and wide a nucleus is, and its area in mm2.
#
# Expected: SHAPE_XcoordMax and SHAPE_YcoordMax, which the documentation calls the coordinates' max length, are the rows and
# columns that the nucleus spans, wherever it lies in its image. With pixels_per_mm2, the "density of image", 1,000 pixels at
# 4,000,000 pixels per mm2 (0.5 um per pixel) are 0.00025 mm2.
# Seen (pyfeats 1.0.1, numpy 2.4.6, scipy 1.17.1, CPython 3.11): a nucleus of 21 rows and 41 columns in the middle of its image has
# the lengths 0 and 0. So has each of 50 that touch neither the upper nor the left border: the search takes it that the nucleus
# begins at row and column 0, and ends before the first that has none of it. Cut out along its own box it has 22 and 42, one too
# much. The area is divided by the density's square, and the lengths by the density, as if that were pixels per mm: 629 pixels at
# 4,000,000 per mm2 (0.000157 mm2) have an area of 3.9e-11, and an outline of 88 pixels (0.044 mm) has 2.2e-05. Nothing is said
# about it.
# What follows: take lengths from skimage.measure.regionprops, and give pixels per mm as pixels_per_mm2.
# Only the modules of these features are loaded.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1"
env/bin/pip install --quiet --no-deps "pyfeats==1.0.1"
cat > lengths.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np
from scipy.ndimage import binary_erosion

for name in ("pyfeats", "pyfeats.textural"):  # without what their __init__ imports besides (mahotas, OpenCV)
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("pyfeats").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
from pyfeats.textural.shape_parameters import shape_parameters


def told(mask, density=1):
    """What pyfeats says of a mask: rows, columns, area and outline."""
    outline = mask & ~binary_erosion(mask, border_value=1)
    values, names = shape_parameters(np.zeros(mask.shape), mask, outline, density)
    assert names[:4] == ["SHAPE_XcoordMax", "SHAPE_YcoordMax", "SHAPE_area", "SHAPE_perimeter"]
    return values[:4]


def nucleus(row, column, height=10, width=20, shape=(60, 80)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - row) / height) ** 2 + ((x - column) / width) ** 2 <= 1


def spans(mask):
    return [int(mask.any(axis=axis).sum()) for axis in (1, 0)]


print(*(f"{name} {version(name)}" for name in ("pyfeats", "numpy")))
masks = {"in the middle": nucleus(30, 40), "along its box": nucleus(30, 40)[20:41, 20:61]}
lengths = {}
for name, mask in masks.items():
    lengths[name] = told(mask)[:2].tolist()
    print(f"{name}: spans {spans(mask)}, lengths {lengths[name]}")
rng = np.random.default_rng(0)
others = [nucleus(*rng.uniform(25, 35, 2), *rng.uniform(4, 20, 2)) for _ in range(50)]
zero = sum(told(mask)[:2].tolist() == [0, 0] for mask in others)
print(f"{zero} of 50 nuclei have the lengths 0 and 0; they span {min(min(spans(mask)) for mask in others)} px and more")
plain, dense = told(masks["in the middle"]), told(masks["in the middle"], 4_000_000)
print(f"area {plain[2]:.0f} px, at 4,000,000 px per mm2 {dense[2]:.3g} for {plain[2] / 4e6:.3g} mm2")
print(f"outline {plain[3]:.0f} px, at 4,000,000 px per mm2 {dense[3]:.3g} for {plain[3] / 2000:.3g} mm")
as_seen = spans(masks["in the middle"]) == [21, 41] and lengths["in the middle"] == [0, 0] and zero == 50
as_seen &= lengths["along its box"] == [22, 42]
as_seen &= bool(np.isclose(dense[2], plain[2] / 4e6**2) and np.isclose(dense[3], plain[3] / 4e6))
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore lengths.py

#!/usr/bin/env bash
# imc's quantify_cell_intensity (imaging mass cytometry) and a marker that few cells have; and quantify_cell_morphology's X and Y.
#
# Expected: "the intensity of each channel in each cell", the mean by default; the stack of channels is as it was. X_centroid is the
# column and Y_centroid the row of a cell's centre.
# Seen (imc 0.1.4, scikit-image 0.26.0, pandas 3.1.1, numpy 2.4.6, CPython 3.11): 126 cells in 200 x 300 px, of which three have 100 of
# a rare marker and all have 10 of another. All 126 have 10 of the common one and 0 of the rare one. Each channel is cut at the 98th
# percentile of all of its pixels (equalize=True, the default, of which the documentation says nothing), which is 0 for what less than
# 2 % of the pixels have, and it is cut in the caller's own stack: its marker is gone, and measured again with equalize=False it is 0
# too. Of a fresh stack it is 100, and with 20 such cells, 3.8 % of the pixels, it is 100 with the default too. Centres have row and
# column exchanged: X_centroid is the row, up to 180, and Y_centroid the column, up to 280. Nothing is said about either.
# What follows: equalize=False; take X_centroid for y.
# Installed without its dependencies: the module of the measurements is loaded without the package's classes.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scikit-image==0.26.0" "pandas==3.1.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "imc==0.1.4"
cat > rare.py <<'PY'
import pathlib
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import numpy as np

for name in ("imc", "imc.ops"):  # the packages without what their __init__ brings in
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("imc").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
for name in ("imc.data_models", "imc.data_models.roi", "imc.utils", "imc.types", "parmap"):  # files, which nothing here calls
    sys.modules[name] = MagicMock()
sys.modules["imc.types"].Path = pathlib.Path
from imc.ops.quant import quantify_cell_intensity, quantify_cell_morphology

print(*(f"{name} {version(name)}" for name in ("imc", "scikit-image", "pandas", "numpy")))
y, x = np.mgrid[:200, :300]
cells = np.zeros((200, 300), int)
for row in range(20, 200, 20):
    for column in range(20, 300, 20):
        cells[(y - row) ** 2 + (x - column) ** 2 <= 36] = cells.max() + 1
as_seen = cells.max() == 126
for rare in (3, 6, 20):
    fresh = np.stack([np.where(cells > 0, 10.0, 0), np.where((cells > 0) & (cells <= rare), 100.0, 0)])
    stack = fresh.copy()
    said = quantify_cell_intensity(stack, cells)
    again = quantify_cell_intensity(stack, cells, equalize=False)
    right = quantify_cell_intensity(fresh, cells, equalize=False)
    share = (fresh[1] > 0).mean()
    print(f"{rare} cells of a rare marker, {share:.1%} of the pixels: largest mean {said[1].max()}, of the other {said[0].max()};",
          f"then with equalize=False {again[1].max()}; of a fresh stack {right[1].max()}; the stack's maximum now {stack[1].max()}")
    expected = 0 if share < 0.02 else 100
    as_seen &= bool(said[1].max() == again[1].max() == stack[1].max() == expected and (right[1] == 100).sum() == rare)
    as_seen &= bool((said[0] == 10).all())
shapes = quantify_cell_morphology(cells)
print(f"centres in {cells.shape[1]} columns and {cells.shape[0]} rows: X_centroid up to {shapes.X_centroid.max()},",
      f"Y_centroid up to {shapes.Y_centroid.max()}")
as_seen &= shapes.X_centroid.max() == 180 and shapes.Y_centroid.max() == 280
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore rare.py

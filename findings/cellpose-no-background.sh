#!/usr/bin/env bash
# cellpose's average_precision, outlines_list and diameters of whole cells that fill the image.
#
# Expected: average_precision is TP / (TP + FP + FN), as its documentation says: 1 for an answer that is right in every pixel, and
# never more. outlines_list has an outline, and diameters a diameter, of each cell.
# Seen (cellpose 4.2.1.1, scipy 1.17.1, numpy 2.4.6, CPython 3.11): all is right while one pixel is background. In a crop from the
# middle of an epithelium, 30 cells without a gap between them, the right answer has a precision of 1.071 at all thresholds, with -1
# false positives and -1 missed cells. An answer that lacks six cells has 0.828 for 0.8. One cell that fills the crop, found in full,
# has nan. outlines_list and diameters leave out the cell of the lowest number: 29 outlines of 30. The lowest number in the image is
# taken for the background, whatever it is. Nothing is said about it but a warning of a division, where there is nan.
# What follows: a margin of background around both masks (numpy.pad) before any of these.
# Installed without its dependencies: the modules need no torch, and are loaded without what the package brings in.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "opencv-python-headless==5.0.0.93" "fastremap==1.21.0" "fill-voids==2.1.2" \
  "scipy==1.17.1" "numpy==2.4.6" "tqdm==4.70.1"
env/bin/pip install --quiet --no-deps "cellpose==4.2.1.1"
cat > full.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np
from scipy.spatial import cKDTree

package = types.ModuleType("cellpose")
package.__path__ = [str(distribution("cellpose").locate_file("cellpose"))]
sys.modules["cellpose"] = package
from cellpose import metrics, utils


def said(true, found):
    """The precision at three thresholds, and TP, FP and FN at 0.5."""
    precision, tp, fp, fn = metrics.average_precision(true, found)
    return precision.tolist(), [int(count[0]) for count in (tp, fp, fn)]


print(*(f"{name} {version(name)}" for name in ("cellpose", "scipy", "numpy")))
rng = np.random.default_rng(0)
y, x = np.mgrid[:200, :200]
epithelium = 1 + cKDTree(rng.random((30, 2)) * 200).query(np.stack([y, x], axis=-1))[1]
epithelium = np.unique(epithelium, return_inverse=True)[1].reshape(200, 200) + 1
lacking = np.where(epithelium > 24, 0, epithelium)
one_cell = np.ones((40, 40), int)
answers = {}
for name, true, found in (("right", epithelium, epithelium), ("lacks six", epithelium, lacking), ("one cell", one_cell, one_cell)):
    answers[name] = said(true, found)
    answers[name, "padded"] = said(np.pad(true, 1), np.pad(found, 1))
    print(f"{name}: precision, [TP, FP, FN]", *answers[name], "with a margin", *answers[name, "padded"])
lengths = {}
for margin in (0, 1):
    padded = np.pad(epithelium, margin)
    lengths[margin] = len(utils.outlines_list(padded, multiprocessing=False)), len(utils.diameters(padded)[1])
print("outlines and diameters of 30 cells:", lengths[0], "with a margin", lengths[1])
as_seen = epithelium.max() == 30 and answers["right"][1] == [30, -1, -1] and min(answers["right"][0]) > 1.05
as_seen &= answers["right", "padded"] == ([1, 1, 1], [30, 0, 0]) and answers["one cell", "padded"] == ([1, 1, 1], [1, 0, 0])
as_seen &= answers["lacks six"][1] == [24, 0, 5] and answers["lacks six", "padded"][1] == [24, 0, 6]
as_seen &= bool(np.isnan(answers["one cell"][0]).all()) and lengths == {0: (29, 29), 1: (30, 30)}
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore full.py

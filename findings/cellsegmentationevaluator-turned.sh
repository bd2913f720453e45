#!/usr/bin/env bash
# CellSegmentationEvaluator's cell_type, cell_uniformity and foreground_uniformity: types of cells, and the quality of masks, of an
# image and of the same image turned.
#
# Expected: each channel is standardised, so that a dim stain counts as much as a bright one, and what becomes of a cell does not
# depend on which side of the image is up: cells that have a marker and those that have not are two types.
# Seen (CellSegmentationEvaluator 1.5.19, scikit-learn 1.9.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): of 144 cells, half of which
# have a marker, those in the upper half of an image, the two types of cell_type are those with it and those without. Of the same
# image and mask turned by 90 degrees, with the marker in the left half, 78 of 144 are of the right type, about as many as by chance.
# A channel is handed over to scikit-learn's StandardScaler as a table, whose columns it standardises: each column of pixels has a
# mean of 0 and a deviation of 1 of its own. Where all cells of a column have the marker, none has it any more.
# The measures that make up the quality score change with it: the silhouette is 0.63 and 0.53, the variation within types 0.05 and
# 0.12, the share of the first component 0.96 and 0.83. Nothing is said.
# What follows: compare masks of one image, and no images with one another; or put in place of functions.StandardScaler one that
# takes a channel as a whole.
# Installed without its dependencies: functions.py is loaded alone, without the image reader, which it imports.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scikit-learn==1.9.0" "scikit-image==0.26.0" "scipy==1.17.1" "pandas==2.3.3" "setuptools==80.9.0" \
    "wheel==0.45.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --no-build-isolation "CellSegmentationEvaluator==1.5.19"
cat > turned.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np

package = types.ModuleType("evaluator")  # the package, without what its other modules need
package.__path__ = [str(distribution("CellSegmentationEvaluator").locate_file("CellSegmentationEvaluator"))]
reader = types.ModuleType("aicsimageio")
reader.AICSImage = None
sys.modules.update({"evaluator": package, "aicsimageio": reader})
functions = import_module("evaluator.functions")

print(*(f"{name} {version(name)}" for name in ("CellSegmentationEvaluator", "scikit-learn", "scipy", "numpy")))
rng = np.random.default_rng(0)
mask = np.zeros((240, 240), int)
image = rng.normal(50, 5, (3, 240, 240))  # three channels
for number in range(144):
    row, column = divmod(number, 12)
    place = slice(20 * row + 3, 20 * row + 17), slice(20 * column + 3, 20 * column + 17)
    mask[place] = number + 1
    image[0][place] += 150  # nuclei
    image[2][place] += rng.uniform(0, 40)
    if row < 6:
        image[1][place] += 200  # the marker, in the upper half
with_marker = np.arange(144) < 72


def measures(labels, channels):
    """How many cells are of the right type, if there are two, and measures of the mask."""
    types_of_cells = functions.cell_type(labels, channels)
    order = np.unique(labels[labels > 0]) - 1
    right = int((types_of_cells[1] == with_marker[order]).sum())
    variation, fraction, silhouette = functions.cell_uniformity(labels, channels, types_of_cells)
    around = np.ones(labels.shape, int)
    _, outside = functions.foreground_uniformity(around, np.sign(labels), channels)
    return max(right, 144 - right), *(round(float(np.average(one)), 2) for one in (variation, fraction, silhouette, outside))


upright = measures(mask, image)
turned = measures(np.rot90(mask).copy(), np.rot90(image, axes=(1, 2)).copy())
names = ("of the right type", "variation", "first component", "silhouette", "first component outside")
for name, seen in (("the image", upright), ("turned by 90 degrees", turned)):
    print(f"{name}:", dict(zip(names, seen)))
sys.exit(0 if upright[0] == 144 and turned[0] < 100 and upright[3] != turned[3] else 1)
PY
env/bin/python -W ignore turned.py

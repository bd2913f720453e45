#!/usr/bin/env bash
# celldetection: nuclei that are filtered by their area (filter_instances_), that were found twice, and fields without any.
#
# Expected: filter_instances_ sets nuclei that are too small or too large, or at the border, to -1, and leaves the background 0.
# resolve_label_channels makes of a nucleus that was found twice one. LabelMatcher(zero_division=1) gives 1 for a field that has
# no nucleus and in which none was found: "if there are no true positives and no false positives, precision will return the value
# of zero_division", and "the default 'warn' will show a warning".
# Seen (celldetection 0.4.9, numpy 2.2.6, scikit-image 0.26.0, opencv-python-headless 5.0.0.93, CPython 3.11): with a nucleus at the
# border and a largest area of 500 px the whole background of 60 x 60 px is -1 too: it is larger than 500 px, and what is skipped as
# the background is the lowest value of the mask, which is -1 by then. Where cells fill the image the cell with the lowest number is
# skipped likewise: one of 4 px stays where 20 are asked for.
# Of a nucleus of 233 px that was found twice, with one and the same contour, nothing is left; of two that are 1 px apart, all is.
# precision, recall and f1 are 0 whatever zero_division is, without a warning, as something is added before the division.
# Nothing is said about any.
# What follows: filter for max_area first, with partials=False; drop equal contours; leave empty fields out of averages by hand.
# Installed without its dependencies: the modules are loaded alone, and torch, which these functions do not use, is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.2.6" "scikit-image==0.26.0" "opencv-python-headless==5.0.0.93" "pandas==2.3.3"
env/bin/pip install --quiet --no-deps "celldetection==0.4.9"
cat > filtered.py <<'PY'
import sys
import types
import warnings
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np

for name in ("celldetection", "celldetection.data", "celldetection.util"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("celldetection").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
torch, util = types.ModuleType("torch"), types.ModuleType("celldetection.util.util")
torch.Tensor, torch.float32, util.get_device, util.asnumpy = object, None, None, None
sys.modules |= {"torch": torch, "celldetection.util.util": util}
filter_instances_ = import_module("celldetection.data.segmentation").filter_instances_
contours = import_module("celldetection.data.cpn")
LabelMatcher = import_module("celldetection.data.instance_eval").LabelMatcher


def filtered(mask, **options):
    """How many px of each value are left."""
    mask = mask.copy()
    filter_instances_(mask, **options)
    return {int(value): int(count) for value, count in zip(*np.unique(mask, return_counts=True))}


def resolved(apart):
    """Px of a nucleus that was found twice."""
    turn = np.linspace(0, 2 * np.pi, 100)[:-1]
    circle = np.stack([20 + 8 * np.cos(turn), 20 + 8 * np.sin(turn)], axis=1)
    labels = contours.contours2labels([circle, circle + [apart, 0]], (60, 60))
    return int((contours.resolve_label_channels(labels) > 0).sum()), int((labels > 0).any(axis=2).sum())


print(*(f"{name} {version(name)}" for name in ("celldetection", "numpy", "scikit-image", "opencv-python-headless")))
mask = np.zeros((60, 60, 1), np.int32)
mask[:8, 20:30], mask[20:30, 20:30] = 1, 2
seen = {(partials, area): filtered(mask, partials=partials, max_area=area) for partials in (True, False) for area in (None, 500)}
print("a nucleus of 80 px at the border, one of 100 px; (partials, max_area):", seen)
full = np.full((60, 60, 1), 2, np.int32)
full[10:12, 10:12] = 1
other = np.where(full == 1, 3, full)
filled = filtered(full, partials=False, min_area=20), filtered(other, partials=False, min_area=20)
print("a cell of 4 px with the lowest number, and with another:", *filled)
twice = resolved(0), resolved(1)
print("px that are left of a nucleus that was found twice, of how many, with the same contour and 1 px apart:", *twice)
empty, scores = np.zeros((60, 60), np.int32), {}
with warnings.catch_warnings():
    warnings.simplefilter("error")
    for option in ("warn", 0, 1):
        match = LabelMatcher(empty, empty, iou_thresh=0.5, zero_division=option)
        scores[option] = float(match.precision), float(match.recall), float(match.f1)
print("precision, recall and f1 of an empty field, by zero_division:", scores)
as_seen = seen[True, None] == {-1: 80, 0: 3420, 1: 100} and seen[True, 500] == {-1: 3500, 1: 100}
as_seen &= seen[False, 500] == {0: 3420, 1: 80, 2: 100} and filled[0] == {1: 4, 2: 3596} and filled[1] == {-1: 4, 1: 3596}
as_seen &= twice[0][0] == 0 < twice[0][1] and twice[1][0] == twice[1][1] > 200 and set(scores.values()) == {(0, 0, 0)}
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore filtered.py

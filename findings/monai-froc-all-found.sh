#!/usr/bin/env bash
# MONAI's FROC (compute_froc_curve_data, LesionFROC): a detector that finds every metastasis.
#
# Expected: the curve has a point for each probability at which something is detected. A detector that hits all lesions and nothing
# else has sensitivity 1 at no false positives, and a FROC of 1. One that misses a lesion has less.
# Seen (monai 1.6.1, torch 2.13.0, numpy 2.4.6, CPython 3.11): three lesions, one detection in each, no false positives: with
# probability 0.9 for all of them the FROC is 0, with 0.9, 0.8 and 0.7 it is 0.667, and with one lesion alone it is always 0. A
# detector that has only the first two of 0.9 and 0.8 gets the same 0.667 as the one that has all. A false positive of 0.1 besides
# raises 0 and 0.667 to 1. The lowest probability of all is left out of the thresholds: it is meant to be the 0 of lesions that were
# missed, but where none is missed, and no false positive is lower, it is that of a lesion. Nothing is said about it.
# What follows: append a false positive of probability 0 to fp_probs before the curve.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "numpy==2.4.6"
cat > froc.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from monai.metrics import compute_fp_tp_probs, compute_froc_curve_data, compute_froc_score

lesions = np.zeros((100, 100), int)
places = [(15, 15), (55, 55), (85, 15), (5, 95)]  # the middle of each lesion, and a place of none
for number, (row, column) in enumerate(places[:3], start=1):
    lesions[row - 5 : row + 5, column - 5 : column + 5] = number


def froc(probabilities, mask=lesions, extra=()):
    """The FROC of detections with such probabilities at the places, one image; extra: false positives that are added by hand."""
    rows, columns = np.array(places[: len(probabilities)]).T
    wrong, right, count = compute_fp_tp_probs(np.array(probabilities), rows, columns, mask)
    curve = compute_froc_curve_data(np.append(wrong, extra), right, count, 1)
    return round(float(compute_froc_score(*curve)), 3)


print(*(f"{name} {version(name)}" for name in ("monai", "torch", "numpy")))
alone = np.where(lesions == 1, 1, 0)
found = {"all three, 0.9": froc([0.9, 0.9, 0.9]), "all three, 0.9 0.8 0.7": froc([0.9, 0.8, 0.7]), "two, 0.9 0.8": froc([0.9, 0.8]),
         "one lesion alone, 0.9": froc([0.9], alone), "all three, 0.9, and a false positive": froc([0.9, 0.9, 0.9, 0.1]),
         "all three, 0.9 0.8 0.7, and a false positive": froc([0.9, 0.8, 0.7, 0.1])}
for what, score in found.items():
    print(f"{what}: FROC {score}")
by_hand = [froc([0.9, 0.9, 0.9], extra=[0.0]), froc([0.9, 0.8, 0.7], extra=[0.0]), froc([0.9, 0.8], extra=[0.0])]
print("with a false positive of 0 added: all three", *by_hand[:2], "two", by_hand[2])
sys.exit(0 if list(found.values()) == [0, 0.667, 0.667, 0, 1, 1] and by_hand == [1, 1, 0.667] else 1)
PY
env/bin/python -W ignore froc.py

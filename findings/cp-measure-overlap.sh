#!/usr/bin/env bash
# cp_measure's measureobjectoverlap (CellProfiler's MeasureObjectOverlap): precision, recall and rates of pixels of nuclei.
#
# Expected: as its documentation has them: precision is TP / (TP + FP), recall and the true positive rate are both TP / (TP + FN), and
# the false positive rate is FP "/ total number of actual negative pixels". What is found and is no nucleus is false positive, and a
# nucleus that was not found is false negative.
# Seen (cp-measure 0.3.0, centrosome 1.3.4, scipy 1.17.1, numpy 2.4.6, CPython 3.11), of 16 nuclei of 20 x 20 px: found 40 px wide,
# with four times their area, they have a precision of 1 and a false positive rate of 0 (0.25 and 0.12 by hand), and an F-factor of
# 1.
# With 16 invented ones besides, precision and F-factor are 1 and the false negative rate is 0.50, where precision is 0.50 and none
# was missed: they count as such. With half of the nuclei found, the recall is 0.50, but the true positive rate 1 and the false
# negative rate 0. False positive are only pixels on another nucleus, and the rates are of what was found, not of what is there.
# Nothing is said about it.
# What follows: count the pixels of mask > 0 on both sides by hand.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "cp-measure==0.3.0" "centrosome==1.3.4" "scipy==1.17.1" "numpy==2.4.6"
cat > overlap.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from cp_measure.multimask.measureobjectoverlap import measureobjectoverlap


def field(size, places):
    """Squares of `size` px around places of a grid of 8 x 8, numbered from 1 on."""
    mask = np.zeros((400, 400), np.int32)
    for number, place in enumerate(places, start=1):
        y, x = 50 * (place // 8) + 25, 50 * (place % 8) + 25
        mask[y - size // 2 : y + size // 2, x - size // 2 : x + size // 2] = number
    return mask


def by_hand(true, found):
    both, wrong, missed = ((true > 0) & (found > 0)).sum(), ((true == 0) & (found > 0)).sum(), ((true > 0) & (found == 0)).sum()
    rest = true.size - both - wrong - missed
    values = both / (both + wrong), both / (both + missed), both / (both + missed), missed / (both + missed), wrong / (wrong + rest)
    return [round(float(value), 2) for value in values]


print(*(f"{name} {version(name)}" for name in ("cp-measure", "centrosome", "scipy", "numpy")))
nuclei = list(range(0, 64, 4))
true = field(20, nuclei)
cases = {"all as they are": true, "found 40 px wide": field(40, nuclei), "half of them found": field(20, nuclei[:8]),
         "16 invented besides": field(20, nuclei + [n + 2 for n in nuclei])}
seen = {}
for name, found in cases.items():
    result = measureobjectoverlap(true, found)
    wanted = ("Precision", "Recall", "TruePosRate", "FalseNegRate", "FalsePosRate")
    seen[name] = [round(float(result[f"Overlap_{one}"]), 2) for one in wanted]
    print(f"{name}: {dict(zip(wanted, seen[name]))}, by hand {by_hand(true, found)}, F-factor {result['Overlap_Ffactor']:.2f}")
as_seen = seen["all as they are"] == by_hand(true, true) == [1, 1, 1, 0, 0]
as_seen &= seen["found 40 px wide"] == [1, 1, 1, 0, 0] and by_hand(true, cases["found 40 px wide"])[0] == 0.25
as_seen &= seen["16 invented besides"][0] == 1 and seen["16 invented besides"][3] == 0.5
as_seen &= seen["half of them found"] == [1, 0.5, 1, 0, 0]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore overlap.py

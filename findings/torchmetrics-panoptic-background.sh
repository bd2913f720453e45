#!/usr/bin/env bash
# torchmetrics' PanopticQuality of nuclei, whose background is no class.
#
# Expected: with things={1}, stuffs=set() and unknown categories allowed in the prediction (without that, background in it is
# an error), the background is left out of the mean over classes. Nuclei that overlap half, missed and invented nuclei lower
# the score as PQ says: the sum of IoU / (TP + FP / 2 + FN / 2).
# Seen (torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6, CPython 3.11): of 100 nuclei a prediction has one, a pixel off in both
# directions (IoU 81/119), and one that is not there. PQ, SQ and RQ are 1. What is no class counts as not annotated: pixels where
# either side says background are cut out of the union, and nuclei that lie mostly in the other side's background are no mistakes.
# What follows: declare background as a stuff class, return_per_class=True, and take the nuclei's column: 0.0133, as by hand.
# Without return_per_class the background's own PQ, 0.75 here, goes into the mean: 0.38.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "numpy==2.4.6"
cat > score.py <<'PY'
import sys

import numpy as np
import torch
import torchmetrics
from torchmetrics.detection import PanopticQuality

truth, prediction = np.zeros((2, 200, 200), dtype=np.int64)
for number in range(100):
    y, x = number // 10 * 20 + 2, number % 10 * 20 + 2
    truth[y : y + 10, x : x + 10] = number + 1
prediction[3:13, 3:13] = 1  # the first nucleus, a pixel off
prediction[20:30, 14:18] = 2  # where no nucleus is
by_hand = (81 / 119) / (1 + 1 / 2 + 99 / 2)


def scored(**options) -> np.ndarray:
    """What the metric says of category (1 for nuclei, 0 else) and number of each pixel."""
    both = (torch.tensor(np.stack([labels > 0, labels], -1))[None] for labels in (prediction, truth))
    return PanopticQuality(**options)(*both).numpy()


print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__, "numpy", np.__version__)
every = {"return_sq_and_rq": True, "return_per_class": True}
nuclei_only = scored(things={1}, stuffs=set(), allow_unknown_preds_category=True, **every)
with_background = scored(things={1}, stuffs={0}, return_per_class=True)
mean = scored(things={1}, stuffs={0})
print(f"by hand: PQ {by_hand:.4f}")
print("background is no class: PQ, SQ, RQ", nuclei_only.round(4).tolist())
print("background is a stuff class: PQ of both", with_background.round(4).tolist(), "and their mean", mean.round(4))
try:
    scored(things={1}, stuffs=set())
    refused = False
except ValueError as error:
    refused = str(error).startswith("Unknown categories found")
right = abs(with_background.ravel()[0] - by_hand) < 1e-6 and abs(mean - with_background.mean()) < 1e-6
sys.exit(0 if (nuclei_only == 1).all() and right and refused else 1)
PY
env/bin/python score.py

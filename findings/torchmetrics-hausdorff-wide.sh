#!/usr/bin/env bash
# torchmetrics' HausdorffDistance of masks that are wider than they are high.
#
# Expected: the largest of the distances from the outline of each side to that of the other, whatever the shape of the image. Empty
# columns that are added at the right change nothing.
# Seen (torchmetrics 1.9.0, torch 2.13.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): for square images it is right. Six nuclei that were
# found up to 2 px off have 2.2 px in 96 x 96. With a single empty column more, 96 x 97, they have 20.6, with 32 of them 47.0, and
# with 96 of them 97.0. Of 40 such masks in 96 x 112 all are wrong, 6 to 16 times too large. The map of distances is filled at
# row x height + column, where it takes the width, so that rows overwrite one another. hausdorff_distance is the same. Nothing is said
# about it. An image that is higher than wide is an IndexError instead; that is known (issue 3300), with 10 x 11 as one that works.
# What follows: fill masks up with empty rows until they are square, or take MONAI's compute_hausdorff_distance.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "scipy==1.17.1" "numpy==2.4.6"
cat > wide.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree
from torchmetrics.segmentation import HausdorffDistance


def nuclei(centres, width):
    """A mask of 96 rows with nuclei of 8 px radius."""
    y, x = np.mgrid[:96, :width]
    return np.any([(y - row) ** 2 + (x - column) ** 2 <= 64 for row, column in centres], axis=0)


def by_hand(one, other):
    """The largest distance between outlines."""
    a, b = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (one, other))
    return max(cKDTree(b).query(a)[0].max(), cKDTree(a).query(b)[0].max())


def said(one, other):
    """What torchmetrics says, of the same masks as class numbers."""
    pair = [torch.tensor(mask.astype(int))[None] for mask in (one, other)]
    metric = HausdorffDistance(num_classes=2, input_format="index")
    metric.update(*pair)
    return metric.compute().item()


torch.set_num_threads(1)
print(*(f"{name} {version(name)}" for name in ("torchmetrics", "torch", "scipy", "numpy")))
rng = np.random.default_rng(0)
true = rng.integers(12, 84, (6, 2))
found = true + rng.integers(-2, 3, true.shape)
widths = {}
for width in (96, 97, 128, 192):
    masks = nuclei(found, width), nuclei(true, width)
    widths[width] = said(*masks), by_hand(*masks)
    print(f"96 x {width}: {widths[width][0]:.1f} px, by hand {widths[width][1]:.1f}")
ratios = {}
for width in (96, 112):
    both = []
    for _ in range(40):
        true = np.stack([rng.integers(12, 84, 6), rng.integers(12, width - 12, 6)], axis=1)
        masks = nuclei(true + rng.integers(-3, 4, true.shape), width), nuclei(true, width)
        both.append((said(*masks), by_hand(*masks)))
    both = np.array(both)
    ratios[width] = both[:, 0] / both[:, 1]
    wrong = abs(both[:, 0] - both[:, 1]) > 0.01
    print(f"96 x {width}: {wrong.sum()} of 40 wrong, {ratios[width].min():.1f} to {ratios[width].max():.1f} times what it is")
as_seen = abs(widths[96][0] - widths[96][1]) < 0.01 and all(widths[w][0] > 5 * widths[w][1] for w in (97, 128, 192))
as_seen &= len({round(hand, 3) for _, hand in widths.values()}) == 1
as_seen &= bool(np.allclose(ratios[96], 1) and (abs(ratios[112] - 1) > 0.01).sum() > 30)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore wide.py

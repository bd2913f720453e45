#!/usr/bin/env bash
# tysserand's graphs of cells: build_contacting_parallel (which cells touch) and build_rdn(coords_ref=...) (who is near whom).
#
# Expected: build_contacting_parallel has the pairs that build_contacting has, only faster: its example checks that. With coords_ref
# "pairs will indicate edges from `coords_ref` to `coords`": each lymphocyte and all tumour cells in its radius.
# Seen (tysserand 0.6.0, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): that holds for square images. In one of 600 x 1000 px 1,500
# cells have 2,920 pairs, in build_contacting too, and 1,740 in parallel; the 600 cells on the right have none at all. Upright it is
# the same: the lower 600 have none. Tiles are cut by columns and rows, and taken out by rows and columns: what lies beyond the
# shorter side is in no tile. With 2 cores or 4 it is the same.
# Of 300 lymphocytes that have their nearest tumour cell at 3 px, in the same order as these, none is joined to it: the cell of the
# same number is taken for the cell itself, though it is one of the others. With the lymphocytes moved on by one all are joined.
# Nothing is said about either.
# What follows: build_contacting, or an image that is filled up to a square; scipy.spatial.cKDTree.query_ball_point for two classes.
# Installed without its dependencies: what the module imports and this does not use is stood in for, and dask works without a cluster.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==2.3.3" "scikit-image==0.26.0" "scikit-learn==1.9.0" \
    "opencv-python-headless==5.0.0.93" "dask==2026.1.1"
env/bin/pip install --quiet --no-deps "tysserand==0.6.0"
cat > pairs.py <<'PY'
import os
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
from scipy.spatial import cKDTree

for name in ("matplotlib", "matplotlib.pyplot", "seaborn", "pynndescent", "napari", "dask.distributed"):
    sys.modules[name] = MagicMock()
from tysserand import tysserand  # noqa: E402


def tissue(rows, columns):
    """Cells of 20 x 20 px that touch on all sides."""
    return np.kron(np.arange(1, rows * columns + 1).reshape(rows, columns), np.ones((20, 20), int)).astype(np.int32)


def as_set(pairs):
    return {tuple(sorted(map(int, pair))) for pair in pairs}


def by_hand(mask):
    beside = np.vstack([np.stack([a.ravel(), b.ravel()], 1) for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1]))])
    return as_set(np.unique(beside[beside[:, 0] != beside[:, 1]], axis=0))


print(*(f"{name} {version(name)}" for name in ("tysserand", "scikit-image", "numpy")))
as_seen = True
for name, rows, columns in (("square", 40, 40), ("wide", 30, 50), ("upright", 50, 30)):
    mask = tissue(rows, columns)
    right, single = by_hand(mask), as_set(tysserand.build_contacting(mask))
    for cores in (2, 4):
        os.cpu_count = lambda cores=cores: cores  # the number of tiles depends on it
        parallel = as_set(tysserand.build_contacting_parallel(mask))
        alone = np.setdiff1d(mask, list({number for pair in parallel for number in pair}))
        print(f"{name}, {mask.max()} cells: pairs by hand {len(right)}, build_contacting {len(single)}, in parallel with "
              f"{cores} cores {len(parallel)}, wrong ones {len(parallel - right)}, cells without a pair {len(alone)}")
        lost = {"square": 0, "wide": 600, "upright": 600}[name]
        as_seen &= single == right and parallel <= right and len(alone) == lost and (parallel == right) == (name == "square")
        beyond = mask[:, 600:] if name == "wide" else mask[600:]
        as_seen &= name == "square" or set(alone) == set(beyond.ravel())
tumour = np.stack(np.meshgrid(np.arange(20), np.arange(15)), -1).reshape(-1, 2) * 40.0
lymphocytes = tumour + [3, 0]
for name, order in (("same order", np.arange(300)), ("moved on by one", np.roll(np.arange(300), 1))):
    pairs = tysserand.build_rdn(tumour, r=10, coords_ref=lymphocytes[order])
    right = sum(map(len, cKDTree(tumour).query_ball_point(lymphocytes[order], r=10)))
    print(f"300 lymphocytes, {name}: edges to tumour cells {len(pairs)}, by hand {right}")
    as_seen &= right == 300 and len(pairs) == (0 if name == "same order" else 300)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore pairs.py

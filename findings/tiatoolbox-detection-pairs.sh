#!/usr/bin/env bash
# tiatoolbox's f1_detection (and pair_coordinates): nuclei that were found and are counted as missed.
#
# Expected: a nucleus and a detection nearer to each other than the radius, and far from all others, make a pair. What is missed or
# invented elsewhere in the image does not change that.
# Seen (tiatoolbox 2.1.3, scipy 1.17.1, numpy 2.4.6, CPython 3.11): 400 nuclei on a grid of 40 px, radius 12. All are found, 3 px
# to the right: 400 pairs. The right column of 20 is missed and 20 are invented left of the grid: of 380 pairs none is left, and
# F1 is 0 instead of 0.95. With nuclei at random, a fifth missed and as many invented at random, 0.73 instead of 0.79. The pairing
# is the one with the least sum of distances over all points, however far apart; only then pairs beyond the radius are dropped.
# Shifting a whole row of pairs by one is "cheaper" than one pair across the image.
# What follows: keep only candidates within the radius before the assignment (a sparse matrix, or a large cost for the others).
# Installed without its dependencies: the module of the metrics needs none but numpy and scipy, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scipy==1.17.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "tiatoolbox==2.1.3"
cat > pairs.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import numpy as np
import scipy

path = distribution("tiatoolbox").locate_file("tiatoolbox/utils/metrics.py")
spec = importlib.util.spec_from_file_location("metrics", path)
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)


def score(truth, detected, sure):
    """Pairs, F1, and what F1 is with that many pairs within the radius, which are sure."""
    pairs = len(metrics.pair_coordinates(truth, detected, 12)[0])
    return pairs, sure, metrics.f1_detection(truth, detected, 12), 2 * sure / (len(truth) + len(detected))


print("tiatoolbox", version("tiatoolbox"), "scipy", scipy.__version__, "numpy", np.__version__)
grid = np.stack(np.meshgrid(np.arange(20) * 40.0, np.arange(20) * 40.0), axis=-1).reshape(-1, 2)
all_found = grid + (3, 0)
shifted = np.concatenate([all_found[grid[:, 0] < 760], all_found[grid[:, 0] == 0] - (200, 0)])
random = np.random.default_rng(0)
nuclei = random.uniform(0, 1000, (500, 2))
found = random.random(500) >= 0.2
near = nuclei[found] + random.uniform(-3, 3, (found.sum(), 2))
invented = np.concatenate([near, random.uniform(0, 1000, (100, 2))])
rows = {
    "all found": score(grid, all_found, 400),
    "a column missed, one invented": score(grid, shifted, 380),
    "at random": score(nuclei, invented, int(found.sum())),
}
for name, (pairs, sure, f1, right) in rows.items():
    print(f"{name}: {pairs} pairs, {sure} are there; F1 {f1:.2f}, {right:.2f} by those")
whole, column, scattered = rows.values()
sys.exit(0 if whole[0] == 400 and column[0] == 0 and column[2] == 0 and scattered[2] < scattered[3] - 0.03 else 1)
PY
env/bin/python pairs.py

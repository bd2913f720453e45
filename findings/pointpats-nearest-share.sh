#!/usr/bin/env bash
# pointpats' Ripley G: what share of nuclei has another one within 20 um?
#
# Expected: G at 20 um is the share of all nuclei whose nearest neighbour is not farther than 20 um, whatever the largest distance is
# that is asked for. It is the distribution of nearest-neighbour distances, as the documentation says.
# Seen (pointpats 2.5.5, scipy 1.17.1, numpy 2.2.6, CPython 3.11; 2.6.0 counts in the same way): the last value is 1 for any nuclei.
# At random, 500 per mm2, 49 % have a neighbour within 20 um and 15 % within 10: g(support=(20,)) and g(support=(10,)) both end at
# 1. Of 400 on a grid of 40 um, of which two were moved together, 0.5 % have: G is 1 from 5 um on. Neighbours beyond the last
# distance are left out of the whole. g_test does so too: at 10 um that grid is above all simulations, which means clustered, and
# it is below all by hand; at 20 um, where all are 1, p is 0.
# What follows: let the support end beyond the largest nearest-neighbour distance, as it does when none is given.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "pointpats==2.5.5" "scipy==1.17.1" "numpy==2.2.6" "pandas==2.3.3"
cat > nearest.py <<'PY'
import sys

import numpy as np
import pointpats
import scipy
from scipy.spatial import cKDTree


def share(points, distance):
    """Of all points, how many have another one within a distance; counted one by one."""
    return (cKDTree(points).query(points, k=2)[0][:, 1] <= distance).mean()


random = np.random.default_rng(0)
scattered = random.uniform(0, 1000, (500, 2))
grid = np.stack(np.meshgrid(np.arange(20) * 40.0, np.arange(20) * 40.0), axis=-1).reshape(-1, 2)
grid[1] = grid[0] + (4, 0)
print("pointpats", pointpats.__version__, "scipy", scipy.__version__, "numpy", np.__version__)
as_seen = True
for name, points, distance in (("at random", scattered, 10), ("at random", scattered, 20), ("grid", grid, 20)):
    by_hand, found = share(points, distance), pointpats.g(points, support=(distance,))[1][-1]
    print(f"{name}: share with a neighbour within {distance} um {by_hand:.3f}; G {found:.3f}")
    as_seen &= bool(by_hand < 0.6 and found == 1)
steps = np.array([0, 5, 10, 15, 20.0])
farther = np.append(steps, 1000.0)
found = pointpats.g(scattered, support=farther)[1][1:-1]
as_seen &= np.allclose(found, [share(scattered, distance) for distance in steps[1:]])
print("at random, support up to 1000 um:", found.round(3).tolist(), "as by hand")
test = pointpats.g_test(grid, support=steps, n_simulations=99, keep_simulations=True, n_jobs=1)
at_10, at_20 = test.simulations[:, 2], test.simulations[:, 4]
by_hand = [share(random.uniform(0, 760, (400, 2)), 10) for _ in range(99)]
print(f"grid, 10 um: G {test.statistic[2]:.3f}, of simulations {at_10.min():.3f} to {at_10.max():.3f}; ", end="")
print(f"by hand {share(grid, 10):.3f}, of simulations {min(by_hand):.3f} to {max(by_hand):.3f}")
print(f"grid, 20 um: G {test.statistic[4]:.3f}, of simulations {at_20.min():.3f} to {at_20.max():.3f}, p {test.pvalue[4]}")
as_seen &= bool(test.statistic[2] > at_10.max() and share(grid, 10) < min(by_hand))
as_seen &= bool((at_20 == 1).all() and test.statistic[4] == 1 and test.pvalue[4] == 0)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore nearest.py

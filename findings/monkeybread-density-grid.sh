#!/usr/bin/env bash
# monkeybread.calc.cell_density: how far its kernel reaches, and the density at a cell that is alone.
#
# Expected: bandwidth is that of the kernel, exp(-(distance / bandwidth)^2) as the source has it, in the unit of the coordinates. The
# grid of approx=True, the default, brings an error that vanishes when it is finer (resolution). Without the grid, the density
# of lymphocytes at a lymphocyte with no other nearby is more than where there is none at all, for it is one itself.
# Seen (monkeybread 1.0.3, anndata 0.12.19, scikit-learn 1.9.1, scipy 1.17.1, pandas 2.3.3, numpy 2.4.6, CPython 3.11): 3,000 cells in
# 1000 x 1000 um, those within 60 um of a place are lymphocytes. Their density 100 um away from it, with bandwidth=50, is 0.44
# in a grid of 100 x 100, where it is 0.16 by hand and 0.17 without the grid; with bandwidth=100 0.78, 0.48 and 0.50. A finer grid
# comes to what double the bandwidth is by hand (0.48 and 0.80). The middles of the squares are put at half of their distance from
# the border, so that all distances are halved. Without the grid a cell does not count itself: of two lymphocytes side by side, one
# alone and a tumour cell 400 um off, the last two both have 0, where the one alone has 0.51 by hand. Nothing is said about either.
# What follows: give half the bandwidth and a resolution of 10 or more, or take the kernel sum from a k-d tree.
# Installed without its dependencies: the module of the density needs anndata and scikit-learn, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "anndata==0.12.19" "scikit-learn==1.9.1" "scipy==1.17.1" "pandas==2.3.3" "numpy==2.4.6" "tqdm==4.70.1"
env/bin/pip install --quiet --no-deps "monkeybread==1.0.3"
cat > density.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.spatial.distance import cdist

path = distribution("monkeybread").locate_file("monkeybread/calc/_cell_density.py")
spec = importlib.util.spec_from_file_location("density", path)
density = importlib.util.module_from_spec(spec)
spec.loader.exec_module(density)


def said(places, lymphocytes, **options):
    """What cell_density says of lymphocytes, at each cell."""
    kinds = pd.DataFrame({"kind": pd.Categorical(np.where(lymphocytes, "lymphocyte", "tumour"))}, index=[f"c{n}" for n in range(len(places))])
    table = AnnData(obs=kinds, obsm={"X_spatial": places})
    return table.obs[density.cell_density(table, "kind", "lymphocyte", **options)].to_numpy()


def by_hand(places, lymphocytes, bandwidth):
    """The sum of the kernels around the lymphocytes, from 0 to 1."""
    sums = np.exp(-((cdist(places, places[lymphocytes]) / bandwidth) ** 2)).sum(axis=1)
    return (sums - sums.min()) / (sums.max() - sums.min())


print(*(f"{name} {version(name)}" for name in ("monkeybread", "anndata", "scikit-learn", "scipy", "pandas", "numpy")))
rng = np.random.default_rng(0)
places = rng.random((3000, 2)) * 1000
lymphocytes = np.hypot(*(places - 300).T) < 60
away = np.hypot(*(places - (300, 400)).T).argmin()
as_seen = True
for bandwidth in (50, 100):
    right, twice = by_hand(places, lymphocytes, bandwidth), by_hand(places, lymphocytes, 2 * bandwidth)
    full = said(places, lymphocytes, bandwidth=bandwidth, approx=False, radius_threshold=2000)
    print(f"bandwidth {bandwidth}, 100 um away: by hand {right[away]:.2f}, without the grid {full[away]:.2f}")
    for resolution in (1, 3, 10):
        grid = said(places, lymphocytes, bandwidth=bandwidth, resolution=resolution)
        off, off_twice = abs(grid - right).max(), abs(grid - twice).max()
        print(f"  grid of {10 * resolution}: {grid[away]:.2f}, at most {off:.2f} from that by hand,",
              f"{off_twice:.2f} from that of bandwidth {2 * bandwidth} ({twice[away]:.2f})")
    as_seen &= bool(off > 0.35 and off_twice < 0.08 and abs(full - right).max() < 0.06)
few = np.array([(0, 0), (10, 0), (500, 500), (900, 100)], float)
kinds = np.array([True, True, True, False])
alone = said(few, kinds, bandwidth=50, approx=False), by_hand(few, kinds, 50)
print("two lymphocytes together, one alone, a tumour cell:", alone[0].round(2).tolist(), "by hand", alone[1].round(2).tolist())
as_seen &= bool(alone[0][2] == 0 and alone[1][2] > 0.5)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore density.py

#!/usr/bin/env bash
# ark-analysis' compute_close_cell_num: how many cells of two classes are near one another.
#
# Expected: a matrix of classes by classes "with counts" of the pairs of cells nearer than dist_lim. More cells of a class have more.
# Seen (ark-analysis 0.7.2, xarray 2026.9.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6, CPython 3.11): tumour cells and a fifth as many
# lymphocytes at random places in 800 x 800 um, dist_lim=100. With 1000 tumour cells there are 43,548 pairs among them, as by hand.
# With 2000 it says 45,914 for 176,986, and with 2500 12,952 for 275,096: pairs are counted in 16 bits, and the count begins anew at
# each 65,536. The share of the tumour cells' pairs that are with lymphocytes goes up from 17 % to 81 %, where it is 17 % each time.
# Nothing is said about it.
# What follows: count pairs with scipy's cKDTree.count_neighbors.
# Installed without its dependencies (numpy below 1.24 among them): the module is loaded without what it does not call here.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "xarray==2026.9.0" "scipy==1.17.1" "pandas==3.1.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "ark-analysis==0.7.2"
cat > close.py <<'PY'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import xarray as xr

for name in ("alpineer", "sklearn", "sklearn.metrics", "sklearn.cluster", "statsmodels", "statsmodels.stats",
             "statsmodels.stats.multitest", "tqdm", "tqdm.notebook"):
    sys.modules[name] = MagicMock()  # checks of names, clusters and progress bars, on which the count does not depend
from ark.analysis.spatial_analysis_utils import compute_close_cell_num
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

print(*(f"{name} {version(name)}" for name in ("ark-analysis", "xarray", "scipy", "pandas", "numpy")))
as_seen = True
for count in (1000, 2000, 2500):
    rng = np.random.default_rng(0)
    places = rng.random((count * 6 // 5, 2)) * 800
    kinds = np.where(np.arange(len(places)) < count, 1, 2)
    cells = pd.DataFrame({"label": np.arange(1, len(places) + 1), "cell_meta_cluster": kinds})
    distances = xr.DataArray(cdist(places, places), coords=[cells["label"].to_numpy()] * 2)
    said = compute_close_cell_num(distances, 100, "cluster", current_fov_data=cells, cluster_ids=np.array([1, 2]),
                                  cell_label_col="label", cell_type_col="cell_meta_cluster")[0]
    trees = [cKDTree(places[kinds == kind]) for kind in (1, 2)]
    right = np.array([[one.count_neighbors(other, 100) for other in trees] for one in trees]) - np.diag([tree.n for tree in trees])
    print(f"{count} tumour cells: pairs {said.tolist()}, by hand {right.tolist()};",
          f"with lymphocytes {said[0, 1] / said[0].sum():.2f}, by hand {right[0, 1] / right[0].sum():.2f}")
    as_seen &= bool(np.array_equal(said, right % 65536)) and (count > 1000) == bool((said != right).any())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore close.py

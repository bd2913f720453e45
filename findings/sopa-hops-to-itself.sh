#!/usr/bin/env bash
# sopa.spatial.mean_distance and cells_to_groups with ignore_zeros=True: how far is the next cell of the same class?
#
# Expected: "a cell distance to its own group is not 0, but the distance to the closest other cell of the same group", counted in links
# of the graph of neighbours. A cell that is the only one of its class has no distance to another.
# Seen (sopa 2.2.11, spatialdata 0.7.3, anndata 0.12.19, scipy 1.17.1, numpy 2.4.6, CPython 3.11): it is never more than 2, the way to a
# neighbour and back to the cell itself. Of 1,600 cells a single plasma cell is 2 links from the next one, and so are two mast
# cells in opposite corners, 48 links apart. Of 16 lymphocytes at random the mean distance to the next is 2.00, where it is 5.81
# by hand and 4.96 from tumour cells to them: any rare class is clustered. Of 64 it is 1.75 for 2.53 (2.80 from tumour cells); of 400
# it is right. Distances to other classes are right, as is all without ignore_zeros. Nothing is said about it.
# What follows: take the diagonal from scipy.sparse.csgraph.shortest_path of obsp["spatial_connectivities"], without each cell itself.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "sopa==2.2.11" "spatialdata==0.7.3" "anndata==0.12.19" "scipy==1.17.1" "pandas==2.3.3" "numpy==2.4.6"
cat > hops.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import sopa
from anndata import AnnData
from scipy.sparse.csgraph import shortest_path

print(*(f"{name} {version(name)}" for name in ("sopa", "anndata", "scipy", "pandas", "numpy")))
rng = np.random.default_rng(0)
grid = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), axis=-1).reshape(-1, 2) * 10
places = grid + rng.normal(0, 1, grid.shape)


def graph(kinds):
    """Cells of these kinds with the graph of their neighbours, and the links between each two."""
    table = AnnData(obs=pd.DataFrame({"kind": pd.Categorical(kinds)}, index=[f"c{n}" for n in range(len(kinds))]), obsm={"spatial": places})
    sopa.spatial.spatial_neighbors(table, radius=(0, 25))
    links = shortest_path(table.obsp["spatial_connectivities"], unweighted=True)
    return table, links


kinds = np.full(1600, "tumour", dtype=object)
kinds[820] = "plasma"  # a single one
kinds[[0, 1599]] = "mast"  # in opposite corners
table, links = graph(kinds)
own = sopa.spatial.cells_to_groups(table, "kind", ignore_zeros=True)
np.fill_diagonal(links, np.inf)
single, corners, apart = own["plasma"].iloc[820], own["mast"].iloc[[0, 1599]].tolist(), links[0, 1599]
print("a single plasma cell:", single, "links to the next; two mast cells in the corners:", corners, "by hand", apart)
others = {kind: bool(np.array_equal(own[kind][kinds != kind], links[kinds != kind][:, kinds == kind].min(axis=1))) for kind in own}
print("distances of the other cells are right:", others)

shares = {}
for count in (16, 64, 400):
    kinds = np.full(1600, "tumour", dtype=object)
    kinds[rng.choice(1600, count, replace=False)] = "lymphocyte"
    table, links = graph(kinds)
    np.fill_diagonal(links, np.inf)
    mean = sopa.spatial.mean_distance(table, "kind", ignore_zeros=True)
    chosen = kinds == "lymphocyte"
    right = links[chosen][:, chosen].min(axis=1)
    from_tumour = mean.loc["tumour", "lymphocyte"]
    shares[count] = mean.loc["lymphocyte", "lymphocyte"], right.mean(), from_tumour
    print(f"{count} lymphocytes at random: mean distance to the next one {shares[count][0]:.2f}, by hand {right.mean():.2f};",
          f"from tumour cells {from_tumour:.2f}")
as_seen = single == 2 and corners == [2, 2] and apart == 48 and all(others.values()) and shares[16][0] == 2
as_seen &= bool(shares[16][1] > 5 and shares[16][2] > 4 and shares[64][0] < 0.75 * shares[64][1] and abs(shares[400][0] - shares[400][1]) < 0.01)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore hops.py

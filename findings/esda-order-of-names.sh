#!/usr/bin/env bash
# esda's local statistics of cells that have names: which cell a local join count or a local Geary's c is of, and its p-value.
#
# Expected: the value at place k is that of cell k, as in y, whatever cells are called; "seed: Seed to ensure reproducibility of
# conditional randomizations", and permutations as many as are asked for.
# Seen (esda 2.9.0, libpysal 4.14.1, pandas 2.3.3, numpy 2.4.6, CPython 3.11): Join_Counts_Local and Geary_Local are right for 400
# cells that are numbered 0 to 399 in this order. If they are called cell_0 to cell_399, or have the same numbers in another order,
# the values come in the order of names (cell_0, cell_1, cell_10, cell_100), with Graph and W: of 75 tumour cells with another beside
# them 15 have a count, and so have 60 other cells. p-values compare the value of one cell with permutations of another: of values at
# random Geary_Local has about 130 of 400 with p < 0.05, and 30 in the right order. Geary_Local_MV is wrong with W and right with
# Graph; Moran_Local is right with both. Sums are made by name, and taken in that order.
# Join_Counts_Local(seed=1, permutations=99999) has other p-values each time, of 999 permutations: both are read over; the number
# that counts is the one given to fit. Nothing is said about any.
# What follows: graphs on cells that are numbered from 0 on, in the order of y; permutations in fit.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "esda==2.9.0" "libpysal==4.14.1" "geopandas==1.2.0" "shapely==2.2.0" "pandas==2.3.3" "numpy==2.4.6" \
    "scipy==1.17.1" "scikit-learn==1.9.0"
cat > order.py <<'PY'
import sys
from importlib.metadata import version

import esda
import geopandas
import numpy as np
from libpysal.graph import Graph
from libpysal.weights import KNN
from scipy.spatial import cKDTree

rng = np.random.default_rng(0)
places = rng.random((400, 2)) * 800
tumour = (places[:, 0] < 160).astype(int)
stain, noise = places[:, 0] + rng.normal(0, 40, 400), rng.normal(0, 1, 400)
near = np.zeros((400, 400))
for k, neighbours in enumerate(cKDTree(places).query(places, k=6)[1]):
    near[k, [n for n in neighbours if n != k][:5]] = 1
joins = tumour * (near @ tumour)
z = (stain - stain.mean()) / stain.std()
geary = (near / 5 * (z[:, None] - z) ** 2).sum(1)


def graphs(names):
    table = geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(*places.T), index=names)
    return Graph.build_knn(table, k=5), KNN.from_dataframe(table, k=5, use_index=True)


print(*(f"{name} {version(name)}" for name in ("esda", "libpysal", "pandas", "numpy")))
names = {"0 to 399": list(range(400)), "cell_0 to cell_399": [f"cell_{k}" for k in range(400)],
         "numbers in another order": rng.permutation(400).tolist()}
as_seen = True
for called, index in names.items():
    for kind, graph in zip(("Graph", "W"), graphs(index)):
        found = esda.Join_Counts_Local(connectivity=graph).fit(tumour).LJC
        local = esda.Geary_Local(connectivity=graph, permutations=199, seed=0).fit(stain).localG
        many = esda.Geary_Local_MV(connectivity=graph, permutations=19).fit([stain, stain]).localG
        moran = esda.Moran_Local(stain, graph, permutations=19).Is
        p = esda.Geary_Local(connectivity=graph, permutations=999, seed=0).fit(noise).p_sim
        some = (int((joins > 0).sum()), int(((joins > 0) & (found > 0)).sum()), int(((joins == 0) & (found > 0)).sum()))
        pairs = ((found, joins), (local, geary), (many, geary), (moran, z * (near @ z) / 5 * 399 / 400))
        right = [bool(np.allclose(*pair)) for pair in pairs]
        same = all(np.allclose(np.sort(one), np.sort(other)) for one, other in pairs)
        print(f"{called}, {kind}: join count, Geary, Geary_MV and Moran right: {right}, the right values in some order: {same}; cells "
              f"with joins, those with a count, others with one: {some}; p < 0.05 at random: {(p < 0.05).sum()}")
        as_seen &= same and right == ([True] * 4 if called == "0 to 399" else [False, False, kind == "Graph", True])
        as_seen &= some == (75, 75, 0) if called == "0 to 399" else some[1] < 20 and some[2] > 50
        as_seen &= bool((p < 0.05).sum() < 60 if called == "0 to 399" else (p < 0.05).sum() > 90)
options = {"connectivity": graphs(names["0 to 399"])[0], "seed": 1, "permutations": 99999}
first, second = (esda.Join_Counts_Local(**options).fit(tumour) for _ in range(2))
again, number = np.array_equal(first.p_sim, second.p_sim, equal_nan=True), first.rjoins.shape[1]
print("the same p-values with the same seed:", again, "permutations:", number)
as_seen &= not again and number == 999
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore order.py

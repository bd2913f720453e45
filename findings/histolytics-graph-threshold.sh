#!/usr/bin/env bash
# histolytics: a graph of nuclei with a largest distance (fit_graph), and what is around each nucleus.
#
# Expected: fit_graph(..., threshold=100) joins no nuclei that are farther apart than 100 px, in both of the things that it returns:
# the weights and the table of links. The weights are what the functions of neighbourhoods take. Where all nuclei around
# have the value 0.5, its mean is 0.5, weighted by area or not.
# Seen (histolytics 0.3.0, libpysal 4.14.1, geopandas 1.1.4, numpy 1.26.4, CPython 3.11): the table is cut at the threshold and the weights
# are not, for "delaunay", "knn" and "gabriel"; only "distband" cuts both. Of four tumour nuclei and four lymphocytes 970 px
# away, local_type_counts finds lymphocytes around tumour nuclei, and the farthest neighbour of local_distances is at 970 to 1,000 px.
# The documentation calls the threshold one of distance-based graphs, but its examples of neighbourhoods give it to "delaunay" and use
# the weights. local_character(..., weight_by_area=True) says 0.125 for 0.5: it divides by the sum of the areas and then by the
# number of nuclei once more. Nothing is said about either.
# What follows: use "distband", or make the weights anew from the links of the table; weigh by area by hand.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "histolytics==0.3.0" "libpysal==4.14.1" "geopandas==1.1.4" "shapely==2.2.0" "pandas==2.3.3" "numpy==1.26.4"
cat > around.py <<'PY'
import sys

import geopandas
import histolytics
import libpysal
import numpy as np
import shapely
from histolytics.spatial_agg.local_character import local_character
from histolytics.spatial_agg.local_distances import local_distances
from histolytics.spatial_agg.local_values import local_type_counts
from histolytics.spatial_graph.graph import fit_graph
from histolytics.utils.gdf import set_uid

places = [(50 + far + x, 50 + y) for far in (0, 1000) for x, y in ((0, 0), (30, 0), (0, 30), (30, 30))]
names = ["tumour"] * 4 + ["lymphocyte"] * 4
nuclei = set_uid(geopandas.GeoDataFrame({"class_name": names, "value": 0.5}, geometry=[shapely.Point(p).buffer(6) for p in places]))
print("histolytics", histolytics.__version__, "libpysal", libpysal.__version__, "geopandas", geopandas.__version__, "numpy", np.__version__)
as_seen = True
for method in ("delaunay", "knn", "gabriel", "distband"):
    weights, links = fit_graph(nuclei, method, id_col="uid", threshold=100)
    joined = {tuple(sorted((one, other))) for one, others in weights.neighbors.items() for other in others}
    longest = max(np.hypot(*np.subtract(places[one], places[other])) for one, other in joined)
    counts = local_type_counts(nuclei, weights, class_name="lymphocyte", id_col="uid")["lymphocyte_cnt"].to_numpy()[:4].sum()
    farthest = local_distances(nuclei, weights, id_col="uid", reductions=["max"])["nhood_dists_max"].max()
    print(f"{method}: longest link in the table {links.length.max():.0f} px, in the weights {longest:.0f} px; ", end="")
    print(f"lymphocytes around tumour nuclei {counts:.0f}, farthest neighbour at {farthest:.0f} px")
    cut = longest < 100 and counts == 0 and farthest < 100
    as_seen &= bool(links.length.max() < 100 and (cut if method == "distband" else longest > 900 and counts > 0 and farthest > 900))
plain, weighted = (
    local_character(nuclei, weights, ["value"], id_col="uid", weight_by_area=by_area).filter(like="value_nhood").iloc[:, 0]
    for by_area in (False, True)
)
print(f"mean of 0.5 around: {plain.iloc[0]:.4f}, weighted by area {weighted.iloc[0]:.4f}, of {len(weights.neighbors[0]) + 1} nuclei")
as_seen &= np.allclose(plain, 0.5) and np.allclose(weighted, 0.125, atol=1e-6)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore around.py

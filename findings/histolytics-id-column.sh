#!/usr/bin/env bash
# histolytics: neighbours of nuclei whose numbers are in a column (id_col) that is not the table's index.
#
# Expected: id_col is "the unique id column", in fit_graph and in the functions of neighbourhoods. What is around a nucleus is the same
# whether the table's index is that column or just counts the rows, as after sort_values().reset_index() or from a file.
# Seen (histolytics 0.3.0, libpysal 4.14.1, geopandas 1.1.4, pandas 2.3.3, numpy 1.26.4, CPython 3.11): with rows as the
# index, 51 lymphocytes that have nothing but lymphocytes within 100 px have 115 tumour cells around them (local_type_counts, none
# otherwise), their diversity is 0.32 instead of 0 (local_diversity), and the mean size around is 1.53 where all are 1 (local_character).
# fit_graph joins the right ones, by their numbers in the column; the three functions look these up among the rows of the index, where
# another nucleus has that number. local_distances takes the column. Nothing is said about it; with numbers that no row has, such as
# 1 to n for rows 0 to n - 1, it is an error.
# What follows: table.set_index("uid", drop=False), which set_uid does too but with new numbers, before fit_graph and these functions.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "histolytics==0.3.0" "libpysal==4.14.1" "geopandas==1.1.4" "shapely==2.2.0" "pandas==2.3.3" "numpy==1.26.4"
cat > ids.py <<'PY'
import sys

import geopandas
import histolytics
import libpysal
import numpy as np
import pandas
import shapely
from histolytics.spatial_agg.local_character import local_character
from histolytics.spatial_agg.local_distances import local_distances
from histolytics.spatial_agg.local_diversity import local_diversity
from histolytics.spatial_agg.local_values import local_type_counts
from histolytics.spatial_graph.graph import fit_graph

print("histolytics", histolytics.__version__, "libpysal", libpysal.__version__, "geopandas", geopandas.__version__, end=" ")
print("pandas", pandas.__version__, "numpy", np.__version__)
random = np.random.default_rng(0)
places = random.uniform(0, 1000, (120, 2))
left = places[:, 0] < 500  # tumour on the left, lymphocytes on the right
nuclei = geopandas.GeoDataFrame(
    {"class_name": np.where(left, "tumour", "lymphocyte"), "size": np.where(left, 2.0, 1.0), "uid": random.permutation(120)},
    geometry=[shapely.Point(place).buffer(6) for place in places],
)
far = places[:, 0] > 620  # nothing but lymphocytes within 100 px
found = {}
for name, table in (("numbers are the index", nuclei.set_index("uid", drop=False)), ("rows are the index", nuclei)):
    weights, _ = fit_graph(table, "distband", id_col="uid", threshold=100)
    same = {"id_col": "uid", "spatial_weights": weights}
    tumour = local_type_counts(table, class_name="tumour", **same).filter(like="_cnt").to_numpy().ravel()
    diversity = local_diversity(table, val_cols=["class_name"], **same)["class_name_simpson_index"].to_numpy()
    size = local_character(table, val_cols=["size"], **same).filter(like="size_nhood").to_numpy().ravel()
    distance = local_distances(table, reductions=["max"], **same)["nhood_dists_max"].to_numpy()
    found[name] = float(tumour[far].sum()), float(diversity[far].mean()), float(size[far].mean()), float(distance.max())
    print(f"{name}: tumour cells around {far.sum()} lymphocytes {tumour[far].sum():.0f}, diversity {diversity[far].mean():.2f}, ", end="")
    print(f"mean size {size[far].mean():.2f}, farthest neighbour {distance.max():.0f} px")
right, wrong = found.values()
as_seen = right[:3] == (0, 0, 1) and wrong[0] > 80 and wrong[1] > 0.25 and wrong[2] > 1.4
sys.exit(0 if as_seen and right[3] == wrong[3] < 100.1 else 1)
PY
env/bin/python -W ignore ids.py

#!/usr/bin/env bash
# CellCharter's nhood_enrichment: which classes of cells are neighbours more often than by chance.
#
# Expected: cells whose classes are random have an enrichment of about 0, and p-values anywhere between 0 and 1. Tumour cells and
# lymphocytes that keep apart have a negative one. Nothing but uns is changed, and with copy=True nothing at all.
# Seen (cellcharter 0.3.7, squidpy 1.8.2, anndata 0.12.19, numpy 2.4.6, CPython 3.11): as it is called without options, every pair of
# classes is enriched. Of 1,000 cells with two random classes 0.5, with three 0.14 to 0.19; p is 0 with 100 permutations. Of classes
# that lie left and right of a line it is 0.5 too, with p 0. only_inter=True, the default, takes the links within a class out
# of what was observed, and not out of what is expected, neither by the formula nor in the permutations, in which the classes change
# and the links stay. With only_inter=False the random ones have 0.02 or less, and those apart -0.46 and -0.49.
# The links are taken out of the AnnData's graph itself: of its 5,958 entries 2,946 are left, with copy=True too. What is
# computed after it, with only_inter=False or by squidpy, has no neighbours of one class. Nothing is said about either.
# What follows: only_inter=False, on a copy of the AnnData.
# Installed without cellcharter's dependencies: the module needs those of squidpy, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "squidpy==1.8.2" "anndata==0.12.19" "numpy==2.4.6" "pandas==2.3.3"
env/bin/pip install --quiet --no-deps "cellcharter==0.3.7"
cat > chance.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import anndata
import numpy as np
import pandas as pd
import squidpy

for name in ("cellcharter", "cellcharter.gr"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("cellcharter").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
nhood_enrichment = import_module("cellcharter.gr._nhood").nhood_enrichment
rng = np.random.default_rng(0)
np.random.seed(0)
places = rng.uniform(0, 1000, (1000, 2))


def cells(classes):
    table = pd.DataFrame({"class": pd.Categorical(classes)}, index=[str(number) for number in range(1000)])
    data = anndata.AnnData(np.zeros((1000, 1)), obs=table, obsm={"spatial": places})
    squidpy.gr.spatial_neighbors(data, coord_type="generic", delaunay=True)
    return data


print(*(f"{name} {version(name)}" for name in ("cellcharter", "squidpy", "anndata", "numpy")))
two = rng.permutation(["tumour", "lymphocyte"] * 500)
three = rng.choice(["tumour", "lymphocyte", "stroma"], 1000)
apart = np.where(places[:, 0] < 500, "tumour", "lymphocyte")
seen = {}
for name, classes in (("two, random", two), ("three, random", three), ("two, apart", apart)):
    for only_inter in (True, False):
        data = cells(classes)
        links = data.obsp["spatial_connectivities"].nnz
        found = nhood_enrichment(data, "class", pvalues=True, n_perms=100, only_inter=only_inter, copy=True)
        formula = nhood_enrichment(cells(classes), "class", only_inter=only_inter, copy=True)
        others = ~np.eye(len(found["enrichment"]), dtype=bool)
        seen[name, only_inter] = found["enrichment"].values[others], found["pvalue"].values[others]
        left = data.obsp["spatial_connectivities"].nnz
        print(f"{name}, only_inter={only_inter}: pairs of two classes {seen[name, only_inter][0].round(3).tolist()},", end=" ")
        print(f"p {seen[name, only_inter][1].round(2).tolist()}, by formula", end=" ")
        print(f"{formula['enrichment'].values[others].round(3).tolist()}; links before {links}, after {left}")
        seen[name, only_inter] += (np.abs(formula["enrichment"].values[others] - seen[name, only_inter][0]).max(), left / links)
as_seen = all((p == 0).all() and error < 0.02 for (_, only), (_, p, error, _) in seen.items() if only)
as_seen &= all(0.45 < one < 0.55 for name in ("two, random", "two, apart") for one in seen[name, True][0])
as_seen &= bool((seen["three, random", True][0] > 0.14).all() and seen["two, random", True][3] < 0.6)
as_seen &= all(left == 1 for (_, only), (*_, left) in seen.items() if not only) and bool((seen["two, apart", False][0] < -0.4).all())
as_seen &= all(abs(one) < 0.03 for name in ("two, random", "three, random") for one in seen[name, False][0])
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore chance.py 2> messages.txt | grep -v "INFO\|WARNING" || { cat messages.txt >&2; exit 1; }

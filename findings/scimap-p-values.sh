#!/usr/bin/env bash
# scimap's spatial_interaction(pval_method="abs") and spatial_distance(z_coordinate=...).
#
# Expected: a p-value is at most 1. It is small where tumour cells and lymphocytes keep apart, or mix, and large where they lie
# at random; more permutations make it more exact, not smaller. With z_coordinate distances are those in space: "supporting
# analysis of both 2D and 3D", and the example calls the result 3D_distance.
# Seen (scimap 2.3.6, anndata 0.10.9, scikit-learn 1.5.2, scipy 1.12.0, pandas 2.2.3, numpy 1.26.4, CPython 3.11): it is the other way
# round. Of 600 cells whose classes lie left and right of a line p is about 6 with 100 permutations and about 0.6 with 1,000. The same
# cells with their classes at random have about 0.1 and 0.01, which is "significant". What is called p-value is the difference of
# the counted pairs from their mean, divided by the number of permutations; where fewer cells are counted it is smaller. The default,
# "zscore", has 0.00 for the first and 0.4 to 0.5 for the second.
# spatial_distance prints "Including Z -axis" and leaves z out: a cell 40 um above another is at the distance 3 of the next one.
# What follows: leave pval_method at "zscore"; distances in space come from a k-d tree of all three coordinates.
# Installed without its dependencies: the two modules need pandas and scikit-learn, and are loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "anndata==0.10.9" "scikit-learn==1.5.2" "scipy==1.12.0" "pandas==2.2.3" "numpy==1.26.4"
env/bin/pip install --quiet --no-deps "scimap==2.3.6"
cat > chance.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import anndata
import numpy as np
import pandas as pd


def load(name):
    spec = importlib.util.spec_from_file_location(name, distribution("scimap").locate_file(f"scimap/tools/{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def cells(classes, x, y, **more):
    table = pd.DataFrame({"X_centroid": x, "Y_centroid": y, "imageid": "one", "phenotype": pd.Categorical(classes), **more})
    return anndata.AnnData(np.zeros((len(table), 1)), obs=table.set_index(table.index.astype(str)))


print(*(f"{name} {version(name)}" for name in ("scimap", "anndata", "scikit-learn", "scipy", "pandas", "numpy")))
interaction, distance = load("spatial_interaction"), load("spatial_distance")
random = np.random.default_rng(0)
x, y = random.uniform(0, 1000, (2, 600))
apart = np.where(x < 500, "tumour", "lymphocyte")
p = {}
for name, classes in (("apart", apart), ("at random", random.permutation(apart))):
    for method, permutations in (("abs", 100), ("abs", 1000), ("zscore", 100)):
        data = interaction(cells(classes, x, y), radius=50, permutation=permutations, pval_method=method, verbose=False)
        p[name, method, permutations] = data.uns["spatial_interaction"].set_index(["phenotype", "neighbour_phenotype"])["pvalue_one"]
        print(f"{name}, {method}, {permutations} permutations: p of tumour and lymphocyte", end=" ")
        print(round(float(p[name, method, permutations]["tumour", "lymphocyte"]), 4))
as_seen = (p["apart", "abs", 100] > 5).all() and p["apart", "abs", 1000].between(0.5, 0.7).all()
as_seen &= bool((p["at random", "abs", 100] < 0.3).all() and (p["at random", "abs", 1000] < 0.03).all())
as_seen &= bool((p["apart", "zscore", 100] < 1e-6).all() and (p["at random", "zscore", 100] > 0.2).all())
stack = cells(["tumour", "tumour", "lymphocyte"], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], Z=[0.0, 0.0, 40.0])
to_tumour = distance(stack, z_coordinate="Z").uns["spatial_distance"]["tumour"]
print("a lymphocyte at z = 40, tumour cells at (0, 0) and (3, 0) below:", to_tumour.to_dict())
sys.exit(0 if as_seen and to_tumour["2"] == 3 else 1)
PY
env/bin/python -W ignore chance.py

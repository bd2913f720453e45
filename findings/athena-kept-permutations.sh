#!/usr/bin/env bash
# ATHENA's interactions(prediction_type="pvalue"): which permutations a p-value is of.
#
# Expected: the p-value is that of the sample, its labels and its graph as given, from n_permutations permutations of them. A trial
# with few permutations before it changes nothing.
# Seen (ai4scr-athena 0.1.3, networkx 3.6.1, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6, CPython 3.11): 400 cells at random places with
# random classes, nine pairs of classes. With 500 permutations the smallest p is 0.064 and none of the nine is significant (alpha
# 0.01). After a trial with 5 permutations the same call has a p of 0.004 or less for all nine, and says that all are significant: it
# takes the five that the trial left in ~/.cache/spatialHeterogeneity and divides by 500 (perm_n says 500). What is kept goes by the
# names of sample, column, graph and mode only: another sample of this name, or this one with its labels corrected, gets those of the
# first. One of random classes with a tenth of tumour cells has 2.0 of them beside a tumour cell by permutations and significant
# avoidance (0.2 are there); by its own it is 0.5, and not significant. Of try_load, the default, the documentation says only that it
# loads them "if available". Besides, p is the smaller of two one-sided ones, where a two-sided one is documented.
# What follows: try_load=False always, and double the p.
# Installed without its dependencies (napari, squidpy and more): the module of the interactions is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME="$work"
python3 -m venv env
env/bin/pip install --quiet "networkx==3.6.1" "scipy==1.17.1" "pandas==3.1.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "ai4scr-athena==0.1.3"
cat > kept.py <<'PY'
import contextlib
import io
import logging
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import networkx as nx
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

for name in ("athena", "athena.neighborhood", "athena.utils"):  # the packages without what their __init__ brings in
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("ai4scr-athena").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
for name in ("astropy", "astropy.stats", "sklearn", "sklearn.utils", "sklearn.utils.validation", "tqdm"):
    sys.modules[name] = MagicMock()  # Ripley's K and progress bars, which nothing here calls
from athena.neighborhood.estimators import interactions

logging.disable(logging.INFO)


def sample(seed, shares):
    """400 cells of random classes and which of them are near one another, in the form that ATHENA takes."""
    rng = np.random.default_rng(seed)
    places = rng.random((400, 2)) * 1000
    kinds = rng.choice(["tumour", "immune", "stroma"], 400, p=shares)
    graph = nx.Graph()
    graph.add_nodes_from(range(1, 401))
    graph.add_edges_from((one + 1, other + 1) for one, other in cKDTree(places).query_pairs(70))
    cells = pd.DataFrame({"kind": pd.Categorical(kinds)}, index=range(1, 401))
    return types.SimpleNamespace(G={"s1": {"knn": graph}}, obs={"s1": cells}, uns={}, random_seed=1)


def said(data, permutations, **options):
    """ATHENA's table of the pairs of classes."""
    with contextlib.redirect_stdout(io.StringIO()):
        interactions(data, "s1", "kind", prediction_type="pvalue", n_permutations=permutations, random_seed=3, **options)
    return data.uns["s1"]["interactions"]["kind_classic_pvalue_knn"]


def line(what, table):
    print(f"{what}: p {table.p.min():.3f} to {table.p.max():.3f}, {table.sig.sum()} of {len(table)} significant,",
          f"perm_n {table.perm_n.iloc[0]:.0f}")


print(*(f"{name} {version(name)}" for name in ("ai4scr-athena", "networkx", "scipy", "pandas", "numpy")))
first, other = sample(0, (0.34, 0.33, 0.33)), sample(1, (0.1, 0.45, 0.45))
right = said(first, 500, try_load=False)
line("500 permutations of its own", right)
said(first, 5, try_load=False)
after = said(first, 500)
line("500 after a trial with 5", after)
said(first, 100, try_load=False)
taken = said(other, 100).loc[("tumour", "tumour")]
own = said(other, 100, try_load=False).loc[("tumour", "tumour")]
print(f"another sample of this name: tumour cells beside a tumour cell {taken.score:.1f}, by permutations {taken.perm_mean:.1f}",
      f"(p {taken.p:.2f}); by its own {own.perm_mean:.1f} (p {own.p:.2f})")
as_seen = len(right) == 9 and not right.sig.any() and right.p.min() > 0.02
as_seen &= bool(after.sig.all() and after.p.max() <= 0.01 and (after.perm_n == 500).all())
as_seen &= bool(taken.score == own.score and taken.perm_mean > 2 * own.perm_mean)
as_seen &= bool(taken.sig and not taken.attraction and not own.sig)
as_seen &= bool((right.p == right[["p_gt", "p_lt"]].min(axis=1)).all())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore kept.py

#!/usr/bin/env bash
# MESA (mesa-py): the diversity of cells in a slide's patches, restricted to tissue (calculate_GDI and calculate_DPI, restricted=True).
#
# Expected: restricted=True "restricts analysis to specific tissue regions": the global index is Moran's I of the patches that have
# cells, the proximity index is of those of them that are hot spots.
# Seen (mesa-py 0.1.2, esda 2.9.0, libpysal 4.14.1, numpy 2.4.6, CPython 3.11): two cores, in each of which one half is of mixed
# classes and one nearly all tumour, have a global index of 0.74 by hand, and 0.83 with the glass. Restricted it is -0.01: the grid of
# patches is made of whole numbers (numpy.full with -1), so that a diversity of 0.99 becomes 0, as does one of 0.41. What is left are
# those few patches that are exactly 1. With Simpson's diversity it is -0.00 for 0.74. Two cores whose classes are mixed alike
# everywhere have 3 hot spots of 264 patches by hand. calculate_DPI finds 191, restricted or not, since it makes its grid without the
# restriction: glass is a diversity of 0 there, beside which all tissue is diverse. Nothing is said about either.
# What follows: calculate_diversity_index, and esda on those patches that have a value.
# Installed without its dependencies: esda and libpysal stand for pysal, which only hands them on, and what draws is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "esda==2.9.0" "libpysal==4.14.1" "anndata==0.12.19" "networkx==3.6" "pandas==2.3.3" \
    "scipy==1.17.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "mesa-py==0.1.2"
cat > restricted.py <<'PY'
import contextlib
import importlib.util
import io
import re
import sys
import types
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import esda
import libpysal
import numpy as np
import pandas as pd

for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.patches", "matplotlib.figure", "matplotlib.colors", "seaborn"):
    sys.modules[name] = MagicMock()
for name in ("pysal", "pysal.lib", "pysal.explore"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["pysal.lib"].weights, sys.modules["pysal.explore"].esda = libpysal.weights, esda
folder = Path(importlib.util.find_spec("mesa").submodule_search_locations[0])
for name in ("mesa", "mesa.ecospatial"):  # without the half for omics, which asks for more
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
from mesa.ecospatial._ecospatial import calculate_DPI, calculate_diversity_index, calculate_GDI, generate_patches  # noqa: E402

print(*(f"{name} {version(name)}" for name in ("mesa-py", "esda", "libpysal", "numpy")))
random = np.random.default_rng(0)
side = 24  # patches
places = random.uniform(0, 1200, (60000, 2))
core = np.hypot(places[:, 0] - 300, places[:, 1] - 300) < 300
core |= np.hypot(places[:, 0] - 900, places[:, 1] - 900) < 300
places = places[core]
common = {"library_key": "slide", "spatial_key": ["x", "y"], "cluster_key": "class"}


def cells(share):
    """A table of cells, of which this share are lymphocytes."""
    classes = np.where(random.random(len(places)) < share, "lymphocyte", "tumour")
    return pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "class": classes, "slide": "a"})


def by_hand(table, metric):
    """Moran's I, and the local ones, of the patches that have cells; 8 neighbours, weights of 1."""
    patches = generate_patches(table, "slide", "a", side, ["x", "y"])
    values = calculate_diversity_index(table, library_id="a", patches=patches, metric=metric, **common)
    at = np.stack([values.index // side, values.index % side], 1)
    near = np.abs(at[:, None] - at[None]).max(axis=2) == 1
    weights = libpysal.weights.W({i: list(np.flatnonzero(row)) for i, row in enumerate(near)}, silence_warnings=True)
    local = esda.Moran_Local(values.to_numpy(), weights, transformation="o", permutations=999, seed=42)
    hot = int(((local.p_sim < 0.01) & (local.q == 1)).sum())
    return len(values), values, esda.Moran(values.to_numpy(), weights, transformation="o").I, hot


halves = cells(np.where(places[:, 0] % 600 < 300, 0.5, 0.08))
alike = cells(0.5)
found = {}
for metric in ("Shannon Diversity", "Simpson Diversity"):
    with contextlib.redirect_stdout(io.StringIO()):
        count, values, right, _ = by_hand(halves, metric)
        all_of_it, tissue = (
            float(calculate_GDI(halves, side, library_id=["a"], restricted=yes, metric=metric, **common).iloc[0, 0])
            for yes in (False, True)
        )
    print(f"{metric}, two halves, {count} patches from {values.min():.2f} to {values.max():.4f}: global index by hand {right:.2f}, "
          f"with glass {all_of_it:.2f}, restricted {tissue:.2f}")
    found[metric] = right, all_of_it, tissue
with contextlib.redirect_stdout(io.StringIO()):
    count, values, _, hot = by_hand(alike, "Shannon Diversity")
spots = []
for yes in (False, True):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        index = float(calculate_DPI(alike, side, library_id=["a"], restricted=yes, **common).iloc[0, 0])
    spots.append((int(re.search(r"contains (\d+) diversity hotspots", said.getvalue())[1]), index))
    print(f"mixed alike, {count} patches, hot spots by hand {hot}, restricted={yes}: {spots[-1][0]}, proximity index {index:.0f}")
as_seen = all(right > 0.6 and all_of_it > 0.6 for right, all_of_it, _ in found.values())
as_seen &= all(abs(tissue) < 0.1 for *_, tissue in found.values())
as_seen &= hot <= 0.03 * count and spots[0] == spots[1] and spots[1][0] > 0.6 * count
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore restricted.py

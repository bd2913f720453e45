#!/usr/bin/env bash
# CellCharter's boundaries of groups of cells, and purity_metric, where a group lies around another one.
#
# Expected: a hole of a group, in which none of its cells are, is left out of its boundary if it has at least min_hole_area_ratio of
# the area, 0.1 by default. Purity is the share of the group's cells among those within the boundary, holes left out: 1 where groups
# do not mix.
# Seen (cellcharter 0.3.7, shapely 2.2.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): so it is as long as the hole is smaller than what
# lies around it. Stroma around a tumour nest of 300 um radius, in a disc of 500 um, has a boundary with a hole, and a purity of 1.00.
# Around a nest of 400 um it has none: the area is 766,000 um2 for 283,000, and the purity 0.33, as the whole nest counts as within.
# Holes are looked for in the largest of the areas that the triangles' edges enclose, and of a larger hole that is the hole itself.
# Several holes are lost likewise if one of them is that large. Nothing is said about it.
# What follows: take out of a boundary what no triangle covers, or the boundaries of the groups that lie within it.
# Installed without most of cellcharter's dependencies: the module is loaded alone, and of squidpy only what formats its docstrings.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "anndata==0.12.19" "numpy==2.4.6" "pandas==2.3.3" "shapely==2.2.0" "scipy==1.17.1" "sknw==0.15"
env/bin/pip install --quiet "scikit-image==0.26.0" "networkx==3.6.1" "matplotlib==3.11.2" "docrep==0.3.2" "rasterio==1.4.4"
env/bin/pip install --quiet --no-deps "cellcharter==0.3.7" "squidpy==1.8.2"
cat > holes.py <<'PY'
import math
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import anndata
import numpy as np
import pandas as pd

for name in ("squidpy", "cellcharter", "cellcharter.tl"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution(name.split(".")[0]).locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
shape = import_module("cellcharter.tl._shape")


def seen(nest):
    """Area in um2, holes and purity of the boundary of stroma around a tumour nest of that radius, and its area and purity by hand."""
    random = np.random.default_rng(0)
    places = random.uniform(-500, 500, (4000, 2))
    far = np.hypot(*places.T)
    places, far = places[far < 500], far[far < 500]
    table = pd.DataFrame({"component": pd.Categorical(np.where(far < nest, "nest", "stroma")), "sample": "one"})
    cells = anndata.AnnData(np.zeros((len(places), 1)), obs=table.set_index(table.index.astype(str)), obsm={"spatial": places})
    shape.boundaries(cells, alpha_start=60)
    boundary = cells.uns["shape_component"]["boundary"]["stroma"]
    purity = shape.purity_metric(cells, copy=True)["stroma"]
    return boundary.area, len(boundary.interiors), float(purity), math.pi * (500**2 - nest**2)


if __name__ == "__main__":
    print(*(f"{name} {version(name)}" for name in ("cellcharter", "shapely", "scipy", "numpy", "sknw", "rasterio")))
    found = {nest: seen(nest) for nest in (200, 300, 340, 370, 400)}
    for nest, (area, holes, purity, right) in found.items():
        print(f"nest of {nest} um: {area:.0f} um2, by hand {right:.0f}; holes {holes}; purity {purity:.2f}")
    as_seen = all(abs(area / right - 1) < 0.12 and holes == 1 and purity > 0.98 for area, holes, purity, right in
                  (found[nest] for nest in (200, 300)))
    as_seen &= all(area > 1.5 * right and holes == 0 and purity < 0.5 for area, holes, purity, right in (found[370], found[400]))
    sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore holes.py

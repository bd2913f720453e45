#!/usr/bin/env bash
# SCALLOPS: which cell a nucleus lies in (area_overlap) where the image is in chunks, and how far a cell is from a border
# (bounding_box_to_edge_distance).
#
# Expected: area_overlap has the area of a nucleus, its overlap with each cell and the fraction of it, whatever the chunks of the
# arrays. bounding_box_to_edge_distance takes "ordered columns": minimum of Y, minimum of X, maximum of Y and maximum of X.
# Seen (scallops 1.0.0, dask 2026.3.0, shapely 2.2.0, numpy 2.4.6, CPython 3.11): of 1,521 nuclei of 10 x 10 px, one half of each in a
# cell above and the other in one below, each fraction is 0.5 in one chunk. In chunks of 250 px 117 nuclei lie with 1.0 in the one cell
# and with 1.0 in the other: of their 100 px only what is in chunks where they meet that cell is added up, 50 px. A nucleus that has
# one fifth in a cell, across a border between chunks, has 1.0 as well. With its columns in that order a cell 200 px off the edge of a
# field of 1000 x 1000 px is 344 px off; with minimum and maximum of Y and then those of X, as find_objects writes them, it is 200.
# Nothing is said about either.
# What follows: one chunk, or areas from find_objects; columns in the order of find_objects.
# Installed without its dependencies (tensorflow, ITK): what these functions do not use is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==2.3.3" "scikit-image==0.26.0" "dask[dataframe]==2026.3.0" \
    "xarray==2026.4.0" "shapely==2.2.0"
env/bin/pip install --quiet --no-deps "scallops==1.0.0"
cat > chunks.py <<'PY'
import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import dask.array as da
import numpy as np
import pandas as pd

for name in ("centrosome", "centrosome.outline", "dask_image", "dask_image.ndfilters"):
    sys.modules.setdefault(name, MagicMock())
folder = Path(importlib.util.find_spec("scallops").submodule_search_locations[0])


def module(path):
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), folder / f"{path}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


area_overlap, boxes = module("segmentation/util").area_overlap, module("features/bounding_box")
print(*(f"{name} {version(name)}" for name in ("scallops", "dask", "shapely", "numpy")))
size, step = 1000, 25
nuclei, cells = np.zeros((2, size, size), dtype=np.int32)
number = 0
for row in range(20, size - step, step):
    for column in range(20, size - step, step):
        number += 1
        nuclei[row : row + 10, column : column + 10] = number
        cells[row - 5 : row + 5, column - 5 : column + 15] = 2 * number
        cells[row + 5 : row + 15, column - 5 : column + 15] = 2 * number + 1
wrong = {}
for chunk in (size, 250):
    table = area_overlap(da.from_array(nuclei, chunks=chunk), da.from_array(cells, chunks=chunk)).compute()
    off = table[table["fraction_overlap"] != 0.5]
    wrong[chunk] = len(off.index.get_level_values("x").unique())
    fractions = sorted(set(table["fraction_overlap"]))
    print(f"{number} nuclei, chunks of {chunk}: {wrong[chunk]} without 0.5 and 0.5; fractions", *fractions)
both = table.groupby("x")["fraction_overlap"].sum().max()
print(f"the largest sum of a nucleus's fractions: {both:.1f}")
nucleus, cell = np.zeros((2, 100, 100), dtype=np.int32)
nucleus[46:66, 10:30] = 1
cell[20:50, :60] = 1
fifth = []
for chunk in (100, 50):
    table = area_overlap(da.from_array(nucleus, chunks=chunk), da.from_array(cell, chunks=chunk)).compute()
    fifth.append(float(table["fraction_overlap"].iloc[0]))
print("one fifth of a nucleus in a cell:", *fifth, "(chunks of 100, 50)")
box, field = {"Y": (700, 720), "X": (200, 220)}, {"Y": (0, 1000), "X": (0, 1000)}
said = []
for order in ((("Y", 0), ("X", 0), ("Y", 1), ("X", 1)), (("Y", 0), ("Y", 1), ("X", 0), ("X", 1))):
    columns = [f"AreaShape_BoundingBox{'Maximum' if last else 'Minimum'}_{axis}" for axis, last in order]
    tables = [pd.DataFrame([[where[axis][last] for axis, last in order]], columns=columns, index=[1]) for where in (box, field)]
    answer = boxes.bounding_box_to_edge_distance(*tables).iloc[0]
    said.append(round(float(answer["distance"])))
    print("columns", *(name[21:] for name in columns), "distance:", said[-1])
as_seen = wrong[size] == 0 and wrong[250] > 100 and both == 2 and fifth == [0.2, 1.0]
sys.exit(0 if as_seen and said == [344, 200] else 1)
PY
env/bin/python -W ignore chunks.py

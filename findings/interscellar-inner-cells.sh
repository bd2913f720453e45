#!/usr/bin/env bash
# InterSCellar's find_cell_neighbors_2d: which cells of a tissue without gaps are near which, and the numbers of cells in its table.
#
# Expected: all pairs of cells whose surfaces are at most max_distance_um (1) apart, with that distance, as the same library's
# find_all_neighbors_by_surface_distance_2d finds them; named by the cell_id of the polygons and of the table of cells.
# Seen (InterSCellar 0.1.1, scipy 1.17.1, opencv 4.13.0, pandas 2.3.3, numpy 2.4.6, CPython 3.11): in a sheet of 15 cells without
# gaps, of 45 pairs 24 are found: the 22 that touch by a side, and 2 of 23 that do not touch. Two lymphocytes within the sheet with
# a thin cell between them (0.7 um) are missed, and so are all neighbours at a corner (0.14 um). A cell's surface is only what lies
# at the background: a cell that is surrounded has none, and one at the sheet's rim has no other side. With gaps of 2 px between the
# cells all 38 pairs are there.
# cell_id_a and cell_id_b, in the table of pairs and in that of cells, count the polygons of the file from 1: of cells that are
# numbered from 0, as in a table's index, each pair is one of other cells, and the two lymphocytes, 6 and 8, are called 7 and 9.
# Nothing is said about either.
# What follows: take find_all_neighbors_by_surface_distance_2d, or leave a gap around cells; look numbers up in the file's order.
# Installed without its dependencies: the module needs opencv, scipy, pandas and anndata, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "opencv-python-headless==4.13.0.92" "scipy==1.17.1" "pandas==2.3.3" "anndata==0.12.19" \
    "joblib==1.5.3" "tqdm==4.67.3" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "interscellar==0.1.1"
cat > sheet.py <<'PY'
import contextlib
import io
import json
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import pandas as pd

for name in ("interscellar", "interscellar.core"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("interscellar").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
module = import_module("interscellar.core.find_cell_neighbors_2d")

print(*(f"{name} {version(name)}" for name in ("interscellar", "scipy", "opencv-python-headless", "pandas", "numpy")))
PIXEL = 0.1  # um


def sheet(gap):
    """Three rows of five cells, the third of which is thin; cells 6 and 8 are lymphocytes."""
    polygons, cells, top = {}, [], 0
    for _ in range(3):
        left = 0
        for width in (20, 20, 6, 20, 20):
            right, bottom = left + width - 1, top + 19
            polygons[str(len(cells))] = [[left, top], [right, top], [right, bottom], [left, bottom]]
            kind = "lymphocyte" if len(cells) in (6, 8) else "epithelium"
            cells.append({"cell_id": len(cells), "subclass": kind, "X": (left + right) / 2, "Y": (top + bottom) / 2})
            left = right + 1 + gap
        top = bottom + 1 + gap
    return polygons, pd.DataFrame(cells)


def pairs(gap):
    """The pairs that are found, and those that the slower function finds, by what the first calls their cells."""
    polygons, cells = sheet(gap)
    with open("polygons.json", "w", encoding="utf-8") as file:
        json.dump(polygons, file)
    options = {"max_distance_um": 1.0, "pixel_size_um": PIXEL}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        module.create_neighbor_edge_table_database_2d("polygons.json", cells, db_path="n.db", output_csv="n.csv", **options)
        mask, _, numbers = module.build_global_mask_2d(polygons)
        renamed = cells.assign(cell_id=cells.cell_id.astype(str).map(numbers))
        slower = module.find_all_neighbors_by_surface_distance_2d(mask, renamed, **options)
    found = pd.read_csv("n.csv")
    one = {tuple(sorted(row[:2])): round(row[2], 2) for row in found[["cell_id_a", "cell_id_b", "surface_distance_um"]].values}
    other = {tuple(sorted(row[:2])): round(row[2], 2) for row in slower[["cell_a_id", "cell_b_id", "surface_distance_um"]].values}
    return one, other, found, cells


def touching(found):
    return sum(not distance for distance in found.values())


found, slower, table, cells = pairs(gap=0)
print(f"a sheet without gaps: {len(found)} pairs, of which {touching(found)} touch; the slower function finds {len(slower)}, ", end="")
print(f"of which {touching(slower)} touch")
between = found.get((7, 9)), slower.get((7, 9))
print(f"between the two lymphocytes: {between[0]}, by the slower function {between[1]} um")
kinds = dict(zip(cells.cell_id, cells.subclass))
named = sorted({int(row.cell_id_a) for row in table.itertuples() if row.cell_type_a == "lymphocyte"} |
               {int(row.cell_id_b) for row in table.itertuples() if row.cell_type_b == "lymphocyte"})
print("lymphocytes:", [number for number, kind in kinds.items() if kind == "lymphocyte"], "as the table names them:", named)
with_gaps = pairs(gap=2)[:2]
print(f"with gaps of 2 px: {len(with_gaps[0])} pairs, by the slower function {len(with_gaps[1])}")
as_seen = (len(found), touching(found), len(slower), touching(slower)) == (24, 22, 45, 22) and between == (None, 0.7)
as_seen &= all(slower[pair] == distance for pair, distance in found.items()) and named == [7, 9]
as_seen &= with_gaps[0] == with_gaps[1] and len(with_gaps[0]) == 38
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore sheet.py

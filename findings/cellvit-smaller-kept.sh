#!/usr/bin/env bash
# CellViT's OverlapCellCleaner: which of two detections of a nucleus stays, where two patches overlap.
#
# Expected: the biggest cell, as the source says of its way of merging; the order of the list makes no difference. Of three
# nuclei in a row that overlap a little, the outer two stay at least, for they do not touch each other.
# Seen (cellvit 1.0.9, shapely 2.0.5, pandas 2.3.3, numpy 1.26.4, CPython 3.11): the one that comes later in the list stays. A whole
# nucleus of 12 px radius and a piece of it of 4 px: listed in that order the piece stays, the other way round the nucleus. Of 400
# nuclei, each found whole in one patch and cut in the next, all 400 are the cut ones, with 42 % of the area, or all 400 the whole
# ones. The biggest is looked for among the cells that overlap a cell, without that cell. Of three in a row only the last is left, as
# this is done until nothing overlaps. More than 1 % of either area is an overlap. Nothing is said about it.
# What follows: sort the cells by area, the smallest first, before they are given to it; nuclei in rows are still lost.
# Installed without the network's dependencies: the module of the cleaner needs pandas and shapely, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "shapely==2.0.5" "pandas==2.3.3" "numpy==1.26.4" "packaging==26.0"
env/bin/pip install --quiet --no-deps "cellvit==1.0.9"
cat > cells.py <<'PY'
import importlib.util
import logging
import sys
from importlib.metadata import distribution, version

import numpy as np
import shapely

path = distribution("cellvit").locate_file("cellvit/inference/overlap_cell_cleaner.py")
spec = importlib.util.spec_from_file_location("cleaner", path)
cleaner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cleaner)


def cell(x, y, radius, patch):
    """A cell in the margin of a patch that does not touch the patch's border."""
    outline = np.array(shapely.Point(x, y).buffer(radius).exterior.coords)[:-1]
    where = {"patch_coordinates": [0, patch], "cell_status": 1, "edge_position": 0, "edge_information": None}
    return {"contour": outline, "type": 1, "type_prob": 0.9, "centre": (x, y), "radius": radius, **where}


def left(cells):
    """Centres and radii of the cells that are left."""
    table = cleaner.OverlapCellCleaner([dict(one) for one in cells], logging.getLogger()).clean_detected_cells()
    return [(*centre, float(radius)) for centre, radius in zip(table["centre"], table["radius"])]


print(*(f"{name} {version(name)}" for name in ("cellvit", "shapely", "pandas", "numpy")))
whole, piece = cell(50, 50, 12, 0), cell(60, 50, 4, 1)
pairs = left([whole, piece]), left([piece, whole])
print("whole and piece:", pairs[0], "piece and whole:", pairs[1])
row = left([cell(50, 50, 12, 0), cell(72, 50, 12, 1), cell(94, 50, 12, 0)])
print("three in a row:", row)
rng = np.random.default_rng(0)
spots = [(50 + 60 * (n % 20), 50 + 60 * (n // 20)) for n in range(400)]
found = [(cell(x, y, 12, 0), cell(x + rng.uniform(-3, 3), y, 12 - rng.uniform(1, 8), 1)) for x, y in spots]
areas = []
for first, second in ((0, 1), (1, 0)):
    radii = np.array([radius for *_, radius in left([pair[k] for pair in found for k in (first, second)])])
    areas.append((len(radii), int((radii == 12).sum()), float((radii**2).mean() / 144)))
    print("400 nuclei,", "whole ones first:" if first == 0 else "cut ones first:", areas[-1])
as_seen = pairs == ([(60, 50, 4.0)], [(50, 50, 12.0)]) and row == [(94, 50, 12.0)]
as_seen &= areas[0][:2] == (400, 0) and abs(areas[0][2] - 0.42) < 0.02 and areas[1] == (400, 400, 1.0)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore cells.py

#!/usr/bin/env bash
# HistomicsTK's remove_overlap_nuclei, for nuclei that were found twice, and area_open, for small objects of a label image.
#
# Expected: "New list with overlapping nuclei removed": of a nucleus that was found twice one stays, wherever it is in the list, and
# what overlaps none of those that stay, stays. area_open: "objects with pixels < min_area are removed", and no others.
# Seen (histomicstk 1.4.0, shapely 2.1.2, scipy 1.17.1, numpy 2.4.6, CPython 3.11): what overlaps the first nucleus of the list, and
# no other before it, stays: of a nucleus that was found twice both are left if they head the list, and one if they do not. The
# number of the first, 0, counts as none. In a row of 9 nuclei where each overlaps the next a little, the first alone is left, for 5:
# a nucleus is removed for a neighbour that is removed itself. Of 400 nuclei that lie at random 173 are left; 26 more overlap none
# of them, nor each other. Nothing is said about either.
# area_open of labels that fill the image, as of tissue regions: a region of 1,800 px goes where 20 are asked for, as sizes are
# counted by a histogram that starts at the lowest label and are read as if it started at 0.
# What follows: put a nucleus that is far away first in the list, and add again by hand what was removed for a removed one; leave
# a pixel of background in a label image.
# Installed without its dependencies: the two modules need shapely, scipy and numpy, and are loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "shapely==2.1.2" "scipy==1.17.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "histomicstk==1.4.0"
cat > overlap.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np
import shapely

label = types.ModuleType("label")  # the package, without what its other modules need
label.__path__ = [str(distribution("histomicstk").locate_file("histomicstk/segmentation/label"))]
sys.modules["label"] = label
remove_overlap_nuclei = import_module("label.remove_overlap_nuclei").remove_overlap_nuclei
area_open = import_module("label.area_open").area_open


def nucleus(x, y):
    outline = shapely.Point(x, y).buffer(8).exterior.coords
    return {"type": "polyline", "closed": True, "points": [[*point, 0.0] for point in outline[:-1]]}


def left(places):
    """Which nuclei are left."""
    return list(remove_overlap_nuclei([nucleus(*place) for place in places], "polygon", return_selected_nuclei=True)[1])


def by_hand(places):
    """Each nucleus that overlaps none of those that stay before it."""
    shapes, stay = [shapely.Point(*place).buffer(8) for place in places], []
    for number, shape in enumerate(shapes):
        if not any(shape.intersects(shapes[other]) for other in stay):
            stay.append(number)
    return stay


print(*(f"{name} {version(name)}" for name in ("histomicstk", "shapely", "scipy", "numpy")))
found = [(50, 50), (51, 50)]
row = [(50 + 14 * x, 50) for x in range(9)]
away = (500, 500)
rng = np.random.default_rng(0)
lists = {"one nucleus, found twice": found, "the same after another nucleus": [away, *found],
         "9 in a row, after another nucleus": [away, *row], "400 at random": [away, *rng.uniform(0, 400, (399, 2)).tolist()]}
seen = {name: (len(left(places)), len(by_hand(places))) for name, places in lists.items()}
print("nuclei that are left, and by hand:", seen)
regions = np.full((60, 60), 1)
regions[:, 20:], regions[:3, :3], regions[40:, 30:] = 2, 3, 4
opened = area_open(regions, 20)
gone = {int(one): int((regions == one).sum()) for one in range(1, 5) if not opened[regions == one].any()}
with_background = regions.copy()
with_background[59, 0] = 0
opened = area_open(with_background, 20)
gone_too = {int(one): int((regions == one).sum()) for one in range(1, 5) if not opened[with_background == one].any()}
print("regions of fewer than 20 px, as removed:", gone, "with a pixel of background:", gone_too)
once, after, in_a_row, at_random = seen.values()
as_seen = once == (2, 1) and after == (2, 2) and in_a_row == (2, 6) and at_random == (173, 199)
sys.exit(0 if as_seen and gone == {2: 1800, 3: 9} and gone_too == {3: 9} else 1)
PY
env/bin/python -W ignore overlap.py

#!/usr/bin/env bash
# histoslice's tiles that overlap: get_overlap_area, and get_tile_coordinates with out_of_bounds=False.
#
# Expected: get_overlap_area says "how much each coordinate overlaps": 50 px for two tiles of 10 x 10 of which one lies 5 px beside
# the other, on whichever side. out_of_bounds=False, the default, gives no tile that reaches out of the image, with the overlap
# of the README's examples (0.5) too.
# Seen (histoslice 0.6.0, histoprep 2.0.5 alike, numpy 2.4.6, CPython 3.11): a tile 5 px to the left or above overlaps by 50, one 5 px to
# the right or below by 100, all of it, and one 5 px to both by 100 for 25. A piece of 20 x 20 within a tile of 100 x 100 has 3600 for
# 400, and one of which only 10 x 10 px lie in the tile's lower right corner 10000 for 100: of which tile a region lies in, nothing can be
# said. Only the far side of a tile is looked at, its near side is taken for that of the other. Of 49 tiles of 256 px with overlap 0.5
# in 1000 x 1000 px 13 reach to 1024; with 0.75 it is 81 of 225, to 1152. Only the last row and column are dropped, however many reach
# out. What lies outside counts as background: a tile all of tissue has 9 % of it. Nothing is said about either.
# What follows: overlaps from shapely's boxes; drop tiles with x + width or y + height beyond the image by hand.
# Installed without its dependencies: the module of the tiles needs numpy, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "histoslice==0.6.0" "histoprep==2.0.5"
cat > tiles.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import numpy as np


def module(name):
    """The tiles' module of a package."""
    path = distribution(name).locate_file(f"{name}/functional/_tiles.py")
    spec = importlib.util.spec_from_file_location(f"{name}_tiles", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def by_hand(one, other):
    """The pixels that two boxes share."""
    page = np.zeros((2, 200, 200), bool)
    for layer, (x, y, width, height) in zip(page, (one, other)):
        layer[y : y + height, x : x + width] = True
    return int(page.all(axis=0).sum())


print(*(f"{name} {version(name)}" for name in ("histoslice", "histoprep", "numpy")))
tile = (20, 20, 10, 10)
sides = {"left": (-5, 0), "above": (0, -5), "same": (0, 0), "right": (5, 0), "below": (0, 5), "right and below": (5, 5)}
large = (0, 0, 100, 100)
pieces = {"within": (40, 40, 20, 20), "in its corner": (90, 90, 20, 20)}
as_seen = True
for name in ("histoslice", "histoprep"):
    tiles = module(name)
    boxes = {side: (20 + across, 20 + down, 10, 10) for side, (across, down) in sides.items()}
    said = dict(zip(boxes, tiles.get_overlap_area(tile, list(boxes.values())).tolist()))
    right = {side: by_hand(tile, box) for side, box in boxes.items()}
    print(f"{name}: tiles 5 px beside {said}, by hand {right}")
    inner = dict(zip(pieces, tiles.get_overlap_area(large, list(pieces.values())).tolist()))
    inner_right = {where: by_hand(large, box) for where, box in pieces.items()}
    print(f"  pieces of 20 x 20 {inner}, by hand {inner_right}")
    out = {}
    for overlap in (0.0, 0.5, 0.75):
        found = np.array(tiles.get_tile_coordinates((1000, 1000), width=256, overlap=overlap, out_of_bounds=False))
        ends = found[:, :2] + found[:, 2:]
        out[overlap] = len(found), int((ends > 1000).any(axis=1).sum()), int(ends.max())
    print("  tiles in 1000 x 1000, those that reach out, how far:", out)
    edge = tiles.get_background_percentages([(768, 0, 256, 256)], np.ones((1000, 1000), np.uint8), 1)[0]
    print(f"  background of a tile at the right edge of an image of tissue: {edge:.3f}")
    as_seen &= edge == 24 / 256
    as_seen &= said == {"left": 50, "above": 50, "same": 100, "right": 100, "below": 100, "right and below": 100}
    as_seen &= right == {"left": 50, "above": 50, "same": 100, "right": 50, "below": 50, "right and below": 25}
    as_seen &= inner == {"within": 3600, "in its corner": 10000} and inner_right == {"within": 400, "in its corner": 100}
    as_seen &= out == {0.0: (9, 0, 768), 0.5: (49, 13, 1024), 0.75: (225, 81, 1152)}
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore tiles.py

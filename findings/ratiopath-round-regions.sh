#!/usr/bin/env bash
# ratiopath's tile_overlay_overlap and tile_overlay: which classes of a mask lie in the middle of each tile, where the mask is coarser.
#
# Expected: the region "can be an arbitrary polygon", in pixels of the slide's tiles; the mask is read at its own resolution and
# "masked to respect the region". A round region in the middle of a tile has the same shares of classes whether the mask has the
# slide's resolution or a quarter of it, as masks of tissue and tumour usually do, give or take a pixel at a boundary.
# Seen (ratiopath 1.5.0, ray 2.52.0, rasterio 1.4.4, openslide 4.0.0, numpy 2.4.6, CPython 3.11): for a circle of 256 px in a tile of
# 512 px, 100 % of its pixels count with a mask of the slide's resolution, 40 % with one of half the resolution, and none with a
# quarter or an eighth: every tile has an empty list of classes, as if there were no mask. A tile in whose circle 82 % is tumour
# has 100 % with half the resolution. Squares are right there. With a mask that is twice as fine 6 % counts, of squares too: 77 %
# of tumour is 6 %. Nothing is said: a pixel of the mask is extent / width wide in the region's coordinates, not width / extent.
# What follows: take boxes and masks that are not finer than the slide, and cut other regions out of what a box returned.
# Installed without its dependencies, for a newer Python: overlays.py and what it needs are loaded alone, without the package's
# other modules. Its function without ray's decorator, on which tile_overlay and tile_overlay_overlap rest, is what is called.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "ray==2.52.0" "pyarrow==22.0.0" "rasterio==1.4.4" "openslide-python==1.4.2" "openslide-bin==4.0.0.8" \
    "tifffile==2025.10.16" "shapely==2.1.2" "pandas==2.3.3" "fsspec==2025.10.0" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --ignore-requires-python "ratiopath==1.5.0"
cat > regions.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np
import openslide
import pyarrow as pa
import tifffile
from shapely import Point, box

for name in ("ratiopath", "ratiopath.tiling"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("ratiopath").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
overlays = import_module("ratiopath.tiling.overlays")

print(*(f"{name} {version(name)}" for name in ("ratiopath", "ray", "rasterio", "numpy")), "openslide", openslide.__library_version__)
SIZE, SPACING = 1024, 0.5
mask = np.zeros((2 * SIZE, 2 * SIZE), np.uint8)  # at twice the slide's resolution
mask[:, 1400:] = 1  # tumour, from x = 700 of the slide
for name, step in (("twice", 1), ("same", 2), ("half", 4), ("quarter", 8), ("eighth", 16)):
    pixels, per_cm = np.dstack([mask[::step, ::step]] * 3), 1e4 / (SPACING * step / 2)
    tifffile.imwrite(f"{name}.tif", pixels, tile=(256, 256), photometric="rgb", resolution=(per_cm, per_cm),
                     resolutionunit="CENTIMETER")


def counted(name, region):
    """Of the tile at (512, 512): the share of the region that is counted, and how much of that is tumour."""
    tile, spacing = pa.array([512]), pa.array([SPACING])
    (found,) = overlays._tile_overlay(region, pa.array([f"{name}.tif"]), tile, tile, spacing, spacing)
    left, top, right, bottom = region.bounds
    pixel = (right - left) * (bottom - top) / found[..., 0].size
    share = round(float(found[..., 0].count() * pixel / region.area), 2)
    return share, round(float(found[..., 0].mean()), 2) if share else None


square, circle = box(128, 128, 384, 384), Point(256, 256).buffer(128)
squares = {name: counted(name, square) for name in ("twice", "same", "half", "quarter", "eighth")}
circles = {name: counted(name, circle) for name in squares}
print("share of the region that is counted, and of that tumour, by the mask's resolution:")
print("square", squares)
print("circle", circles)
as_seen = squares["same"] == squares["half"] == squares["quarter"] == (1.0, 0.77) and squares["eighth"] == (1.0, 0.75)
as_seen &= squares["twice"] == (0.06, 0.06) and circles["twice"] == (0.06, 0.03)
as_seen &= circles["same"] == (1.0, 0.82) and circles["half"] == (0.4, 1.0)
as_seen &= circles["quarter"] == circles["eighth"] == (0.0, None)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore regions.py

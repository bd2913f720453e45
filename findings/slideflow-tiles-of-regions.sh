#!/usr/bin/env bash
# slideflow's WSI and regions of interest: which region a tile is of, and which tiles are in a region, with an artifact or an origin.
#
# Expected: get_tile_dataframe has the name and "ROI label" of the region of each tile, whichever rule says that it is in one. With
# roi_filter_method="center", the default, "tiles are filtered with ROIs based on the center of the tile", and origin=(x, y) is "offset
# the starting grid".
# Seen (slideflow 3.0.2, rasterio 1.4.4, shapely 2.2.0, numpy 2.4.6, CPython 3.11): of a slide with regions of tumour, stroma and
# necrosis of 64 tiles each all have the name and the label of one of them, 1) with roi_filter_method=0.5, as the tile's number is
# looked up in a mask that is 50 times finer, and so at the slide's corner, 2) with an artifact of 1 tile in artifact_labels, as the
# regions' numbers and the mask of what is no artifact, 1, are put together by their minimum.
# The grid of regions takes no account of the origin: with (200, 200) and tiles of 256 px, 11 of 36 tiles that are kept have their
# centre outside of the region, without a pixel inside, and 11 with their centre inside are left out. With stride_div=2 it is
# stretched: 121 tiles of 144 are kept. Nothing is said about any of them.
# What follows: look up each tile's centre in the regions (WSI.rois) oneself; a number as the rule, as 0.5, is right about which tiles.
# Installed without its dependencies (torch, with much else): the package's part for slides is loaded alone, with libvips.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "pandas==3.1.1" "tifffile==2026.3.3" "shapely==2.2.0" "rasterio==1.4.4" "pyvips==3.2.0" \
    "pyvips-binary==8.18.7" "scikit-image==0.26.0" "opencv-python-headless==5.0.0.93" "rich==15.0.0" "tqdm==4.70.1" \
    "requests==2.34.2" "fpdf2==2.8.9" "packaging==26.4" "protobuf==3.20.3" "crc32c==2.9.post0" "tabulate==0.10.0"
env/bin/pip install --quiet --no-deps "slideflow==3.0.2"
cat > regions.py <<'PY'
import os
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np
import shapely
import tifffile

os.environ.update(SF_SLIDE_BACKEND="libvips", SF_BACKEND="torch")
package = types.ModuleType("slideflow")  # without what its models need
package.__path__ = [str(distribution("slideflow").locate_file("slideflow"))]
sys.modules["slideflow"] = package
for name in ("backend", "slide_backend"):
    setattr(package, name, getattr(import_module("slideflow._backend"), name))
package.errors, package.util = import_module("slideflow.errors"), import_module("slideflow.util")
package.log = package.util.log
WSI = import_module("slideflow.slide").WSI


def slide(regions, **options):
    """The slide with regions, each a name and its left, top, width and height."""
    one = WSI("slide.tif", tile_px=256, tile_um=128, mpp=0.5, verbose=False, **options)
    for name, (x, y, width, height) in regions.items():
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        one.load_roi_array(np.array(corners, float), label=name, name=name, process=False)
    one.process_rois()
    return one


def labels(regions, **options):
    """How many tiles have each label, most first."""
    return sorted(slide(regions, **options).get_tile_dataframe()["label"].value_counts().tolist(), reverse=True)


def kept(**options):
    """How many tiles are kept, how many should be, and how many of the former have their centre outside or no pixel inside."""
    one, square = slide({"tumour": (1000, 1000, 1500, 1500)}, **options), shapely.box(1000, 1000, 2500, 2500)
    centres, there = ({tuple(map(int, place[:2])) for place in places} for places in (one.coord, one.get_tile_coord()))
    inside = {place for place in centres if square.contains(shapely.Point(place[0] + 128, place[1] + 128))}
    none = [place for place in there if not square.intersects(shapely.box(*place, place[0] + 256, place[1] + 256))]
    return len(there), len(inside), len(there - inside), len(none)


print(*(f"{name} {version(name)}" for name in ("slideflow", "rasterio", "shapely", "numpy")))
pixels = np.full((4096, 4096, 3), 200, np.uint8)
tifffile.imwrite("slide.tif", pixels, tile=(256, 256), photometric="rgb", resolution=(20000, 20000), resolutionunit=3)
three = {"tumour": (0, 0, 1024, 4096), "stroma": (1024, 0, 1024, 4096), "necrosis": (2048, 0, 1024, 4096)}
with_pen = {**three, "pen": (300, 300, 150, 150)}
found = {
    "by the centre": labels(three),
    "by a share of 0.5": labels(three, roi_filter_method=0.5),
    "by the centre, with an artifact": labels(with_pen, artifact_labels=["pen"]),
}
for rule, counts in found.items():
    print(f"tiles of each label, {rule}: {counts}")
rules = {"": {}, "origin=(200, 200)": {"origin": (200, 200)}, "stride_div=2": {"stride_div": 2}}
counts = {name: kept(**options) for name, options in rules.items()}
print("tiles that are kept, whose centre is inside, kept with a centre outside, kept with no pixel inside:", counts)
as_seen = list(found.values()) == [[64, 64, 64], [192], [191]]
as_seen &= counts[""] == (36, 36, 0, 0) and counts["origin=(200, 200)"] == (36, 36, 11, 11)
sys.exit(0 if as_seen and counts["stride_div=2"] == (121, 144, 0, 0) else 1)
PY
env/bin/python -W ignore regions.py

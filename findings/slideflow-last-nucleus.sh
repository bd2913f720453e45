#!/usr/bin/env bash
# slideflow's cellseg.Segmentation: centres of nuclei of a label image, and tiles of a slide around them.
#
# Expected: centroids() has the centre of each nucleus; apply_rois, "excluding masks outside ROIs", leaves those of the nuclei inside;
# extract_centroids "yields a numpy array at each mask centroid", where wsi_offset is the "top-left starting location for masks".
# Seen (slideflow 3.0.2, scipy 1.17.1, numpy 2.4.6, CPython 3.11): the last nucleus, that with the highest number, has no centre: 99
# of 100 are there, as the last part of a table ends before its last row. After apply_rois with a region of the last 40 of them 99
# centres are left, 60 of which are at (0, 0), those of the excluded, and WSI.apply_segmentation counts 99 tiles. Tiles of
# extract_centroids are elsewhere where the offset's x is not its y, as it is added to (y, x): with (400, 0) all 99 are 400 px too
# far down and too far left, of other tissue. centroids(wsi_dim=True) has the offset right. Nothing is said about any of it.
# What follows: give the label image one nucleus more, of one pixel, with the highest number; take centres from it oneself
# (scikit-image's regionprops) where there are regions or an offset.
# Installed without its dependencies: the package's part for slides is loaded alone, with libvips; for what it needs only to find
# nuclei (torch, cellpose, zarr, models) empty modules stand.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==3.1.1" "tifffile==2026.3.3" "shapely==2.2.0" "rasterio==1.4.4" \
    "pyvips==3.2.0" "pyvips-binary==8.18.7" "scikit-image==0.26.0" "opencv-python-headless==5.0.0.93" "rich==15.0.0" \
    "tqdm==4.70.1" "requests==2.34.2" "fpdf2==2.8.9" "packaging==26.4" "protobuf==3.20.3" "crc32c==2.9.post0" "tabulate==0.10.0"
env/bin/pip install --quiet --no-deps "slideflow==3.0.2"
cat > nuclei.py <<'PY'
import os
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

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
package.slide = import_module("slideflow.slide")
package.WSI = package.slide.WSI
for name in ("torch", "cellpose", "cellpose.models", "zarr", "zarr.convenience", "numcodecs", "matplotlib", "matplotlib.colors",
             "slideflow.model", "slideflow.segment", "slideflow.segment.utils"):
    sys.modules[name] = MagicMock()
Segmentation = import_module("slideflow.cellseg").Segmentation

print(*(f"{name} {version(name)}" for name in ("slideflow", "scipy", "numpy")))
masks = np.zeros((400, 400), np.int32)
for number in range(100):  # nuclei of 9 x 11 px, ten in each of ten rows
    top, left = 10 + 40 * (number // 10), 8 + 40 * (number % 10)
    masks[top : top + 9, left : left + 11] = number + 1
true = np.array([np.argwhere(masks == number).mean(0) for number in range(1, 101)])
centres = Segmentation(masks).centroids()
same = np.array_equal(centres, true[: len(centres)])
print(f"nuclei: {len(true)}; centres: {len(centres)}, those of the first ones: {same}")
region = Segmentation(masks.copy(), wsi_dim=(400, 400), wsi_offset=(0, 0))
region.apply_rois(1, [shapely.box(0, 240, 400, 400)])
inside, left = len(np.unique(region.masks)) - 1, region.centroids()
corner = int((left == 0).all(1).sum())
print(f"nuclei in the region: {inside}; centres: {len(left)}, of which at (0, 0): {corner}")
y, x = np.mgrid[:800, :1200]
pixels = np.stack([x % 256, y % 256, 4 * (x // 256) + 32 * (y // 256)], -1).astype(np.uint8)  # each pixel tells its place
text = "Aperio Image Library\n1200x800 (256x256)|AppMag = 20|MPP = 0.5"
tifffile.imwrite("slide.svs", pixels, tile=(256, 256), photometric="rgb", description=text, metadata=None)
wsi = package.WSI("slide.svs", tile_px=64, tile_um=32, verbose=False)
wsi.apply_segmentation(region)
print("tiles that the slide counts:", wsi.estimated_num_tiles)


def places(offset):
    """Where the middles of the tiles are, (x, y), less where they should be, for nuclei that begin at an offset."""
    one = Segmentation(np.pad(masks, ((0, 400), (0, 0))), wsi_dim=(400, 800), wsi_offset=offset)
    true = one.centroids(wsi_dim=True)
    found = []
    for tile in one.extract_centroids("slide.svs", tile_px=16)():
        red, green, blue = map(int, tile[8, 8])
        found.append((red + 256 * (blue % 32 // 4), green + 256 * (blue // 32)))
    return sorted(set(map(tuple, (np.array(found) - true).tolist())))


off = {offset: places(offset) for offset in ((0, 0), (300, 300), (400, 0))}
print("how far tiles are from their nuclei, (x, y), by offset:", off)
as_seen = same and (len(centres), inside, len(left), corner) == (99, 40, 99, 60) and wsi.estimated_num_tiles == 99
sys.exit(0 if as_seen and off == {(0, 0): [(0, 0)], (300, 300): [(0, 0)], (400, 0): [(-400, 400)]} else 1)
PY
env/bin/python -W ignore nuclei.py

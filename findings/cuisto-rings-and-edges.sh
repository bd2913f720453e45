#!/usr/bin/env bash
# cuisto's segmentation of probability maps for QuPath (process_directory): cells with a hole, and masks that leave a slice's edge out.
#
# Expected: a detection is a cell: 6 for 6 cells, whether a stain fills them or leaves the nucleus out. edge_dist is the "Distance to
# the edge of the brain masks that will be ignored, in microns": what lies within it is not there. A mask of 0 and 255, as programs
# for images write binary masks, does what one of 0 and 1 does.
# Seen (cuisto 2025.6.17, scikit-image 0.26.0, shapely 2.1.2, numpy 2.4.6, CPython 3.11): of 6 cells that are rings there are 12
# detections in the file for QuPath, 6 of which are their holes: each contour becomes a polygon of its own.
# With edge_dist=20 and pixels of 1 um, cells at 11 um from the edge stay, and with 40 those at 22 um: half of it is taken off, as
# the mask is eroded with a square of that width. With a mask of 0 and 255 none of the cells is found, of which there are 9: a map
# of 8 bits times 255 has the probabilities turned round, 250 to 6 and 10 to 246, and all the tissue is one object. Nothing is said.
# What follows: fill holes in the map, or drop detections that lie in others; give twice the distance; divide masks by 255.
# Installed without its dependencies, for a newer Python: the module is loaded alone, without skan, which it has for fibres.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scikit-image==0.26.0" "geojson==3.3.0" "shapely==2.1.2" "tifffile==2026.3.3" "pandas==2.3.3" \
    "tqdm==4.67.3" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --ignore-requires-python "cuisto==2025.6.17"
cat > slices.py <<'PY'
import json
import sys
import tempfile
import types
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np
import tifffile
from shapely.geometry import shape

package = types.ModuleType("cuisto")  # the package, without what its other modules need
package.__path__ = [str(distribution("cuisto").locate_file("cuisto"))]
fibres = types.ModuleType("skan")
fibres.Skeleton = fibres.summarize = None
sys.modules.update({"cuisto": package, "skan": fibres})
process_directory = import_module("cuisto.segmentation").process_directory

print(*(f"{name} {version(name)}" for name in ("cuisto", "scikit-image", "shapely", "numpy")))
ROWS, COLUMNS = np.mgrid[:220, :300]


def detections(probabilities, mask=None, edge_dist=0):
    """The polygons that are written for QuPath, of pixels of 1 um."""
    with tempfile.TemporaryDirectory() as folder:
        maps, masks = Path(folder, "maps"), Path(folder, "masks")
        maps.mkdir()
        masks.mkdir()
        tifffile.imwrite(maps / "slice.ome.tiff", probabilities, resolution=(1, 1))
        options = {}
        if mask is not None:
            tifffile.imwrite(masks / "slice.tiff", mask)
            options = {"masks_dir": str(masks), "masks_ext": "tiff", "edge_dist": edge_dist}
        filters = {"area_low": 5, "area_high": 5000, "ecc_low": 0, "ecc_high": 1, "dist_thresh": 0, "length_low": 0}
        process_directory(str(maps), ".ome.tiff", "cells", 1.0, 0, proba_threshold=0.5, filters=filters, **options)
        (file,) = Path(folder, "geojson").glob("*.geojson")
        return [shape(feature["geometry"]) for feature in json.loads(file.read_text())["features"]]


def cells(hole):
    """Probabilities of 6 round cells of 16 um, with holes or without."""
    found = np.full(ROWS.shape, 10, np.uint8)
    for x in range(30, 300, 50):
        distance = np.hypot(ROWS - 100, COLUMNS - x)
        found[(distance <= 8) & (distance >= hole)] = 250
    return found


full, rings = detections(cells(0)), detections(cells(4))
print("cells without holes:", len(full), "detections; with holes:", len(rings), "of areas", sorted({round(one.area) for one in rings}))
slice_mask = (COLUMNS >= 20).astype(np.uint8)
row = np.full(ROWS.shape, 10, np.uint8)
places = range(4, 60, 6)  # um from the mask's edge
for number, place in enumerate(places):
    row[10 + 20 * number:14 + 20 * number, 20 + place - 2:20 + place + 2] = 250
seen = {}
for high, edge_dist in ((1, 20), (1, 40), (255, 20)):
    left = sorted(round(one.centroid.x - 20) for one in detections(row, slice_mask * np.uint8(high), edge_dist))
    seen[high, edge_dist] = left
    print(f"mask of 0 and {high}, edge_dist {edge_dist}: cells at {left} um, of those at {list(places)} um")
as_seen = len(full) == 6 and len(rings) == 12 and seen[255, 20] == []
as_seen &= len(seen[1, 20]) == 9 and seen[1, 20][0] < 12 and len(seen[1, 40]) == 7 and seen[1, 40][0] == 22
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore slices.py 2>/dev/null

#!/usr/bin/env bash
# InstanSeg's labels_to_features: GeoJSON of numbered nuclei, for QuPath.
#
# Expected: with include_labels=True the measurement `Label` is the number that the nucleus has in the image. With downsample=2 the outlines
# are twice as large, in pixels of the slide, whether an offset is added or not. A hole stays a hole.
# Seen (instanseg-torch 0.1.2, rasterio 1.4.4, geojson 3.3.0, torch 2.13.0, numpy 2.4.6, CPython 3.11): nuclei 12, 40 and 3 get the
# labels 0, 1 and 2, the order in which they come; in a slide that is exported in windows that begins anew in each, so that
# no row of a table of measurements finds its nucleus. `downsample` does nothing unless `offset` is given, be it (0, 0): the nuclei
# lie at half of their coordinates. With an offset a hole is filled, and the area is 256 instead of 240. Nothing is said about it.
# What follows: outlines with numbers come from rasterio.features.shapes itself, whose second value is the number in the image and
# whose transform scales and shifts.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "instanseg-torch==0.1.2" "torch==2.13.0" "rasterio==1.4.4" "geojson==3.3.0" "shapely==2.2.0" "numpy==2.4.6"
cat > outlines.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import rasterio.features
import shapely
from instanseg.utils.utils import labels_to_features

labels = np.zeros((40, 60), dtype=np.int32)
labels[5:15, 5:15] = 12
labels[5:15, 20:30] = 40
labels[20:36, 20:36] = 3
labels[26:30, 26:30] = 0  # a hole


def told(**options):
    """Numbers, right borders and areas of the nuclei that are written."""
    features = labels_to_features(labels, object_type="detection", include_labels=True, **options)["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    numbers = [feature["properties"]["measurements"][0]["value"] for feature in features]
    return numbers, [shape.bounds[2] for shape in shapes], [shape.area for shape in shapes]


print(*(f"{name} {version(name)}" for name in ("instanseg-torch", "rasterio", "geojson", "torch", "numpy")))
traced = [(int(number), shapely.geometry.shape(shape).area) for shape, number in rasterio.features.shapes(labels, mask=labels > 0)]
print("rasterio: numbers and areas", traced)
found = {}
for name, options in (
    ("as they are", {}), ("downsample 2", {"downsample": 2.0}), ("and offset (0, 0)", {"downsample": 2.0, "offset": (0, 0)}),
    ("offset (0, 0) alone", {"offset": (0, 0)}),
):
    found[name] = numbers, right, areas = told(**options)
    print(f"{name}: labels {numbers}, right borders {right}, areas {areas}")
renumbered = all(numbers == [0, 1, 2] for numbers, _, _ in found.values()) and [number for number, _ in traced] == [12, 40, 3]
borders = [right for _, right, _ in found.values()]
ignored = borders[0] == borders[1] == [15, 30, 36] and borders[2] == [30, 60, 72]
filled = found["as they are"][2][2] == 240 and found["offset (0, 0) alone"][2][2] == 256
sys.exit(0 if renumbered and ignored and filled else 1)
PY
env/bin/python -W ignore outlines.py

#!/usr/bin/env bash
# popidd-io, a napari plugin for slides and QuPath's annotations: GeoJSON that it reads and writes.
#
# Expected: a shape drawn in napari over rows 100 to 200 and columns 300 to 500 of a slide lies there in QuPath too: x from 300 to 500
# and y from 100 to 200 in the GeoJSON. An annotation of QuPath that is read and written again has the area that it had.
# Seen (popidd-io 0.0.6, geopandas 1.2.0, shapely 2.2.0, numpy 2.4.6, CPython 3.11): the drawn shape is written with x from 100 to 200
# and y from 300 to 500, mirrored at the slide's diagonal, for napari's (row, column) goes into the file as it is. A layer read
# from QuPath holds (x, y) and comes back where it was, so of one file the read shapes are right and the drawn ones are not: shape2feat
# (_anno.py) exchanges the two for layers with "qupath_comp", which the reader puts elsewhere, in the layer's metadata. Of an
# annotation of 640,000 px with a hole of 160,000 load_geojson keeps the outer ring: 640,000 px are written. Nothing is said.
# What follows: exchange rows and columns of drawn shapes before they are saved, or save them with another plugin.
# Only the module of annotations is loaded, without napari (of which it takes the name of a type).
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "geopandas==1.2.0" "pandas==3.1.1" "shapely==2.2.0"
env/bin/pip install --quiet --no-deps "popidd-io==0.0.6"
cat > drawn.py <<'PY'
import json
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import geopandas
import numpy as np
from shapely.geometry import box, mapping

sys.modules["napari"] = sys.modules["napari.types"] = MagicMock()
package = types.ModuleType("popidd_io")  # without what its __init__ imports besides
package.__path__ = [str(distribution("popidd-io").locate_file("popidd_io"))]
sys.modules["popidd_io"] = package

from popidd_io._anno import load_geojson
from popidd_io._writer import save_manyannolayers

print(*(f"{name} {version(name)}" for name in ("popidd-io", "geopandas", "shapely", "numpy")))
region = box(200, 300, 1000, 1100) - box(400, 500, 800, 900)
feature = {"type": "Feature", "geometry": mapping(region),
           "properties": {"objectType": "annotation", "name": "region", "classification": {"name": "tumour"}}}
with open("qupath.geojson", "w") as file:
    json.dump({"type": "FeatureCollection", "features": [feature]}, file)
rows_and_columns = np.array([[100, 300], [100, 500], [200, 500], [200, 300]], float)  # as napari's Shapes layer has them
drawn = [rows_and_columns], {"name": "drawn", "shape_type": ["rectangle"], "metadata": {}}, "shapes"
read = load_geojson("qupath.geojson")
save_manyannolayers("saved", [drawn, *[([np.array(shape) for shape in data], about, kind) for data, about, kind in read]])
saved = geopandas.read_file("saved.geojson").set_index("name").geometry
there, back = saved["drawn"].bounds, saved["Annot. region"]
print(f"drawn over rows 100-200 and columns 300-500: x {there[0]:.0f}-{there[2]:.0f}, y {there[1]:.0f}-{there[3]:.0f} in the file")
print(f"read from QuPath and saved: {back.bounds} for {region.bounds}, area {back.area:.0f} for {region.area:.0f}")
as_seen = there == (100, 300, 200, 500) and back.bounds == region.bounds and region.area == 480_000 and back.area == 640_000
as_seen &= "qupath_comp" in read[0][1]["metadata"] and "qupath_comp" not in read[0][1]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore drawn.py

#!/usr/bin/env bash
# wsi-annotations-kit: annotations from one slide viewer for another, and annotations of a mask.
#
# Expected: an annotation that is saved as XML (ImageScope), GeoJSON (QuPath) and JSON (HistomicsUI) is at one place in all of them,
# and a file that is read and saved in its own format says what it said. A gland with a lumen in a mask becomes one region that has
# a hole or leaves the lumen out in another way, and what touches the mask's border keeps its area.
# Seen (wsi-annotations-kit 1.4.10, shapely 2.2.0, scikit-image 0.26.0, lxml 6.1.3, numpy 2.4.6, CPython 3.11): the annotation whose
# corner is at X 1000, Y 200 is there in GeoJSON and JSON, and at X 200, Y 1000 in XML. An XML that is read (Converter) and saved as
# XML is exchanged; so X and Y have to be in the wrong order for the one and in the right one for the others. A ring-shaped gland of
# 6,264 px becomes two regions of 11,276 and 5,012 px, both of the class gland, 2.6 times as much. A gland of 50 x 50 px in the corner
# of the mask becomes a triangle of 1,225 px: its outline ends at the border, and the ends are joined. A polygon with a hole loses it.
# What follows: exchange X and Y in polygons before xml_save, pad masks by a pixel, and take inner outlines off.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "shapely==2.2.0" "scikit-image==0.26.0" "lxml==6.1.3" "numpy==2.4.6" "geojson==3.3.0" "tqdm==4.70.1"
env/bin/pip install --quiet --no-deps "wsi-annotations-kit==1.4.10"
cat > places.py <<'PY'
import contextlib
import io
import json
import sys
from importlib.metadata import version
from xml.etree import ElementTree

import numpy as np
from shapely.geometry import Polygon, shape
from wsi_annotations_kit.wsi_annotations_kit import Annotation, Converter


def saved(annotation):
    """The first region's polygon in each of the three formats."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        annotation.xml_save("as.xml")
        annotation.geojson_save("as.geojson")
        annotation.json_save("as.json")
    region = next(ElementTree.parse("as.xml").iter("Region"))
    yield "XML", Polygon([(float(point.get("X")), float(point.get("Y"))) for point in region.iter("Vertex")])
    with open("as.geojson") as file:
        yield "GeoJSON", shape(json.load(file)["features"][0]["geometry"])
    with open("as.json") as file:
        yield "JSON", Polygon([point[:2] for point in json.load(file)[0]["annotation"]["elements"][0]["points"]])


def areas(mask):
    """The areas of the regions that a mask of one class becomes."""
    annotation = Annotation()
    annotation.add_names(["gland"])
    annotation.add_mask(mask, [0, 0], "label", ["gland"])
    return sorted(one.poly.area for one in annotation.objects["gland"])


print(*(f"{name} {version(name)}" for name in ("wsi-annotations-kit", "shapely", "scikit-image", "lxml", "numpy")))
outline = Polygon([(1000, 200), (1300, 200), (1300, 300), (1000, 300)], [[(1100, 220), (1200, 220), (1200, 280), (1100, 280)]])
annotation = Annotation()
annotation.add_names(["tumour"])
annotation.add_shape(outline, [0, 0], "tumour", "one")
there = dict(saved(annotation))
for name, one in there.items():
    print(f"{name}: X from {one.bounds[0]:.0f} to {one.bounds[2]:.0f}, Y from {one.bounds[1]:.0f} to {one.bounds[3]:.0f},",
          f"area {one.area:.0f} (of {outline.area:.0f})")
with contextlib.redirect_stdout(io.StringIO()):
    read = Converter("as.xml", {"tumour": 1}, verbose=False).annotation
again = dict(saved(read))
print("the XML, read and saved as XML: X from {:.0f}, Y from {:.0f}".format(*again["XML"].bounds))
ring, corner = np.zeros((200, 200), np.uint8), np.zeros((200, 200), np.uint8)
far = np.hypot(*(np.mgrid[:200, :200] - 100))
ring[(far >= 40) & (far < 60)] = 1
corner[:50, 150:] = 1
of_ring, of_corner = areas(ring), areas(corner)
print(f"a ring of {ring.sum()} px: regions of {of_ring}; a square of {corner.sum()} px at the corner: {of_corner}")
right, turned = (1000, 200, 1300, 300), (200, 1000, 300, 1300)
as_seen = there["XML"].bounds == turned and there["GeoJSON"].bounds == there["JSON"].bounds == right and again["XML"].bounds == right
as_seen &= all(one.area == 30000 for one in there.values())
as_seen &= len(of_ring) == 2 and sum(of_ring) > 2.5 * ring.sum() and len(of_corner) == 1 and of_corner[0] < 0.5 * corner.sum()
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore places.py

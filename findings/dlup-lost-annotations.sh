#!/usr/bin/env bash
# dlup's SlideAnnotations: copies and sums of annotations with regions of interest, and those of one image of a SlideScore file.
#
# Expected: a copy of annotations has what they have, and a + b "the annotations combined": the polygons and the regions of interest
# of both. from_slidescore_tsv(image_id=5), where int and list of int are documented, reads the annotations of the image 5.
# Seen (dlup 0.9.4, fastslide 0.8.1, numpy 2.4.6, CPython 3.11): copy(), copy.copy and copy.deepcopy leave all regions of interest out,
# and so does a + b, which begins with a copy, for those of a: of one polygon and one region in each, two polygons and b's region
# are there, while a += b keeps all four. Where they say which tiles are used (SlideDataset), those of a's regions are lost: 4 of 8.
# image_id=5 and [5] give no annotations at all, "5" those of the image, since a file's column is text; nothing is said. dlup's own
# export for SlideScore, as_slidescore_tsv(image_id=5), is read as empty with image_id=5.
# What follows: add regions again after a copy, use +=, and give image numbers as text.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "dlup==0.9.4" "fastslide==0.8.1" "fimage-python==0.1.2" "numpy==2.4.6"
cat > lost.py <<'PY'
import copy
import sys
from importlib.metadata import version
from types import SimpleNamespace

from dlup import SlideAnnotations
from dlup.background import compute_masked_indices
from dlup.geometry import Polygon


def square(left, width, label):
    """A square from (left, 0)."""
    return Polygon([(left, 0), (left + width, 0), (left + width, width), (left, width)], [], label=label)


def annotated(left):
    """Annotations of a tumour in a region of interest of 256 x 256 px."""
    found = SlideAnnotations()
    found.add_polygon(square(left, 50, "tumour"))
    found.add_roi(square(left, 256, "region"))
    found.rebuild_rtree()
    return found


def tiles(annotations):
    """How many of the tiles of 128 px are in regions of interest."""
    annotations.rebuild_rtree()
    slide = SimpleNamespace(size=(1024, 256), mpp=0.5, get_scaling=lambda mpp: 0.5 / mpp)
    places = [(128.0 * column, 128.0 * row, 128, 128, 0.5) for row in range(2) for column in range(8)]
    return len(compute_masked_indices(slide, annotations, places, threshold=0.9))


def line(what, one):
    print(f"{what}: {len(one.polygons)} polygons, {len(one.rois)} regions of interest, {tiles(one)} tiles")


print(*(f"{name} {version(name)}" for name in ("dlup", "fastslide", "numpy")))
first, second = annotated(0), annotated(512)
copies = [first.copy(), copy.copy(first), copy.deepcopy(first)]
added, kept = first + second, annotated(0)
kept += second
for what, one in (("a", first), ("b", second), ("a copy of a", copies[0]), ("a + b", added), ("a += b", kept)):
    line(what, one)
with open("answers.tsv", "w", encoding="utf-8") as file:
    file.write(first.as_slidescore_tsv(image_id=5, image_name="slide", user_email="one@example.org"))
read = [len(SlideAnnotations.from_slidescore_tsv("answers.tsv", image_id=image).polygons) for image in (None, "5", 5, [5])]
print(f'polygons of the image 5, read without image_id {read[0]}, with "5" {read[1]}, with 5 {read[2]}, with [5] {read[3]}')
as_seen = len(first.rois) == len(second.rois) == 1 and all(len(one.polygons) == 1 and not one.rois for one in copies)
as_seen &= len(added.polygons) == 2 and len(added.rois) == 1 and len(kept.rois) == 2 and (tiles(added), tiles(kept)) == (4, 8)
sys.exit(0 if as_seen and read[0] == read[1] > 0 == read[2] == read[3] else 1)
PY
env/bin/python -W ignore lost.py

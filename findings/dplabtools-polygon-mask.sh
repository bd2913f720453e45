#!/usr/bin/env bash
# dplabtools (Digital Pathology Lab Tools): masks of annotations, WSIPolygonMask.
#
# Expected: the mask of a level covers the annotation, less its holes, as the patches of the same polygon_data do: the code of
# PolygonRegionGridPatches maps points and holes to the mask's level. Annotations are in pixels of level 0, as the readers give them.
# Seen (dplabtools 0.0.5, scikit-image 0.25.2, openslide-python 1.4.7, numpy 2.4.6, CPython 3.11): at level 0 the hole is filled:
# 641,601 px of an annotation of 480,000. At level 1 the points of level 0 are drawn on the smaller picture as they are: the
# region is twice as far from the corner and covers four times the area, 2,566,404 px, 92 % of it outside the annotation. Only
# where a point falls beyond the smaller picture is there an error. PolygonRegionGridPatches covers 480,000 px with a mask of
# either level, for the same polygons. WSIPolygonMask._create_mask (processing/mask/polygon.py) uses points as they are and not
# AnnotationPolygon.holes.
# What follows: polygons with their coordinates divided by the level's downsample, holes drawn out of .array by oneself.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scikit-image==0.25.2" "pillow==13.0.0" "shapely==2.2.0" "matplotlib==3.11.2" \
    "tomli==2.5.0" "tifffile==2026.3.3" "tiffslide==3.0.1" "openslide-python==1.4.7" "openslide-bin==4.0.1.2" \
    "opencv-python-headless==5.0.0.93"
env/bin/pip install --quiet --no-deps "dplabtools==0.0.5"
cat > masks.py <<'PY'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tifffile
from dplabtools.slides.annotations import AsapReader
from dplabtools.slides.patches import PolygonRegionGridPatches
from dplabtools.slides.processing import WSIPolygonMask
from skimage.draw import polygon


def square(low, high):
    return [(low, low), (high, low), (high, high), (low, high)]


print(*(f"{name} {version(name)}" for name in ("dplabtools", "scikit-image", "openslide-python", "numpy")))
slide = np.full((2048, 2048, 3), 200, np.uint8)
with tifffile.TiffWriter("slide.tif") as file:
    for factor in (1, 2, 4):
        file.write(np.ascontiguousarray(slide[::factor, ::factor]), tile=(256, 256), photometric="rgb", subfiletype=int(factor > 1),
                   resolution=(20000 / factor, 20000 / factor), resolutionunit="CENTIMETER")
corners = "".join(f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(square(200, 1000)))
Path("slide.xml").write_text('<ASAP_Annotations><Annotations><Annotation Name="1" Type="Polygon" PartOfGroup="tumour" '
                             f'Color="#F4FA58"><Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>')
read = AsapReader(data_file="slide.xml", get_label_fn=lambda **fields: fields["PartOfGroup"]).polygons[0].data_dict
print(f"read from ASAP: {read}")
annotation = {**read, "holes": [square(400, 800)]}
annotations = json.dumps([annotation])
inside = np.zeros((2048, 2048), bool)  # by hand, at level 0; x first, as the package has its arrays
inside[polygon(*np.array(annotation["points"]).T, inside.shape)] = True
inside[401:800, 401:800] = False
areas = {}
for level, size in ((0, 2048), (1, 1024)):
    mask = WSIPolygonMask(polygon_data=annotations, wsi_file="slide.tif", level_or_minsize=level).array
    patches = PolygonRegionGridPatches(wsi_file="slide.tif", mask_data=np.ones((size, size), bool), polygon_data=annotations,
                                       patch_size=40, level_or_mpp=0, overlap_ratio=0.9, foreground_ratio=1.0)
    at_zero = np.kron(mask, np.ones((2**level, 2**level), bool))
    places = np.argwhere(mask)
    areas[level] = (int(mask.sum()) * 4**level, patches.patch_count * 40 * 40, places.min() * 2**level,
                    float((at_zero & ~inside).sum() / at_zero.sum()))
    print(f"level {level}: the mask covers {areas[level][0]} px of level 0, from {areas[level][2]} on, {areas[level][3]:.0%} outside;",
          f"the patches cover {areas[level][1]}; by hand {inside.sum()} from 200 on")
as_seen = read["points"] == square(200, 1000) and areas[0][0] == 801**2 and areas[1][0] == 4 * 801**2
as_seen &= bool(areas[0][2] == 200 and areas[1][2] == 400 and areas[1][3] > 0.5)
as_seen &= all(area[1] == 480_000 for area in areas.values()) and abs(int(inside.sum()) - 480_000) < 4000
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore masks.py

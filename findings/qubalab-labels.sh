#!/usr/bin/env bash
# QuBaLab's LabeledImageServer: label images of QuPath's annotations and nuclei.
#
# Expected: a tumour that is listed after the tissue it lies in is drawn over it. Label images that are made with downsample=4 have a
# fourth of the image's width and height as dask arrays too (to_dask), with a nucleus that is at (300, 100) at (75, 25). A nucleus
# of 10 x 10 px, outlined by create_from_label_image, is one of 100 px when it is drawn again. A class's mask (multichannel=True) read
# at another downsample is that mask, smaller.
# Seen (qubalab 0.2.1, shapely 2.2.0, pillow 13.0.0, dask 2026.8.0, rasterio 1.4.4, numpy 2.4.6, CPython 3.11): of five tumours after
# their tissue no pixel is left, the tissue is drawn over all of them: what overlaps is drawn in the order in which shapely's STRtree
# gives it back, which is no order of the list. Of thirty tumours 12 are drawn. The dask array of the labels at a fourth is 200 x
# 400 px, as the image, with the labels in its upper left corner: what is at (300, 100) is at (75, 25) of it, and at (300, 100) is
# nothing. read_region gives 50 x 100 px. The nucleus has 121 px: Pillow draws the lower and the right edge of a polygon too. Of masks
# of 1,681 and 441 px nothing is left at downsample 2: their bytes, one a pixel, are taken for eight pixels each, the first eighth
# of them for the whole image.
# What follows: give the classes to one server each, read with read_region at the server's own downsample, or rasterize them oneself.
# Installed without its dependencies (bioio, py4j and more): the modules of the label images are loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "shapely==2.2.0" "pillow==13.0.0" "dask[array]==2026.8.0" "rasterio==1.4.4" "numpy==2.4.6" "geojson==3.3.0"
env/bin/pip install --quiet --no-deps "qubalab==0.2.1"
cat > labels.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import geojson
import numpy as np

for name in ("qubalab", "qubalab.images"):  # the packages without what their __init__ brings in
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("qubalab").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
sys.modules["dask_image"] = MagicMock()  # resampling, which nothing here calls
from qubalab.images.labeled_server import LabeledImageServer
from qubalab.images.metadata import ImageMetadata, ImageShape, PixelCalibration
from qubalab.objects import Classification, ImageFeature

image = ImageMetadata("slide", "slide", (ImageShape(400, 200),), PixelCalibration(), False, np.uint8)


def box(x, y, width, height, kind=None):
    """A feature that is a rectangle."""
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    return ImageFeature(geojson.Polygon([corners]), kind)


print(*(f"{name} {version(name)}" for name in ("qubalab", "shapely", "pillow", "dask", "rasterio", "numpy")))
tissue, tumour = Classification("tissue"), Classification("tumour")
drawn = {}
for rows in (1, 6):
    tumours = [box(20 + 50 * i, 2 + 24 * j, 20, 20, tumour) for i in range(5) for j in range(rows)]
    server = LabeledImageServer(image, [box(0, 0, 300, 150, tissue)] + tumours, label_map={tissue: 1, tumour: 2})
    alone = LabeledImageServer(image, tumours, label_map={tumour: 2})
    drawn[len(tumours)] = [int((one.read_region() == 2).sum() / 441) for one in (alone, server)]
    print(f"{len(tumours)} tumours: drawn {drawn[len(tumours)][0]}, after the tissue {drawn[len(tumours)][1]}")
nuclei = [box(40, 40, 40, 40), box(300, 100, 20, 20)]
server = LabeledImageServer(image, nuclei, downsample=4)
dask, read = np.asarray(server.to_dask()), server.read_region(4)[0]
corner = np.argwhere(dask == 2).min(axis=0)
print(f"at downsample 4: read_region {read.shape}, to_dask {dask.shape}, second nucleus from y, x {corner}; at 100, 300:",
      dask[105, 305])
mask = np.zeros((200, 400), np.uint8)
mask[50:60, 50:60] = 1
again = LabeledImageServer(image, ImageFeature.create_from_label_image(mask)).read_region()
print(f"a nucleus of {mask.sum()} px, outlined and drawn: {(again == 1).sum()} px")
server = LabeledImageServer(image, nuclei, multichannel=True)
full, half = server.read_region(1)[1:].sum(axis=(1, 2)), server.read_region(2)[1:].sum(axis=(1, 2))
print(f"px of two masks at downsample 1: {full}, at 2: {half}")
as_seen = drawn[5] == [5, 0] and drawn[30][0] == 30 and 0 < drawn[30][1] < 30
as_seen &= read.shape == (50, 100) and dask.shape == (200, 400) and corner.tolist() == [25, 75] and not dask[90:, 200:].any()
as_seen &= mask.sum() == 100 and (again == 1).sum() == 121
as_seen &= full.min() > 400 and not half.any()
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore labels.py

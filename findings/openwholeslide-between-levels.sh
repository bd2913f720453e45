#!/usr/bin/env bash
# openwholeslide: a region of a slide at a magnification that lies between the slide's levels.
#
# Expected: the same colours at any magnification. A slide of one colour at 20x, with levels of 20x and 5x, is of that colour at
# 10x as well, as an array, as a PIL image and as a SimpleITK image; padding with 255 is white around it.
# Seen (openwholeslide 0.3.9, tifffile 2026.3.3, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): at 20x and 5x the array is uint8 of
# 0..255; at 10x and 2.5x, and at the README's magnification=1.0, it is float64 of 0..1, and as_pil, which casts that to uint8, is
# black: 0, and 1 where the slide is white. SimpleITK images are of 0..255 or of 0..1 accordingly, and
# pad(pad_value=255) puts 255 around 0.7. SlideRegion._load (wsi.py) hands uint8 to skimage's resize without preserve_range.
# Nothing is said.
# What follows: ask for magnifications of the slide's levels, or multiply what comes as float by 255.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "openwholeslide==0.3.9" "numpy==2.4.6" "tifffile==2026.3.3" "scikit-image==0.26.0" "simpleitk==2.5.6"
cat > between.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import openwholeslide
import SimpleITK
import tifffile

print(*(f"{name} {version(name)}" for name in ("openwholeslide", "tifffile", "scikit-image", "numpy")))
colour = np.array([180, 120, 160], np.uint8)
slide = np.full((1024, 1024, 3), colour)
options = {"tile": (256, 256), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
with tifffile.TiffWriter("slide.tif") as file:  # 20x with a level of 5x
    file.write(slide, resolution=(20000, 20000), subifds=1, **options)
    file.write(slide[::4, ::4], resolution=(5000, 5000), subfiletype=1, **options)
whole = openwholeslide.WholeSlide(path="slide.tif")
print(f"{whole.mag}x, levels {[int(factor) for factor in whole.slide.level_downsamples]}, a slide of the colour {colour}")
seen = {}
for magnification in (20, 10, 5, 2.5, 1.0):
    region = whole.read_full(magnification=magnification)
    array, picture = region.as_ndarray, np.asarray(region.as_pil)
    seen[magnification] = array, picture, SimpleITK.GetArrayFromImage(region.as_anchored_sitk)
    print(f"{magnification}x: {array.dtype} {np.round(array[5, 5].astype(float), 2)}, as_pil {picture[5, 5]},",
          f"SimpleITK {np.round(seen[magnification][2].ravel()[:3].astype(float), 2)}")
padded = whole.read_full(magnification=10)
padded.pad(openwholeslide.IntVector(x=600, y=600), pad_value=255)
edge, middle = padded.as_ndarray[0, 0], padded.as_ndarray[300, 300]
print(f"10x, padded with 255: {edge} around {np.round(middle, 2)}")
as_seen = all(np.array_equal(seen[level][0][5, 5], colour) and np.array_equal(seen[level][1][5, 5], colour) for level in (20, 5))
as_seen &= all(np.allclose(seen[level][0], colour / 255) and not seen[level][1].any() for level in (10, 2.5, 1.0))
as_seen &= all(seen[level][2].max() <= 1 for level in (10, 2.5, 1.0)) and seen[20][2].max() == 180
as_seen &= bool(edge.min() == 255 and middle.max() < 1)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore between.py

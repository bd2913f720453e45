#!/usr/bin/env bash
# liverquant's detect_fat_globules and detect_fat_globules_wsi: droplets of fat in fields that are not square, and in whole slides.
#
# Expected: every droplet between min_diameter and max_diameter (5 and 100 um) is found, wherever it lies in a field and whichever
# downsample the slide is read with; "overlap" alone, 0 in a field, leaves droplets out by their place.
# Seen (liverquant 0.0.4, opencv 4.13.0, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): of 7 droplets in a field of 900 x 300 px 2
# are found, those within 300 px of its left side; of the field turned upright, the 2 within 300 px of its top. The rows' number
# limits x and the columns' number limits y.
# In a slide of 0.5 um/px, droplets of 7 to 95 um are found with downsample=1. With downsample=2, the default, those of 7 and 8 um
# are missed and those of 105 to 180 um are counted: diameters in pixels of the smaller image are multiplied by the size of the
# slide's pixels, so that the limits are 10 and 200 um, and 20 and 400 with 4. The share of fat is 9.30 % in place of 2.06 %. The
# library's functions for fibrosis and for colours do multiply by the downsample. Nothing is said.
# What follows: pad fields to squares; give the limits divided by the downsample.
# Installed without its dependencies: with the headless OpenCV.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "opencv-python-headless==4.13.0.92" "scikit-image==0.26.0" "scikit-learn==1.9.0" "geojson==3.3.0" \
    "openslide-python==1.4.7" "openslide-bin==4.0.1.2" "tifffile==2026.3.3" \
    "matplotlib==3.10.8" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "liverquant==0.0.4" "cv2geojson==0.0.9"
cat > fat.py <<'PY'
import contextlib
import io
import sys
from collections import Counter
from importlib.metadata import version

import cv2
import numpy as np
import openslide
import tifffile
from cv2geojson import GeoContour
from liverquant import detect_fat_globules, detect_fat_globules_wsi

SPACING = 0.5  # um/px
DIAMETERS = 7, 8, 9, 12, 30, 60, 90, 95, 105, 110, 150, 180


def tissue(width, height, droplets):
    """An image of tissue with white droplets: places, in px, and diameters, in um."""
    image = np.full((height, width, 3), (200, 120, 160), np.uint8)
    for place, diameter in droplets.items():
        cv2.circle(image, place, round(diameter / 2 / SPACING), (250, 250, 250), -1)
    return image


def in_a_field(image):
    """Where droplets are found."""
    places = cv2.connectedComponentsWithStats(detect_fat_globules(image, resolution=SPACING))[3][1:]
    return [tuple(round(float(one)) for one in place) for place in places]


def in_a_slide(slide, droplets, downsample):
    """The share of fat, and how many droplets of each diameter are found."""
    width, height = slide.dimensions
    whole = [GeoContour([np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])[:, None]])]
    with contextlib.redirect_stdout(io.StringIO()):
        share, found, *_ = detect_fat_globules_wsi(slide, roi=whole, downsample=downsample, cores_num=1)
    counts = Counter()
    for one in found:
        (x, y), _ = one.min_enclosing_circle()
        counts[droplets[min(droplets, key=lambda place: (place[0] - x) ** 2 + (place[1] - y) ** 2)]] += 1
    return float(share), {diameter: counts[diameter] for diameter in DIAMETERS}


if __name__ == "__main__":
    names = ("liverquant", "opencv-python-headless", "scikit-image", "numpy")
    print(*(f"{name} {version(name)}" for name in names))
    row = {(x, 150): 15 for x in range(60, 900, 120)}
    wide = in_a_field(tissue(900, 300, row))
    upright = in_a_field(tissue(300, 900, {place[::-1]: diameter for place, diameter in row.items()}))
    print(f"of {len(row)} droplets in a field of 900 x 300 px: {wide}, in one of 300 x 900 px: {upright}")
    grid = [(x, y) for y in range(300, 3900, 500) for x in range(300, 3900, 500)]
    droplets = {place: DIAMETERS[number % len(DIAMETERS)] for number, place in enumerate(grid[:60])}
    tifffile.imwrite("liver.tif", tissue(4096, 4096, droplets), tile=(256, 256), photometric="rgb", compression="zlib",
                     resolution=(1e4 / SPACING, 1e4 / SPACING), resolutionunit="CENTIMETER")
    with openslide.OpenSlide("liver.tif") as slide:
        seen = {downsample: in_a_slide(slide, droplets, downsample) for downsample in (1, 2)}
    for downsample, (share, counts) in seen.items():
        print(f"downsample {downsample}: {share} % of fat; droplets that are found, of 5 of each diameter in um: {counts}")
    right = {diameter: 5 * (5 < diameter < 100) for diameter in DIAMETERS}
    with_default = {diameter: 5 * (diameter > 8) for diameter in DIAMETERS}
    as_seen = wide == [(60, 150), (180, 150)] and upright == [place[::-1] for place in wide]
    as_seen &= seen[1][1] == right and seen[2][1] == with_default and seen[2][0] > 4 * seen[1][0]
    sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore fat.py

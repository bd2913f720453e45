#!/usr/bin/env bash
# prismtoolbox's extract_patches on a level of a slide whose size was rounded up: how far patches are apart, and how large they are.
#
# Expected: 256 px with a step of 256 px are patches side by side, on any level; 128 um are 128 um. Whether a level of a slide that is
# 4,001 px wide has 2,000 or 2,001 px makes no difference to that.
# Seen (prismtoolbox 0.2.0, tiffslide 2.5.1, numpy 1.26.4, CPython 3.11): of 4001 x 3001 px, level 1 has 48 patches where it is rounded
# down, and 192 where it is rounded up: their step is 256 px of level 0 for 512, so that each place is in four of them. On level 2
# (a quarter) there are 24 for 12. Patches of "128 um" with such a step are 256 um wide on level 1: 512 px for 256. On level 2 they
# are 170 px for 128. In GeoJSON for QuPath a patch of level 1 is half as wide as it is. The factor of a level is cut
# to a whole number: 1.9994 is 1, and 3.997 is 3. Reading and the attribute "downsample" take the factor as it is. The contour of a
# tissue is asked at the middle of the smaller patch. Nothing is said about it.
# What follows: compare int(level_downsamples) with level_downsamples before; round them (wsi.level_downsamples = ...).
# Installed without its dependencies: with the headless OpenCV, and without OpenSlide.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==1.26.4" "opencv-python-headless==4.11.0.86" "geopandas==1.1.1" "shapely==2.1.2" \
    "pandas==2.3.3" "scipy==1.15.3" "h5py==3.14.0" "tiffslide==2.5.1" "matplotlib==3.10.3"
env/bin/pip install --quiet --no-deps "prismtoolbox==0.2.0"
cat > patches.py <<'PY'
import json
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from prismtoolbox import WSI
from shapely.geometry import shape


def write(name, size, up):
    """A grey slide of 0.25 um/px with three levels, whose sizes are rounded up or down."""
    width, height = size
    with tifffile.TiffWriter(name) as slide:
        for factor in (1, 2, 4):
            part = (-(-height // factor), -(-width // factor)) if up else (height // factor, width // factor)
            grid = {"resolution": (40_000 / factor,) * 2, "resolutionunit": "CENTIMETER", "subfiletype": int(factor > 1)}
            slide.write(np.full((*part, 3), 120, np.uint8), tile=(256, 256), photometric="rgb", **grid)


def patches(slide, level, **options):
    """How many patches, their step in px of level 0, and their size in px of their level."""
    slide.extract_patches(patch_level=level, mode="all", num_workers=2, rgb_threshs=(0, 220), **options)
    steps = np.unique(np.diff(np.unique(np.asarray(slide.coords)[:, 0])))
    return len(slide.coords), int(steps[0]) if len(steps) == 1 else steps.tolist(), slide.coords_attrs["patch_size"]


print(*(f"{name} {version(name)}" for name in ("prismtoolbox", "tiffslide", "numpy")))
found = {}
for name, size, up in (("exact", (4000, 3000), False), ("down", (4001, 3001), False), ("up", (4001, 3001), True)):
    write(f"{name}.tif", size, up)
    slide = WSI(f"{name}.tif", "tiffslide")
    print(f"{name}: levels {slide.level_dimensions}, factors {[round(one, 4) for one in slide.level_downsamples]}")
    for level in (1, 2):
        pixels = patches(slide, level, patch_size=256, step_size=256)
        slide.save_patches(".", file_format="geojson")
        with open(f"{name}.geojson") as file:
            left, _, right, _ = shape(json.load(file)[0]["geometry"]).bounds
        microns = patches(slide, level, patch_size=128, step_size=128, units=("micro", "micro"))
        found[name, level] = (*pixels, int(right - left), *microns[1:])
        print(f"  level {level}: 256 px: {pixels[0]} patches, step {pixels[1]} px of level 0, in GeoJSON {right - left:.0f} px wide; "
              f"128 um: step {microns[1]} px of level 0, size {microns[2]} px")
right = {1: (48, 512, 256, 512, 512, 256), 2: (12, 1024, 256, 1024, 512, 128)}
as_seen = all(found[name, level] == right[level] for name in ("exact", "down") for level in (1, 2))
as_seen &= found["up", 1] == (192, 256, 256, 256, 512, 512) and found["up", 2] == (24, 768, 256, 768, 510, 170)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore patches.py

#!/usr/bin/env bash
# ngff-zarr's to_multiscales with the methods of dask-image: where the smaller levels of a slide and of its labels lie.
#
# Expected: a tissue section whose centre is at (1023.5, 1023.5) px is there in each level, by the level's scale and translation, to a
# small part of the level's pixel, whichever of the methods is used, so that labels lie on the image.
# Seen (ngff-zarr 0.50.0, dask-image 2026.5.0, itkwasm-downsample 2.0.2, dask 2026.8.0, numpy 2.4.6, CPython 3.11): by the default
# method (ITKWASM_GAUSSIAN) and by DASK_IMAGE_MODE it is, in all of six levels. By DASK_IMAGE_GAUSSIAN, for images, and by
# DASK_IMAGE_NEAREST, for labels, it is 0.5 px farther to the right and below in the level of 2, 7.5 px in that of 16 and 32 px in
# that of 64: 8 um of a slide with 0.25 um, a nucleus. A level's pixel is taken from the first corner of the pixels that it stands
# for (of 64, from number 0), but the translation that is written is that of their middle (31.5). Nothing is said about it.
# What follows: ITKWASM_GAUSSIAN and DASK_IMAGE_MODE, or a translation of 0 written for each level.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "ngff-zarr==0.50.0" "dask-image==2026.5.0" "itkwasm-downsample==2.0.2" "dask==2026.8.0" "numpy==2.4.6"
cat > levels.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from ngff_zarr import Methods, to_multiscales, to_ngff_image

factors = [2, 4, 8, 16, 32, 64]
section = np.where(np.hypot(*(np.mgrid[:2048, :2048] - 1023.5)) < 600, 200, 0).astype(np.uint8)


def farther(method):
    """How much farther to the right and below the section's centre is in each level, in pixels of the first one."""
    image = to_ngff_image(section, dims=["y", "x"], scale={"y": 1.0, "x": 1.0}, translation={"y": 0.0, "x": 0.0})
    found = []
    for level in to_multiscales(image, scale_factors=factors, method=method, chunks=512).images[1:]:
        weights = np.asarray(level.data).astype(float)
        places = np.indices(weights.shape)
        for place, axis in zip(places, "yx"):
            found.append((place * weights).sum() / weights.sum() * level.scale[axis] + level.translation[axis] - 1023.5)
    return np.reshape(found, (-1, 2))


print(*(f"{name} {version(name)}" for name in ("ngff-zarr", "dask-image", "itkwasm-downsample", "dask", "numpy")))
found = {}
for method in (Methods.ITKWASM_GAUSSIAN, Methods.DASK_IMAGE_MODE, Methods.DASK_IMAGE_GAUSSIAN, Methods.DASK_IMAGE_NEAREST):
    found[method] = farther(method)
    print(f"{method.name}: farther to the right in the levels of {factors}:", found[method][:, 1].round(1).tolist())
half = (np.array(factors)[:, None] - 1) / 2
right = all(np.abs(found[method]).max() < 0.5 for method in (Methods.ITKWASM_GAUSSIAN, Methods.DASK_IMAGE_MODE))
moved = all((np.abs(found[method] / half - 1) < 0.2).all() for method in (Methods.DASK_IMAGE_GAUSSIAN, Methods.DASK_IMAGE_NEAREST))
sys.exit(0 if right and moved else 1)
PY
env/bin/python -W ignore levels.py

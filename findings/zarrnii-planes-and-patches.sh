#!/usr/bin/env bash
# ZarrNii's create_mip (projections of slabs of a cleared sample) and crop_centered (patches of a fixed size around given points).
#
# Expected: slabs that are as thick as they are far apart show every plane once. "The patch is centered at the given coordinate",
# (x, y, z), "patches near boundaries are padded", and "all patches are guaranteed to have exactly the requested size".
# Seen (zarrnii 0.21.6, dask 2026.8.0, numpy 2.4.6, CPython 3.11): a slab of an odd number of planes has one less: half of it, rounded
# down, is taken to both sides. Of 30 planes of 20 um each slab of 100 um, the default, shows 4 of 5: 6 planes are in no projection,
# and a cell of one of them is nowhere. The list of slabs says 80 um of them; planes of 10 or 50 um are all there.
# Patches of an odd number of voxels have their point in the middle where its index is even, and beside it where it is odd: halves
# are rounded to even numbers. A patch that lies outside of the image altogether has its axes exchanged: z gets the size that was
# asked for x, so that it does not fit into a batch with the others.
# What follows: slabs of an even number of planes, and patches of an even size; drop points outside of the image beforehand.
# Installed without its dependencies, of which these functions need few.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "dask==2026.8.0" "scikit-image==0.26.0" "scipy==1.17.1" "nibabel==5.4.2" "pandas==3.1.1" \
    "attrs==26.1.0" "pluggy==1.7.0" "fsspec==2026.9.0" "numcodecs==0.16.6" "platformdirs==4.14.9" "rich==15.0.0" "itkwasm==1.0b201"
env/bin/pip install --quiet --no-deps "zarrnii==0.21.6" "ngff-zarr==0.50.0"
cat > sample.py <<'PY'
import sys
from importlib.metadata import version

import dask.array as da
import numpy as np
from zarrnii import ZarrNii


def sample(pixels, spacing):
    """A sample of one channel, (z, y, x), whose planes are so many mm apart."""
    dasked = da.from_array(pixels[None], chunks=(1, *pixels.shape))
    return ZarrNii.from_darr(dasked, axes_order="ZYX", orientation="RAS", spacing=(spacing, 0.001, 0.001))


def lost(microns):
    """Which of 30 planes have a cell that is in no projection, and how thick the second slab is, as it says itself."""
    pixels = np.zeros((30, 8, 30), np.float32)
    pixels[range(30), 4, range(30)] = 1  # a cell in each plane, each at another x
    views, slabs = sample(pixels, microns / 1000).create_mip(channel_ranges=[(0.0, 1.0)], return_slabs=True)
    seen = sum(view.compute() for view in views)[4, :, 0] > 0
    return np.flatnonzero(~seen).tolist(), round(slabs[1]["end_um"] - slabs[1]["start_um"])


print(*(f"{name} {version(name)}" for name in ("zarrnii", "dask", "numpy")))
found = {microns: lost(microns) for microns in (10, 20, 50)}
for microns, (missing, thickness) in found.items():
    print(f"planes of {microns} um, slabs of 100 um each 100 um: planes {missing} in no slab; thickness as told: {thickness} um")
z, y, x = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in (20, 30, 60)), indexing="ij")
image = ZarrNii.from_darr(da.from_array(np.stack([x, y, z])), axes_order="ZYX", orientation="RAS", spacing=(1, 1, 1))
off = {}
for point in range(20, 26):
    patch = image.crop_centered((float(point), 14.0, 10.0), patch_size=(5, 4, 2)).data.compute()
    off[point] = int(patch[0, 0, 0, 2]) - point
print("x of a point, and how far the middle of a patch of 5 voxels is from it:", off)
points = [(30.0, 14.0, 10.0), (58.0, 14.0, 10.0), (90.0, 14.0, 10.0)]
shapes = [patch.shape[1:] for patch in image.crop_centered(points, patch_size=(8, 6, 4))]
print("patches of 8 x 6 x 4 (x, y, z) inside, at the rim and outside, as (z, y, x):", *shapes)
as_seen = found == {10: ([], 100), 20: ([4, 9, 14, 19, 24, 29], 80), 50: ([], 100)}
as_seen &= off == {20: 0, 21: -1, 22: 0, 23: -1, 24: 0, 25: -1}
as_seen &= shapes == [(4, 6, 8), (4, 6, 8), (8, 6, 4)]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore sample.py

#!/usr/bin/env bash
# sopa.aggregation.aggregate_channels: the stain in cells that lie where two chunks of the image meet.
#
# Expected: chunks are only how the image is stored. The mean and the lowest intensity in a cell are the same however it is cut.
# Seen (sopa 2.2.11, spatialdata 0.7.3, dask 2026.1.1, shapely 2.2.0, numpy 2.4.6, CPython 3.11): 441 cells of 8 px radius in 440 x 440 px,
# all of intensity 100 and 1 px more than their outline. In one chunk all have 100, as mean and as minimum. In chunks of 220 px the
# 41 on a seam are wrong, and only these: means down to 84, and 0 as minimum; in chunks of 90 px 80 cells. Of a cell on a seam, the
# piece in the right or lower chunk is masked with the left or upper part of its outline, as the mask begins at the outline's
# corner and not at the chunk's. It takes pixels around the cell, a neighbour's too. Nothing is said about it.
# What follows: one chunk in y and x before it (Image2DModel.parse(..., chunks=...), or rechunk), where it fits into memory.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "sopa==2.2.11" "spatialdata==0.7.3" "anndata==0.12.19" "dask==2026.1.1" "geopandas==1.2.0" "shapely==2.2.0" \
  "scikit-image==0.26.0" "xarray==2026.9.0" "zarr==3.1.6" "pandas==2.3.3" "numpy==2.4.6"
cat > chunks.py <<'PY'
import contextlib
import io
import sys
from importlib.metadata import version

import dask
import dask.array as da
import geopandas
import numpy as np
import shapely
from sopa.aggregation import aggregate_channels
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel

dask.config.set(scheduler="synchronous")
size, radius = 440, 8
rng = np.random.default_rng(0)
y, x = np.mgrid[:size, :size]
stain = np.zeros((1, size, size), np.float32)
outlines = []
for row in range(20, size, 20):
    for column in range(20, size, 20):
        across, down = column + rng.uniform(-2, 2), row + rng.uniform(-2, 2)
        outlines.append(shapely.Point(across, down).buffer(radius))
        stain[0, (y - down) ** 2 + (x - across) ** 2 <= (radius + 1) ** 2] = 100  # a margin of 1 px around each outline
cells = ShapesModel.parse(geopandas.GeoDataFrame(geometry=outlines))
left, upper, right, lower = cells.bounds.to_numpy().T


def intensities(chunk, mode):
    """What each cell has, the image being cut into such chunks."""
    image = Image2DModel.parse(da.from_array(stain, chunks=(1, chunk, chunk)), dims=("c", "y", "x"), c_coords=["stain"])
    data = SpatialData(images={"image": image}, shapes={"cells": cells})
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar
        table = aggregate_channels(data, image_key="image", shapes_key="cells", mode=mode)
    return np.asarray(table.X)[:, 0]


print(*(f"{name} {version(name)}" for name in ("sopa", "spatialdata", "dask", "shapely", "numpy")))
found = {}
for chunk in (440, 220, 90):
    seams = np.arange(chunk, size, chunk)[:, None]
    crossing = ((np.floor(left) < seams) & (right > seams)).any(axis=0) | ((np.floor(upper) < seams) & (lower > seams)).any(axis=0)
    for mode in ("average", "min"):
        values = intensities(chunk, mode)
        wrong = abs(values - 100) > 0.01
        found[chunk, mode] = int(wrong.sum()), float(values.min()), bool(np.array_equal(wrong, crossing))
        print(f"chunks of {chunk}, {mode}: {wrong.sum()} of {len(values)} cells wrong ({(wrong & crossing).sum()} of {crossing.sum()}",
              f"on a seam), {values.min():.1f} to {values.max():.1f}")
as_seen = all(found[440, mode] == (0, 100, True) for mode in ("average", "min"))
as_seen &= all(found[chunk, mode][0] == wrong and found[chunk, mode][2] for chunk, wrong in ((220, 41), (90, 80)) for mode in ("average", "min"))
as_seen &= all(found[chunk, "average"][1] < 90 and found[chunk, "min"][1] == 0 for chunk in (220, 90))
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore chunks.py

#!/usr/bin/env bash
# spatialdata-io's steinbock (imaging mass cytometry): where the cells of its table lie, obsm["spatial"].
#
# Expected: obsm["spatial"] is (x, y), as in the package's other readers and in its to_legacy_anndata, "coordinate (x, y) will match
# with the pixel (y, x)", and as squidpy and scanpy take it: where get_centroids has the labels of the same cells.
# Seen (spatialdata-io 0.7.1, spatialdata 0.7.3, anndata 0.12.19, numpy 2.4.6, CPython 3.11): it is (y, x), centroid-0 and centroid-1
# of steinbock's table as they are. Of 30 cells of an image of 200 x 60 px 2 lie on their label, near the diagonal, and 21 below
# the image: all are mirrored along its diagonal. Distances and neighbours of cells are as they should be, so nothing is noticed until
# cells are drawn, cropped or counted in regions of the image. Images and labels of the same SpatialData are right, and nothing is
# said about it.
# What follows: table.obsm["spatial"] = table.obsm["spatial"][:, ::-1] after reading.
# Installed without its other readers' dependencies; this reader does not use scanpy, for which an empty module stands.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "spatialdata==0.7.3" "anndata==0.12.19" "dask==2026.1.1" "dask-image==2026.5.0" "tifffile==2026.3.3" \
    "scikit-image==0.26.0" "numpy==2.4.6" "pandas==2.3.3"
env/bin/pip install --quiet --no-deps "spatialdata-io==0.7.1"
cat > cells.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import tifffile
from skimage.measure import regionprops_table
from spatialdata import get_centroids

for name in ("spatialdata_io", "spatialdata_io.readers"):  # the packages, without what other readers need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("spatialdata-io").locate_file(name.replace(".", "/")))]
    package.__version__ = version("spatialdata-io")
    sys.modules[name] = package
sys.modules["scanpy"] = types.ModuleType("scanpy")
steinbock = import_module("spatialdata_io.readers.steinbock").steinbock

print(*(f"{name} {version(name)}" for name in ("spatialdata-io", "spatialdata", "anndata", "numpy")))
labels = np.zeros((60, 200), np.uint16)
for number in range(30):  # cells of 6 x 8 px in three rows
    top, left = 5 + 18 * (number // 10), 6 + 19 * (number % 10)
    labels[top : top + 6, left : left + 8] = number + 1
for folder in ("ome", "masks_deepcell"):
    Path(folder).mkdir()
tifffile.imwrite("masks_deepcell/roi_001.tiff", labels)
stains = np.stack([labels > 0, labels % 2 > 0]).astype(np.float32)
tifffile.imwrite("ome/roi_001.ome.tiff", stains, metadata={"axes": "CYX", "Channel": {"Name": ["DNA1", "CD3"]}})
measured = pd.DataFrame(regionprops_table(labels, properties=("label", "area", "centroid"))).set_index("label")
cells = measured.assign(image="roi_001.tiff", Image="roi_001.tiff")  # what `steinbock export anndata` has of each cell
cells.index = [f"Object {number}" for number in cells.index]
means = np.array([stains[:, labels == number].mean(1) for number in measured.index])
anndata.AnnData(means, obs=cells, var=pd.DataFrame(index=["DNA1", "CD3"])).write_h5ad("cells.h5ad")
data = steinbock(".", labels_kind="deepcell")
table = next(iter(data.tables.values()))
places = np.asarray(table.obsm["spatial"])
centres = get_centroids(data["roi_001_labels"], coordinate_system="roi_001").compute()
true = centres.loc[table.obs["cell_id"].to_numpy(), ["x", "y"]].to_numpy()
height, width = labels.shape


def on_label(where):
    """How many cells' places lie on their label, and how many lie outside of the image."""
    column, row = where.astype(int).T
    inside = (column < width) & (row < height)
    found = labels[np.where(inside, row, 0), np.where(inside, column, 0)]
    return int((inside & (found == table.obs["cell_id"].to_numpy())).sum()), int((~inside).sum())


print(f"cell 10: label around (x, y) = {tuple(map(float, true[9]))}, obsm['spatial'] {tuple(map(float, places[9]))}")
print(f"of {len(true)} cells on their label, and outside of the image: obsm['spatial'] {on_label(places)};", end=" ")
print(f"exchanged {on_label(places[:, ::-1])}; centres of the labels {on_label(true)}")
apart = np.abs(places[:, ::-1] - true).max()
as_seen = apart == 0.5 and on_label(places) == (2, 21)
sys.exit(0 if as_seen and on_label(places[:, ::-1]) == on_label(true) == (30, 0) else 1)
PY
env/bin/python -W ignore cells.py

#!/usr/bin/env bash
# numpy2ometiff: pyramids of multiplex images, write_ome_tiff(create_pyramid=True), the function's only way of making levels.
#
# Expected: an image of one value has that value throughout, in each level. Three channels of 8 bits with the names DAPI, CD3 and CD8
# are three channels with those names, as they are in 16 bits.
# Seen (numpy2ometiff 0.1.4, scikit-image 0.26.0, tifffile 2026.3.3, numpy 2.4.6, CPython 3.11): of an image of 517 x 515 px, all 200,
# the last row and column of the first level are 100, their corner 50, and in the fourth level 37, 62 and 11: where a level's size is
# odd, block_reduce fills with 0 what is missing of the last block and takes that into its mean, level upon level. Thresholds and
# means on levels lose their edge. Sizes that are multiples of 16 have no such edge. Three channels of 8 bits become one colour
# picture of red, green and blue, and the names are not in the file; "Detected 2D color data" is printed. (writer.py:write_ome_tiff.)
# What follows: pad images to multiples of 2 ** downsample_count by their edge, and take such channels as uint16.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scikit-image==0.26.0" "tifffile==2026.3.3"
env/bin/pip install --quiet --no-deps "numpy2ometiff==0.1.4"
cat > edges.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from numpy2ometiff import write_ome_tiff

NAMES = ["DAPI", "CD3", "CD8"]


def written(height, width, kind):
    """Of each level its shape and four values (middle, last row, last column, corner); and which names the file has."""
    write_ome_tiff(np.full((1, 3, height, width), 200, kind), "image.ome.tif", channel_names=NAMES, create_pyramid=True)
    with tifffile.TiffFile("image.ome.tif") as file:
        levels = [level.asarray() for level in file.series[0].levels]
        planes = [level[0] if level.shape[0] == 3 else level[..., 0] for level in levels]
        values = [tuple(int(plane[place]) for place in ((5, 5), (-1, 5), (5, -1), (-1, -1))) for plane in planes]
        return file.series[0].axes, values, [name for name in NAMES if name in file.ome_metadata]


print(*(f"{name} {version(name)}" for name in ("numpy2ometiff", "scikit-image", "tifffile", "numpy")))
found = {(height, width, kind): written(height, width, kind)
         for height, width, kind in ((515, 517, np.uint16), (512, 528, np.uint16), (515, 517, np.uint8))}
for (height, width, kind), (axes, values, names) in found.items():
    print(f"{width} x {height} px of 200, {np.dtype(kind)}: axes {axes}, names {names}; middle, row, column, corner by level {values}")
truth = np.pad(np.full((515, 517), 200.0), ((0, 1), (0, 1)), mode="edge").reshape(258, 2, 259, 2).mean(axis=(1, 3))
print(f"by hand, the last blocks filled with the edge: {np.unique(truth)}")
odd, even, small = found.values()
as_seen = odd[0] == "CYX" and odd[2] == NAMES and even[2] == NAMES and set(np.unique(truth)) == {200}
as_seen &= odd[1][0] == (200,) * 4 and odd[1][1] == (200, 100, 100, 50) and odd[1][4] == (200, 37, 62, 11)
as_seen &= all(value == (200,) * 4 for value in even[1]) and small[0] == "YXS" and not small[2] and small[1][1] == (200, 100, 100, 50)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore edges.py

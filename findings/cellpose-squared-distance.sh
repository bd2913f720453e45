#!/usr/bin/env bash
# cellpose's distance_to_boundary and masks_to_edges: how far a pixel of a nucleus is from its outline.
#
# Expected: "the distance to the boundary of mask pixels", in px: the middle of a nucleus of 10 px radius is 9 px or 10 px from its
# outline. masks_to_edges(masks, threshold=3) has the pixels that are less than 3 px from it ("threshold value for distance to
# boundary").
# Seen (cellpose 4.2.1.1, opencv 5.0.0, scipy 1.17.1, numpy 2.4.6, CPython 3.11): the middle of the nucleus has 82, where it is 9.06
# px: every value is the square of the distance. With radius 5, 10, 20 and 40 the depth is said to be 17, 82, 362 and 1522: a nucleus
# of twice the radius is more than four times as deep. A rim of threshold=3 has 124 of the nucleus' 317 pixels where 180 are nearer
# than 3 px, and threshold=5 156 where 248 are. Only with the default, 1, is it the same. Nothing is said about it.
# What follows: the square root of distance_to_boundary; give masks_to_edges the square of the width.
# Installed without its dependencies: the modules need no torch, and are loaded without what the package brings in.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "opencv-python-headless==5.0.0.93" "fastremap==1.21.0" "fill-voids==2.1.2" \
  "scipy==1.17.1" "numpy==2.4.6" "tqdm==4.70.1"
env/bin/pip install --quiet --no-deps "cellpose==4.2.1.1"
cat > distance.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

package = types.ModuleType("cellpose")
package.__path__ = [str(distribution("cellpose").locate_file("cellpose"))]
sys.modules["cellpose"] = package
from cellpose import utils


def by_hand(nucleus):
    """The distance of each pixel of a nucleus from the nearest one of its outline."""
    outline = np.argwhere(nucleus & ~binary_erosion(nucleus))
    away = np.zeros(nucleus.shape)
    away[nucleus] = cKDTree(outline).query(np.argwhere(nucleus))[0]
    return away


print(*(f"{name} {version(name)}" for name in ("cellpose", "opencv-python-headless", "scipy", "numpy")))
y, x = np.mgrid[:100, :100]
as_seen = True
for radius in (5, 10, 20, 40):
    nucleus = (y - 50) ** 2 + (x - 50) ** 2 <= radius**2
    said, right = utils.distance_to_boundary(nucleus.astype(int)), by_hand(nucleus)
    print(f"radius {radius}: depth {said.max():.1f}, by hand {right.max():.2f}")
    as_seen &= bool(np.allclose(said, right**2) and said.max() > 3 * right.max())
    rims = {}
    for width in (1, 2, 3, 5):
        rims[width] = int(utils.masks_to_edges(nucleus.astype(int), width).sum()), int((nucleus & (right < width)).sum())
    print("  pixels nearer than so much:", ", ".join(f"{width} px {rim}, by hand {hand}" for width, (rim, hand) in rims.items()))
    as_seen &= rims[1][0] == rims[1][1] and all(rims[width][0] < rims[width][1] for width in (3, 5))
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore distance.py

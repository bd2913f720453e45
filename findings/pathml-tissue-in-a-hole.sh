#!/usr/bin/env bash
# PathML's ForegroundDetection, the last step of TissueDetectionHE: tissue that lies in a hole of other tissue.
#
# Expected: "regions that have a total area greater than specified threshold" are tissue, and holes above max_hole_size are not. A
# piece of tissue in the middle of a larger one, as in a vessel, a cyst or a ring of bowel, is a region as any other.
# Seen (pathml 3.0.8, opencv-python-headless 5.0.0.93, numpy 2.2.6, CPython 3.11): beside a ring of tissue the piece stays, within it
# it is gone: 45,213 px of 189,689, nine times min_region_size. With outer_contours_only=True, or a max_hole_size above the
# hole's, the piece stays and the 56,552 px around it become tissue. Regions are painted first, all of them, then the holes of any are
# taken away with all that is within them. Nothing is said about it.
# Tissue is 127 in the mask that was 255 in the one given, as it is painted as a number of 8 bits with a sign.
# What follows: take out of the mask that was given only what is within holes and 0 in it; compare masks with 0, not with 255.
# Installed without its dependencies: the module is loaded alone, and what it imports and this does not use is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.2.6" "opencv-python-headless==5.0.0.93"
env/bin/pip install --quiet --no-deps "pathml==3.0.8"
cat > tissue.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import numpy as np

unused = "anndata pandas loguru skimage skimage.exposure skimage.measure sklearn sklearn.decomposition"
for name in (*unused.split(), "pathml", "pathml.core", "pathml.core.slide_data", "pathml.utils"):
    sys.modules[name] = MagicMock()
spec = importlib.util.spec_from_file_location("steps", distribution("pathml").locate_file("pathml/preprocessing/transforms.py"))
steps = importlib.util.module_from_spec(spec)
spec.loader.exec_module(steps)
y, x = np.mgrid[:600, :900]
far = np.hypot(y - 300, x - 300)
ring = (far > 180) & (far < 280)
within, beside = far < 120, np.hypot(y - 300, x - 740) < 120


def seen(piece, **options):
    """Px of the piece, of the ring and of neither that are tissue, and the values of the mask."""
    mask = steps.ForegroundDetection(**options).F((ring | piece).astype(np.uint8) * 255)
    tissue = mask > 0
    return *(int((tissue & part).sum()) for part in (piece, ring, ~piece & ~ring)), np.unique(mask).tolist()


print(*(f"{name} {version(name)}" for name in ("pathml", "opencv-python-headless", "numpy")))
size, hole = int(within.sum()), int(((far <= 180) & ~within).sum())
print(f"px of the piece: {size}, of the ring: {ring.sum()}, of its hole around the piece: {hole}")
found = {"beside": seen(beside), "within": seen(within), "within, outer contours": seen(within, outer_contours_only=True),
         "within, holes up to 200,000": seen(within, max_hole_size=200_000)}
for name, one in found.items():
    print(f"piece {name}: px of the piece, the ring and neither that are tissue, and the mask's values: {one}")
as_seen = found["beside"][0] == int(beside.sum()) and found["within"][0] == 0 and found["within"][1] > 140_000
as_seen &= all((one[0], one[2]) == (size, hole) for one in list(found.values())[2:])
as_seen &= all(one[3] == [0, 127] for one in found.values())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore tissue.py

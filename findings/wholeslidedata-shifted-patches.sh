#!/usr/bin/env bash
# wholeslidedata's get_patch: where a patch of a smaller level lies.
#
# Expected: get_patch(x, y, width, height, spacing=2.0) of a slide whose first level has pixels of 0.5 um is the patch around what is
# at (x, y) of that level, to a pixel of the level that is read, and with relative=True, center=False the one whose upper left
# corner is at (x, y) of the level that is read. That the slide is a pixel larger changes nothing.
# Seen (wholeslidedata 0.0.16, openslide-python 1.4.7, openslide-bin 4.0.1.2, numpy 2.4.6, CPython 3.11): on a slide of 4,096 x 4,096
# px with levels of a fourth and a sixteenth both are so. On one of 4,097 x 4,097 px, whose levels have 1,025 and 257 px, a patch of
# 512 px of the second level lies 64 of its pixels, 128 um, to the right and below, and the one whose corner should be at (768, 768)
# of it begins at (576, 576), 384 um to the left and above. Levels whose size is rounded up are a little less than 4 and 16 times
# smaller (3.997 and 15.942), which is cut off to 3 and 15. Nothing is said about it, and annotations stay where they are.
# What follows: read such slides with openslide itself, or take only sizes whose levels are rounded down.
# Installed without its dependencies (shapely 1.7.1, OpenCV and more): the module of the images is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "openslide-python==1.4.7" "openslide-bin==4.0.1.2" "numpy==2.4.6" "tifffile==2026.3.3" "creationism==0.0.5"
env/bin/pip install --quiet --no-deps "wholeslidedata==0.0.16"
cat > patches.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import numpy as np
import tifffile

for name in ("wholeslidedata", "wholeslidedata.image"):  # the packages without what their __init__ brings in
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("wholeslidedata").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
for name in ("cv2", "wholeslidedata.annotation", "wholeslidedata.annotation.structures", "wholeslidedata.samplers",
             "wholeslidedata.samplers.utils"):
    sys.modules[name] = MagicMock()  # annotations and masks, which nothing here calls
from wholeslidedata.accessories.openslide import backend  # noqa: F401, it makes the backend known
from wholeslidedata.image.wholeslideimage import WholeSlideImage


def slide(size):
    """A slide with levels of a fourth and a sixteenth, rounded up, whose red and green say where a pixel is, in units of 16 px."""
    places = np.arange(size + 32) // 16
    with tifffile.TiffWriter(f"{size}.tif") as file:
        for level, factor in enumerate((1, 4, 16)):
            own = places[: -(-size // factor) * factor : factor].clip(0, 255).astype(np.uint8)
            across = np.tile(own, (len(own), 1))
            pixels = np.stack([across, across.T, np.zeros_like(across)], axis=-1)
            file.write(pixels, tile=(256, 256), photometric="rgb", subfiletype=int(level > 0), resolutionunit="CENTIMETER",
                       resolution=(20000 / factor, 20000 / factor))
    return WholeSlideImage(f"{size}.tif")


print(*(f"{name} {version(name)}" for name in ("wholeslidedata", "openslide-python", "openslide-bin", "numpy")))
found = {}
for size in (4096, 4097):
    image = slide(size)
    print(f"{size} px:", *(f"{factor:.3f} times smaller" for factor in image.downsamplings))
    for spacing, factor, width in ((0.5, 1, 512), (2.0, 4, 512), (8.0, 16, 128)):
        middle = image.get_patch(2048, 2048, width, width, spacing)[width // 2, width // 2, :2] * 16.0
        corner = image.get_patch(3072 // factor, 3072 // factor, 64, 64, spacing, center=False, relative=True)[0, 0, :2] * 16.0
        found[size, factor] = middle.tolist(), corner.tolist()
        print(f"  {spacing} um: the middle of the patch around (2048, 2048) is at {middle}, the corner at (3072, 3072) at {corner}")
    image.close()
right = all(found[4096, factor] == ([2048, 2048], [3072, 3072]) for factor in (1, 4, 16)) and found[4097, 1] == found[4096, 1]
(middle, corner), (_, far) = found[4097, 4], found[4097, 16]
moved = all(2048 + 240 <= place <= 2048 + 272 for place in middle) and all(place == 2304 for place in corner)
sys.exit(0 if right and moved and all(3072 - 208 <= place <= 3072 - 176 for place in far) else 1)
PY
env/bin/python -W ignore patches.py

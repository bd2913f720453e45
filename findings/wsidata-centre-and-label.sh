#!/usr/bin/env bash
# wsidata's readers of slides: a patch around a point on a smaller level, and a slide's label and macro once they were displayed.
#
# Expected: get_center, "get a patch from image with center", has the point in its middle on each level, as get_region takes "x, y
# always in level 0 coordinates" and the size "at the specified pyramid level". Displaying the associated images in a notebook leaves
# them as they are.
# Seen (wsidata 0.12.0, openslide-python 1.4.7, openslide-bin 4.0.1.2, numpy 2.4.6, CPython 3.11): on level 0 it has. Half of the size
# is taken off x and y without the level's downsample: a patch of 64 px around (2000, 1200) has (2096, 1296) in its middle on a level
# of a downsample of 4, and (2480, 1680) on one of 16, where the point is 30 px from the middle, almost in the corner.
# Once AssociatedImages was displayed (its _repr_html_, which a notebook calls), the label of 500 x 600 px is of 107 x 128, and the
# macro of 1280 x 500 of 128 x 50, for all that read them afterwards: the preview is made in place. Nothing is said about either.
# What follows: get_region with the size times properties.level_downsample halved; take what one needs of label and macro first.
# Installed without its dependencies: the reader is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "opencv-python-headless==5.0.0.93" "pillow==13.0.0" "tifffile==2026.3.3" \
    "openslide-python==1.4.7" "openslide-bin==4.0.1.2"
env/bin/pip install --quiet --no-deps "wsidata==0.12.0"
cat > centre.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np
import tifffile

for name in ("wsidata", "wsidata.reader"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("wsidata").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
OpenSlideReader = import_module("wsidata.reader.openslide").OpenSlideReader

print(*(f"{name} {version(name)}" for name in ("wsidata", "openslide-python", "openslide-bin", "numpy")))
y, x = np.mgrid[:4096, :4096] // 16
pixels = np.stack([x, y, np.full_like(x, 100)], -1).astype(np.uint8)  # each pixel tells its place, divided by 16
with tifffile.TiffWriter("slide.svs") as file:
    for downsample in (1, 8, 4, 16):  # as Aperio's files: the thumbnail is the second, in strips
        size = 4096 // downsample
        text = f"Aperio Image Library\n4096x4096 -> {size}x{size}|AppMag = 20|MPP = 0.5"
        shape = {"rowsperstrip": 64} if downsample == 8 else {"tile": (256, 256)}
        file.write(pixels[::downsample, ::downsample], photometric="rgb", metadata=None, description=text, **shape)
    for text, (height, width), kind in (("label 500x600", (600, 500), 1), ("macro 1280x500", (500, 1280), 9)):
        grey = np.full((height, width, 3), 90, np.uint8)
        options = {"description": f"Aperio Image Library\n{text}", "rowsperstrip": 64, "subfiletype": kind}
        file.write(grey, photometric="rgb", metadata=None, **options)
reader = OpenSlideReader("slide.svs")
levels = dict(enumerate(reader.properties.level_downsample))
middles = {}
for level, downsample in levels.items():
    patch = reader.get_center(2000, 1200, 64, 64, level=level)
    middles[downsample] = tuple(16 * int(place) for place in patch[32, 32, :2])
print("what is in the middle of a patch of 64 px around (2000, 1200), by downsample:", middles)
half = 32 * 16
middle = reader.get_region(2000 - half, 1200 - half, 64, 64, level=2)[32, 32, :2]
print("with the downsample, on the last level:", tuple(16 * int(place) for place in middle))
images = reader.associated_images
before = {name: images[name].shape for name in ("label", "macro")}
images._repr_html_()
after = {name: reader.associated_images[name].shape for name in ("label", "macro")}
print(f"label and macro: {before}; after a notebook displayed them: {after}")
as_seen = middles == {1.0: (2000, 1200), 4.0: (2096, 1296), 16.0: (2480, 1680)} and tuple(middle) == (125, 75)
as_seen &= before == {"label": (600, 500, 3), "macro": (500, 1280, 3)}
sys.exit(0 if as_seen and after == {"label": (128, 107, 3), "macro": (50, 128, 3)} else 1)
PY
env/bin/python -W ignore centre.py

#!/usr/bin/env bash
# QuBaLab's read_region of a fluorescence image of 16 bits, at a downsample that is not one of its levels.
#
# Expected: nuclei of 3,000 on a background of 20 that are read at a downsample of 2 are that at half the size: values of 20 to 3,000
# or a few per cent beyond that at the outlines, where bicubic resampling overshoots, and the mean that it was. It is so with 8 bits.
# Seen (qubalab 0.2.1, pillow 13.0.0, numpy 2.4.6, CPython 3.11): around each of 100 nuclei is a ring of 32 white pixels, of 65,405 to
# 65,532, and the image's mean is 1,539 where it was 229. The default resampling is bicubic; Pillow does it in 32 bits with a sign
# and goes below 0 beside the nuclei, and what is below 0 becomes 65,536 less that much when it is made 16 bits again. Nothing is said
# about it. With a background of 300 it does not happen, so it depends on how well the background was taken off.
# What follows: resize_method=Image.Resampling.BOX (or BILINEAR) for every server of such images, or read a level of the pyramid.
# Installed without its dependencies (bioio, py4j and more): the module of the servers is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "shapely==2.2.0" "pillow==13.0.0" "dask[array]==2026.8.0" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "qubalab==0.2.1"
cat > bits.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version
from unittest.mock import MagicMock

import numpy as np
from PIL import Image

for name in ("qubalab", "qubalab.images"):  # the packages without what their __init__ brings in
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("qubalab").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
sys.modules["dask_image"] = MagicMock()  # resampling of dask arrays, which nothing here calls
from qubalab.images.image_server import ImageServer
from qubalab.images.metadata import ImageMetadata, ImageShape, PixelCalibration


class ArrayServer(ImageServer):
    """A server of one array of channel, y and x, with one level."""

    def __init__(self, pixels, **options):
        super().__init__(**options)
        self.pixels = pixels

    def close(self):
        pass

    def _build_metadata(self):
        channels, height, width = self.pixels.shape
        shape = ImageShape(width, height, c=channels)
        return ImageMetadata("dapi", "dapi", (shape,), PixelCalibration(), False, self.pixels.dtype)

    def _read_block(self, level, region):
        return self.pixels[:, region.y : region.y + region.height, region.x : region.x + region.width]


def field(background, nucleus, kind):
    """100 round nuclei of 24 px on 800 x 800 px."""
    rows, columns = np.mgrid[:800, :800] % 80 - 39.5
    return np.where(np.hypot(rows, columns) < 12, nucleus, background).astype(kind)[None]


print(*(f"{name} {version(name)}" for name in ("qubalab", "pillow", "numpy")))
found = {}
for background, nucleus, kind, method in ((20, 3000, np.uint16, None), (300, 3000, np.uint16, None), (2, 200, np.uint8, None),
                                          (20, 3000, np.uint16, Image.Resampling.BOX)):
    options = {} if method is None else {"resize_method": method}
    pixels = field(background, nucleus, kind)
    small = ArrayServer(pixels, **options).read_region(2)
    beyond = int((small > 1.2 * nucleus).sum())
    found[background, method] = beyond, int(small.max()), float(small.mean() / pixels.mean())
    print(f"{pixels.dtype}, background {background}, {'default' if method is None else method.name}: {small.shape}, {beyond} px above",
          f"1.2 x the nuclei, from {small.min()} to {small.max()}; mean {pixels.mean():.1f}, at downsample 2 {small.mean():.1f}")
beyond, highest, mean = found.pop((20, None))
as_seen = beyond > 100 and highest > 65000 and mean > 1.5
as_seen &= all(one[0] == 0 and abs(one[2] - 1) < 0.02 for one in found.values())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore bits.py

#!/usr/bin/env bash
# mxtifffile: channels of a multiplex TIFF (OME-TIFF, QPTIFF) by their names, read_region.
#
# Expected: read_region("DAPI") gives the pixels that tifffile's own asarray gives for that channel, whole or a part of it.
# Seen (mxtifffile 0.0.2, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, CPython 3.11): in a tiled OME-TIFF the first channel,
# most often DAPI, has other values where the file is big-endian (bytes exchanged: 1000 is read as 59395) or compressed with a
# horizontal predictor (differences of neighbours in place of values); the other channels are right. In a QPTIFF with a predictor all
# channels are wrong. Little-endian files without a predictor are right, and so are strips. MxTiffFile._read_tiled_region decodes tiles
# itself, and minds neither the byte order nor the predictor, both of which TIFF 6.0 has; it is tried where a page is a TiffPage,
# which in an OME-TIFF is the first alone. Nothing is said, and shapes and types are as they should be.
# What follows: MxTiffFile(...).series[0].levels[0].pages[i].asarray(), or tifffile.imread.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "mxtifffile==0.0.2" "numpy==2.4.6" "tifffile==2026.3.3" "imagecodecs==2026.3.6"
cat > channels.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from mxtifffile import MxTiffFile

NAMES = ["DAPI", "CD3", "CD8"]


def right(name):
    """By channel, whether what is read is what was written, whole and as a part."""
    file = MxTiffFile(name)
    whole = [np.array_equal(file.read_region(channel), slide[i]) for i, channel in enumerate(NAMES)]
    part = [np.array_equal(file.read_region(channel, pos=(100, 50), shape=(300, 200)), slide[i, 50:250, 100:400])
            for i, channel in enumerate(NAMES)]
    assert whole == part and np.array_equal(tifffile.imread(name), slide)
    return whole


print(*(f"{name} {version(name)}" for name in ("mxtifffile", "tifffile", "imagecodecs", "numpy")))
slide = np.random.default_rng(0).integers(0, 4000, (3, 512, 768)).astype(np.uint16)
slide[:, 60, 110] = 1000
kinds = {"plain": {}, "big-endian": {"byteorder": ">"}, "LZW": {"compression": "lzw"},
         "LZW, predictor": {"compression": "lzw", "predictor": True}, "deflate, predictor": {"compression": "zlib", "predictor": True}}
found = {}
for kind, options in kinds.items():
    for tile in ((256, 256), None):
        name = f"{kind}{tile is None}.ome.tif"
        tifffile.imwrite(name, slide, tile=tile, photometric="minisblack",
                         metadata={"axes": "CYX", "Channel": {"Name": NAMES}}, **options)
        found[kind, tile is not None] = right(name)
    print(f"OME-TIFF, {kind}: right in tiles {dict(zip(NAMES, found[kind, True]))}, in strips {all(found[kind, False])}")
value = int(MxTiffFile("big-endianFalse.ome.tif").read_region("DAPI")[60, 110])
print(f"a pixel of 1000 in the big-endian file: {value} (1000 with its bytes exchanged is {np.uint16(1000).byteswap()})")
with tifffile.TiffWriter("slide.qptiff") as file:
    for channel, plane in zip(NAMES, slide):
        about = ("<PerkinElmer-QPI-ImageDescription><ImageType>FullResolution</ImageType>"
                 f"<Name>{channel}</Name><Biomarker>{channel}</Biomarker></PerkinElmer-QPI-ImageDescription>")
        file.write(plane, tile=(256, 256), photometric="minisblack", description=about, software="PerkinElmer-QPI", metadata=None,
                   compression="lzw", predictor=True)
qptiff = right("slide.qptiff")
print(f"QPTIFF, LZW, predictor: right {dict(zip(NAMES, qptiff))}")
as_seen = all(all(found[kind, False]) for kind in kinds) and all(found["plain", True]) and all(found["LZW", True])
as_seen &= all(found[kind, True] == [False, True, True] for kind in ("big-endian", "LZW, predictor", "deflate, predictor"))
as_seen &= value == int(np.uint16(1000).byteswap()) and not any(qptiff)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore channels.py

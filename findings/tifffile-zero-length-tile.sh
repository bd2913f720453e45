#!/usr/bin/env bash
# tifffile and a tile of length 0 (TileByteCounts) whose offset is not 0, as scanners write for what they did not scan.
#
# Expected: the tile counts as missing and is filled, as one with offset 0 and length 0 is; the page is read.
# Seen (tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.3.5, CPython 3.11): the page is not read at all. The decoder is
# given what lies at the offset and raises (deflate: LIBDEFLATE_BAD_DATA). With the offset set to 0 as well, the tile is
# filled with zeros. OpenSlide 4.0.1 takes both for missing.
# What follows: a program that reads such files sets the offsets of empty tiles to 0 itself before it reads.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "tifffile==2026.3.3" "imagecodecs==2026.3.6" "numpy==2.3.5"
cat > try.py <<'PY'
import imagecodecs
import numpy as np
import tifffile

print("tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, "numpy", np.__version__)


def read(tags):
    tifffile.imwrite("a.tif", np.full((256, 256), 7, np.uint8), tile=(128, 128), compression="zlib")
    with tifffile.TiffFile("a.tif", mode="r+") as file:
        for tag in tags:
            values = list(file.pages[0].tags[tag].value)
            values[1] = 0
            file.pages[0].tags[tag].overwrite(values)
    try:
        return tifffile.imread("a.tif")[::128, ::128].tolist()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


both, length = read(["TileOffsets", "TileByteCounts"]), read(["TileByteCounts"])
print("offset and length 0:", both)
print("length 0 alone:     ", length)
raise SystemExit(0 if both == [[7, 0], [7, 7]] and isinstance(length, str) else 1)
PY
env/bin/python try.py

#!/usr/bin/env bash
# tifffile and a tile of length 0 (TileByteCounts) whose offset is not 0, as scanners write for what they did not scan.
#
# Expected: that tile counts as missing and is filled with zeros, as one with offset 0 and length 0 is; the others are
# read as ever.
# Seen (tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.3.5, CPython 3.11): it is filled, but the tiles after it get the
# bytes of the tiles before them. Without compression the image comes back shifted, without a word; compressed, the decoder
# raises. Read tile by tile (buffersize=1), or with the offset set to 0 too, it is right: tiles that are read together are
# cut apart by adding up their lengths.
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
IMAGE = np.kron(np.array([[7, 9], [11, 13]], np.uint8), np.ones((128, 128), np.uint8))
RIGHT = [[7, 0], [11, 13]]  # the second of four tiles is empty


def read(tags, compression=None, **options):
    tifffile.imwrite("a.tif", IMAGE, tile=(128, 128), compression=compression)
    with tifffile.TiffFile("a.tif", mode="r+") as file:
        for tag in tags:
            values = list(file.pages[0].tags[tag].value)
            values[1] = 0
            file.pages[0].tags[tag].overwrite(values)
    try:
        with tifffile.TiffFile("a.tif") as file:
            return file.pages[0].asarray(**options)[::128, ::128].tolist()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


both, length = ["TileOffsets", "TileByteCounts"], ["TileByteCounts"]
seen = {
    "offset and length 0": read(both),
    "length 0, tile by tile": read(length, buffersize=1),
    "length 0": read(length),
    "length 0, compressed": read(length, "zlib"),
}
for name, values in seen.items():
    print(f"{name:24}", values)
good, apart, shifted, broken = seen.values()
raise SystemExit(0 if good == apart == RIGHT and shifted == [[7, 0], [9, 11]] and isinstance(broken, str) else 1)
PY
env/bin/python try.py

#!/usr/bin/env bash
# SimpleITK and a mask of class numbers in a TIFF with tiles, as whole-slide programs write masks.
#
# Expected: tiles are only how the file is stored. ReadImage gives the same pixels as from strips: one channel of class numbers;
# asked for another pixel type (ReadImage(path, sitkFloat32)), the same numbers in that type.
# Seen (SimpleITK 2.5.7, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, CPython 3.11): from strips that is so. The tiled
# mask comes back as RGBA, the class three times and 255 beside it, so `mask > 0` is true in every pixel. As sitkFloat32 it has
# one channel with 255 times the class: class 1 is 255 and class 5 is 1275. All that without a word. As sitkUInt8 it is right.
# Nuclei numbered in a tiled uint16 are cut down to 8 bits: 3,072 of them become 12 numbers, with a warning about lost bits.
# What follows: masks that others open with SimpleITK are written in strips; tiled ones are read with tifffile.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "simpleitk==2.5.7" "tifffile==2026.3.3" "imagecodecs==2026.3.6" "numpy==2.4.6"
cat > read.py <<'PY'
import sys

import numpy as np
import SimpleITK as sitk
import tifffile

classes = (np.arange(64 * 96).reshape(64, 96) % 6).astype(np.uint8)
nuclei = np.repeat(np.arange(3072, dtype=np.uint16), 2).reshape(64, 96)


def read(labels, tile, *pixel_type):
    """What SimpleITK makes of a TIFF with these labels."""
    tifffile.imwrite("mask.tif", labels, tile=tile, compression="deflate", metadata=None)
    if not np.array_equal(tifffile.imread("mask.tif"), labels):
        sys.exit("the file itself is wrong")
    return sitk.GetArrayFromImage(sitk.ReadImage("mask.tif", *pixel_type))


print("SimpleITK", sitk.Version.VersionString(), "tifffile", tifffile.__version__, "numpy", np.__version__)
tiles = (32, 32)
for name, tile in (("strips", None), ("tiles", tiles)):
    for kind, options in (("as it comes", ()), ("sitkUInt8", (sitk.sitkUInt8,)), ("sitkFloat32", (sitk.sitkFloat32,))):
        found = read(classes, tile, *options)
        print(f"classes, {name}, {kind}: {found.dtype} {found.shape}, values {np.unique(found).astype(int).tolist()}")
numbered = {name: read(nuclei, tile) for name, tile in (("strips", None), ("tiles", tiles))}
for name, found in numbered.items():
    print(f"nuclei, {name}: {found.dtype} {found.shape}, {np.unique(found[..., 0] if found.ndim == 3 else found).size} numbers")
strips = all(np.array_equal(read(classes, None, *o), classes) for o in ((), (sitk.sitkUInt8,), (sitk.sitkFloat32,)))
rgba = read(classes, tiles)
tiled = rgba.shape == (64, 96, 4) and (rgba[..., :3] == classes[..., None]).all() and (rgba[..., 3] == 255).all()
numbers = np.array_equal(read(classes, tiles, sitk.sitkUInt8), classes)
times_255 = np.array_equal(read(classes, tiles, sitk.sitkFloat32), classes * np.float32(255))
cut = np.array_equal(numbered["strips"], nuclei) and numbered["tiles"].dtype == np.uint8 and numbered["tiles"].shape[-1] == 4
sys.exit(0 if strips and tiled and numbers and times_255 and cut else 1)
PY
env/bin/python read.py

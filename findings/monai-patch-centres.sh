#!/usr/bin/env bash
# MONAI's PatchWSIDataset: patches of a smaller level of a slide around given points, and the level of each sample.
#
# Expected: center_location, which is the default, is "whether the input location information is the position of the center of the
# patch": what is at the given place is in the middle of the patch, on any level. A sample of the form in the documentation,
# {"image", "location", "patch_size", "patch_level": 2, "label"}, is read at level 2.
# Seen (monai 1.6.1, torch 2.13.0, tifffile 2026.3.3, numpy 2.4.6, CPython 3.11): on level 0 a nucleus at the given place is in the
# middle of a patch of 64 px, at (32, 32). On level 1 (a half) it is at (16, 16), and on level 2 (a quarter) at (8, 8): the patch, of
# 256 px of level 0, shows what is 96 px farther right and down. On a level of a sixteenth it would be 2 px from the corner. Half
# of the patch is taken off in px of its level, from a location in px of level 0. "patch_level" of a sample is read over: it is
# of level 0 then, with the nucleus four times as large; the key that works is "level". Nothing is said about either.
# What follows: center_location=False, and locations from which half of the patch in px of level 0 is taken off; "level" and "size" in
# samples.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "tifffile==2026.3.3" "numpy==2.4.6"
cat > centres.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import tifffile
from monai.data import PatchWSIDataset

slide = np.full((1024, 1024, 3), 230, np.uint8)
slide[500:524, 500:524] = 60  # a nucleus around (512, 512)
with tifffile.TiffWriter("slide.tif") as file:
    for factor in (1, 2, 4):
        part = np.ascontiguousarray(slide[::factor, ::factor])
        file.write(part, tile=(128, 128), photometric="rgb", subfiletype=int(factor > 1))


def nucleus(level=None, centre=True, location=(512, 512), **sample):
    """Where the nucleus is in the patch, and how many px it is wide."""
    samples = [{"image": "slide.tif", "location": list(location), "label": 1, **sample}]
    dataset = PatchWSIDataset(samples, patch_size=64, patch_level=level, center_location=centre, reader="tifffile")
    dark = np.asarray(dataset[0]["image"])[0] < 100
    rows, columns = dark.nonzero()
    return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5, int(dark.any(axis=0).sum())


print(*(f"{name} {version(name)}" for name in ("monai", "torch", "tifffile", "numpy")))
seen = [nucleus(level) for level in (0, 1, 2)]
half = [64 * factor // 2 for factor in (1, 2, 4)]
corner = [nucleus(level, False, (512 - half[level],) * 2) for level in (0, 1, 2)]
keys = {key: nucleus(**{key: 2}) for key in ("patch_level", "level")}
for level in (0, 1, 2):
    print(f"level {level}: row, column and width of the nucleus: {seen[level]}; by its corner: {corner[level]}")
print("samples of level 2, by key:", keys)
as_seen = seen == [(32, 32, 24), (16, 16, 12), (8, 8, 6)] and corner == [(32, 32, 24), (32, 32, 12), (32, 32, 6)]
as_seen &= keys["patch_level"] == seen[0] and keys["level"] == seen[2]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore centres.py

#!/usr/bin/env bash
# MONAI's Spacing and pixels of a microscope.
#
# Expected: a NIfTI volume of 8 x 8 pixels of 0.25 um (its header says 0.00025 mm) that Spacing is asked to bring to 0.5 um has
# 4 x 4 pixels afterwards, as one of 0.25 mm has that is brought to 0.5 mm.
# Seen (monai 1.6.1, torch 2.13.0, nibabel 5.4.2, CPython 3.11): it comes back with all of its 8 x 8 pixels and the pixel size that it
# had. Two affine matrices whose entries differ by less than 0.001 count as the same, whatever their unit; in millimetres all
# pixels of a microscope do. Nothing is said about it. Brought from 0.25 to 2 um it is resampled.
# What follows: resample histology by a factor (Zoom), or give Spacing an affine in microns.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "nibabel==5.4.2"
cat > resample.py <<'PY'
import sys
import warnings

import monai
import nibabel
import numpy as np
import torch
from monai.transforms import LoadImage, Spacing

pixels = np.arange(64, dtype=np.float32).reshape(8, 8, 1)


def resampled(before: float, after: float) -> tuple[tuple[int, ...], float]:
    """Shape and pixel size of a volume that Spacing brings from one pixel size, in mm, to another; what it says in warnings fails."""
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([before, before, 1, 1])), "volume.nii.gz")
    volume = LoadImage(image_only=True, ensure_channel_first=True)("volume.nii.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Spacing(pixdim=(after, after, 1), mode="nearest")(volume)
    return tuple(found.shape[1:3]), float(found.pixdim[0])


print("monai", monai.__version__, "torch", torch.__version__, "nibabel", nibabel.__version__)
of_a_scanner, of_a_microscope, further = resampled(0.25, 0.5), resampled(0.00025, 0.0005), resampled(0.00025, 0.002)
print("0.25 mm to 0.5 mm:", *of_a_scanner)
print("0.25 um to 0.5 um:", *of_a_microscope)
print("0.25 um to 2 um:", *further)
same = of_a_microscope[0] == (8, 8) and abs(of_a_microscope[1] - 0.00025) < 1e-9
sys.exit(0 if of_a_scanner[0] != (8, 8) and further[0] != (8, 8) and same else 1)
PY
env/bin/python resample.py

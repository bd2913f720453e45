#!/usr/bin/env bash
# dicom_wsi: slides converted to DICOM, as its own base.yaml has it (DimensionOrganizationType TILED_FULL).
#
# Expected: a DICOM viewer shows the slide: each pixel where it was, 0.25 um apart, and twice as far apart in the level of half size.
# Seen (dicom-wsi 1.0.5, wsidicom 0.36.1, pydicom 3.0.2, pyvips 3.2.0, numpy 2.4.6, CPython 3.11): of a slide of 960 x 640 px in
# frames of 160 px, wsidicom shows nine tenths of the pixels frames away, and the rest a pixel away. Frames are written column by
# column (generate_xy_tiles: x outside, y inside), where TILED_FULL means row by row. Put where the positions say, the picture
# lacks the slide's first row and column, all lies a pixel too far left and up, and the last row and column are black: positions
# count from 1, as DICOM has them, and add_per_frame_functional_groups_sequence takes them for indices of the array. PixelSpacing
# is in mm in DICOM, and gets OpenSlide's um (build_functional_groups): 0.25 mm, a pixel of 250 um for 0.25, and the same in the
# level of half size. Nothing is said.
# What follows: another converter (wsidicomizer); of slides that were converted, frames sorted by their positions.
# The slide is a TIFF to which the fields are added that libvips sets with OpenSlide, which its wheel is built without.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "pillow==13.0.0" "tifffile==2026.3.3" "pydicom==3.0.2" "pyvips[binary]==3.2.0" \
    "wsidicom==0.36.1"
env/bin/pip install --quiet --no-deps "dicom-wsi==1.0.5"
cat > frames.py <<'PY'
import copy
import logging
import sys
from importlib.metadata import version

import numpy as np
import pydicom
import pyvips
import tifffile
from wsidicom import WsiDicom

from dicom_wsi.run import run_instance

logging.disable(logging.WARNING)
WIDTH, HEIGHT, SIDE = 960, 640, 160
loaded = pyvips.Image.new_from_file


def opened(path, **options):
    slide = loaded(path, **options).copy()
    for field in ("openslide.mpp-x", "openslide.mpp-y"):
        slide.set_type(pyvips.GValue.gstr_type, field, "0.25")
    return slide


print(*(f"{name} {version(name)}" for name in ("dicom-wsi", "wsidicom", "pydicom", "pyvips", "numpy")))
pyvips.Image.new_from_file = opened
y, x = np.mgrid[:HEIGHT, :WIDTH]
slide = np.stack([x % 256, y % 256, x // 256 * 16 + y // 256], axis=-1).astype(np.uint8)  # each pixel another colour
tifffile.imwrite("slide.tif", slide, tile=(256, 256), photometric="rgb")
series = "1.2.276.0.7230010.3.1.3.0.23267.1577648488.965862"
settings = {  # base.yaml, uncompressed and with smaller frames
    "General": {"WSIFile": "slide.tif", "OutFilePrefix": "./slide", "NumberOfLevels": 2, "OrgUIDRoot": "1.2.840.113713.15.",
                "FrameSize": SIDE, "MaxFrames": 500, "ImageFormat": "None", "CompressionAmount": 0, "background_range": 80,
                "threshold": 0.5, "Annotations": ""},
    "BaseAttributes": {"PatientName": "Bo^Jangles", "PatientID": "1", "Manufacturer": "aperio", "SeriesDescription": "slide",
                       "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "StudyDate": "20191229", "StudyTime": "194128.000000",
                       "SeriesTime": "194128.000000", "ContentTime": "194128.000000", "Modality": "SM", "SeriesInstanceUID": series,
                       "StudyInstanceUID": "1.2.276.0.7230010.3.1.2.0.23267.1577648488.965861", "SamplesPerPixel": 3,
                       "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
                       "PixelRepresentation": 0, "ImagedVolumeWidth": 15, "ImagedVolumeHeight": 15, "ImagedVolumeDepth": 1,
                       "ImageOrientationSlide": [0, -1, 0, -1, 0, 0], "DimensionOrganizationType": "TILED_FULL",
                       "TotalPixelMatrixFocalPlanes": 1, "NumberOfOpticalPaths": 1}}
for level in (0, 1):
    run_instance(level, copy.deepcopy(settings))
data = [pydicom.dcmread(f"slide.{level}-0.dcm") for level in (0, 1)]
with WsiDicom.open("slide.0-0.dcm") as viewer:
    shown, pixel = np.asarray(viewer.read_region((0, 0), 0, (WIDTH, HEIGHT))), viewer.mpp.width
placed = np.zeros_like(slide)
for frame, about in zip(data[0].pixel_array, data[0].PerFrameFunctionalGroupsSequence):
    place = about.PlanePositionSlideSequence[0]
    left, top = place.ColumnPositionInTotalImagePixelMatrix - 1, place.RowPositionInTotalImagePixelMatrix - 1
    placed[top:top + SIDE, left:left + SIDE] = frame
wrong = float((shown != placed).any(axis=-1).mean())
shifted = np.array_equal(placed[:-1, :-1], slide[1:, 1:]) and not placed[-1].any() and not placed[:, -1].any()
spacings = [float(level.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]) for level in data]
print(f"{data[0].DimensionOrganizationType}, {data[0].NumberOfFrames} frames: wsidicom shows {wrong:.0%} of the pixels elsewhere",
      f"than their positions say, {(shown == slide).all(axis=-1).mean():.1%} where they were on the slide")
print(f"by their positions: the slide without its first row and column, the last ones black: {shifted}")
print(f"PixelSpacing of the two levels {spacings} mm for 0.00025 and 0.0005; wsidicom: pixels of {pixel:g} um")
as_seen = data[0].DimensionOrganizationType == "TILED_FULL" and wrong > 0.8 and shifted and spacings == [0.25, 0.25] and pixel == 250
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore frames.py

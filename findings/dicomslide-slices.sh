#!/usr/bin/env bash
# dicomslide's TotalPixelMatrix: a slide in DICOM that is indexed like an array, to cut off a border or to take one channel.
#
# Expected: "Instances of the class walk and quack like NumPy arrays and can be indexed accordingly", with the one difference that
# a single number is a tile. matrix[:-10, :, :] leaves out the last 10 rows, matrix[-10:, :, :] is the last 10, matrix[:, :, 0:1]
# is red.
# Seen (dicomslide 0.7.2, highdicom 0.28.2, pydicom 3.0.2, numpy 2.4.6, CPython 3.11): of a slide of 100 x 150 in tiles of 32,
# regions with stops that count from the beginning are right. [:-10] has 109 rows, 9 more than the slide has; the last ones are the
# filling of its tiles. [:-1] is the whole slide. [-10:] is the whole slide as well, and [50:-20] has 69 rows for 30. 0:1 of the
# colours is all three and 1:2 green and blue; 2:3 is right. A step (::2) is ignored. Nothing is said about it.
# What follows: count from the beginning, with matrix.shape, and take colours and steps from the array that comes back.
# The slide is made in memory; a stand-in for the client hands out its frames.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "dicomslide==0.7.2" "highdicom==0.28.2" "pydicom==3.0.2" "numpy==2.4.6" "dicomweb-client==0.61.2"
cat > slices.py <<'PY'
import logging
import sys
from importlib.metadata import version

import numpy as np
from dicomslide import TotalPixelMatrix
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

tile, rows, columns = 32, 100, 150
picture = np.random.default_rng(0).integers(0, 200, (rows, columns, 3), dtype=np.uint8)
down, across = -(-rows // tile), -(-columns // tile)
filled = np.full((down * tile, across * tile, 3), 255, dtype=np.uint8)
filled[:rows, :columns] = picture
frames = [filled[y : y + tile, x : x + tile].tobytes() for y in range(0, rows, tile) for x in range(0, columns, tile)]


class Client:
    """Hands out frames, as a DICOMweb client does."""

    def retrieve_instance_frames(self, *, frame_numbers, **_):
        return [frames[number - 1] for number in frame_numbers]


def described(**values):
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


slide = described(
    SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6", SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(),
    SeriesInstanceUID=generate_uid(), Modality="SM", ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], Rows=tile, Columns=tile,
    SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
    PixelRepresentation=0, TotalPixelMatrixRows=rows, TotalPixelMatrixColumns=columns, TotalPixelMatrixFocalPlanes=1,
    DimensionOrganizationType="TILED_FULL", NumberOfFrames=len(frames), NumberOfOpticalPaths=1,
    ImageOrientationSlide=[0, 1, 0, 1, 0, 0],
    TotalPixelMatrixOriginSequence=[described(XOffsetInSlideCoordinateSystem=0.0, YOffsetInSlideCoordinateSystem=0.0)],
    OpticalPathSequence=[described(OpticalPathIdentifier="1")], AvailableTransferSyntaxUID=ExplicitVRLittleEndian,
    SharedFunctionalGroupsSequence=[
        described(PixelMeasuresSequence=[described(PixelSpacing=[0.0005, 0.0005], SliceThickness=0.001)])
    ],
)
logging.disable(logging.WARNING)  # that the slide has no colour profile
matrix = TotalPixelMatrix(Client(), slide)
print(*(f"{name} {version(name)}" for name in ("dicomslide", "highdicom", "pydicom", "numpy")))
whole = (slice(None),) * 3
found = {}
for name, key in {
    "[:, :, :]": whole, "[10:60, 20:140, :]": np.s_[10:60, 20:140, :], "[:-10, :, :]": np.s_[:-10, :, :],
    "[:-1, :-1, :]": np.s_[:-1, :-1, :],
    "[-10:, :, :]": np.s_[-10:, :, :], "[50:-20, :, :]": np.s_[50:-20, :, :], "[:, :, 0:1]": np.s_[:, :, 0:1],
    "[:, :, 1:2]": np.s_[:, :, 1:2], "[:, :, 2:3]": np.s_[:, :, 2:3], "[::2, :, :]": np.s_[::2, :, :],
}.items():
    got = matrix[key]
    same = got.shape == picture[key].shape and bool((got == picture[key]).all())
    found[name] = got.shape, same
    print(f"{name}: {got.shape} for {picture[key].shape}, {'the same' if same else 'not the same'}")
print("the rows of [:-10] after the slide's last:", np.unique(matrix[:-10, :, :][rows:]))
right = [name for name, (_, same) in found.items() if same]
as_seen = right == ["[:, :, :]", "[10:60, 20:140, :]", "[:, :, 2:3]"]
as_seen &= [found[name][0] for name in found if name not in right] == [
    (109, 150, 3), (100, 150, 3), (100, 150, 3), (69, 150, 3), (100, 150, 3), (100, 150, 2), (100, 150, 3)
]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore slices.py

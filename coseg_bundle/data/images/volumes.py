"""NIfTI, and NPY for labels."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from coseg_bundle.data.images.colour import Encoding, Stored, encoding_of
from coseg_bundle.data.images.files import ImageFileError, check_pixels, suffix_of
from coseg_bundle.data.images.pixel_size import PixelSize, square

_PACKED = 2**24, 256
"""Bytes that are unpacked at a time, and how often at most: 4 GB hold the largest image that is read."""

_MICRONS = {"meter": 1e6, "mm": 1e3, "micron": 1.0}


def read_nifti(path: Path) -> Stored:
    """Reads one slice: `(W, H, 1, 3)`, `(W, H, 3)`, `(W, H)` or RGB24.

    Raises:
        ImageFileError: The volume has more slices, or is too large.
    """
    import nibabel

    volume = nibabel.load(path)
    shape = tuple(volume.shape)
    inner = [side for side in shape[2:] if side != 1]
    if len(shape) < 2 or len(inner) > 1 or (inner and inner[0] not in (3, 4)):
        raise ImageFileError(f"{path}: expected one slice, (W, H, 1) or (W, H, 1, 3), got shape {shape}.")
    check_pixels(path, shape[0], shape[1])
    array = np.asanyarray(volume.dataobj)
    if path.name.lower().endswith(".gz"):
        _check_sum(path)
    if array.dtype.fields:  # RGB24: three uint8 fields
        array = np.stack([array[name] for name in array.dtype.fields], axis=-1)
    channels = array.size // (shape[0] * shape[1]) if array.size else 1
    array = np.swapaxes(array.reshape(shape[0], shape[1], channels), 0, 1)  # (W, H, S) -> (H, W, S)
    factor = _MICRONS.get(volume.header.get_xyzt_units()[0], 1e3)
    sizes = [float(zoom) * factor for zoom in volume.header.get_zooms()[:2]]
    plausible = all(0.05 <= size <= 5 or not math.isfinite(size) or size <= 0 for size in sizes)  # 1 mm is a default
    return Stored(
        array[..., 0] if channels == 1 else array,
        encoding_of(channels, path),
        square(sizes[0], sizes[1], "its header") if plausible else PixelSize(),
        affine=np.asarray(volume.affine),
    )


def check_same_axes(image: Path, label: Path) -> None:
    """Refuses a label whose columns and rows lead elsewhere in the world than its image's: its first pixel is another.

    Only two NIfTI files say that, and of those not all: one without an affine, or with the identity in whatever
    convention (nibabel's, ITK's), says nothing, and counts pixel by pixel as other formats do. Spacing and origin may
    differ.

    Args:
        image: The image.
        label: A label or a prediction of it, a file that can be read.

    Raises:
        ImageFileError: Both say how they lie, and not the same.
    """
    of_image, of_label = _axes(image), _axes(label)
    if of_image and of_label and of_image != of_label:
        raise ImageFileError(
            f"{label}: by its affine x and y lead to {' and '.join(of_label)}, and those of its image {image} to "
            f"{' and '.join(of_image)}, so its pixels are not the image's; save it on the grid of the image."
        )


def _axes(path: Path) -> tuple[str, ...] | None:
    """Where the first two axes of a NIfTI file lead (L or R, P or A, I or S); None where it does not say."""
    if suffix_of(path) not in (".nii", ".nii.gz"):
        return None
    import nibabel

    volume = nibabel.load(path)
    affine, codes = volume.affine, [volume.header.get(f"{form}_code", 0) for form in ("qform", "sform")]
    if not any(codes) or not np.isfinite(affine).all() or np.array_equal(np.abs(affine), np.eye(4)):
        return None
    axes = nibabel.aff2axcodes(affine)[:2]
    return None if None in axes else axes


def _check_sum(path: Path) -> None:
    """Unpacks a file to its end, where gzip compares the sum; nibabel stops before.

    Raises:
        OSError: The sum is another, or the end is missing.
    """
    with gzip.open(path) as file:
        for _ in range(_PACKED[1]):
            if not file.read(_PACKED[0]):
                return


def read_npy(path: Path) -> Stored:
    """Reads an array of numbers; what its header says is compared with the file before anything is read."""
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    if mapped.ndim >= 2:
        check_pixels(path, mapped.shape[1], mapped.shape[0])
    return Stored(np.array(mapped), Encoding("grey"))

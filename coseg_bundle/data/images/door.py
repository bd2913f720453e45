"""The door: images and label maps from files, checked."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images.colour import Encoding, Stored, completed, to_rgb
from coseg_bundle.data.images.files import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    ImageFileError,
    first_line,
    missing_package,
    package_needed,
    suffix_of,
)
from coseg_bundle.data.images.pictures import read_picture
from coseg_bundle.data.images.tiff.image import begins_as_tiff, read_tiff, two_planes
from coseg_bundle.data.images.volumes import check_same_axes, read_nifti, read_npy
from coseg_bundle.data.labels import maps
from coseg_bundle.postprocessing.resample import resample_nearest

Readers = dict[str, Callable[[Path], Stored]]


@dataclass(frozen=True)
class HistologyImage:
    """An image as the network's users know it.

    Attributes:
        rgb: `(H, W, 3)` uint8, upright; white where the file holds nothing.
        mpp: Microns per pixel, or None where the file does not say.
        path: The file.
        affine: `(4, 4)` voxel-to-world matrix of a NIfTI file, in mm; None for other formats.
        unscanned: `(H, W)`, True where the file holds nothing (missing tiles, full transparency); None where it holds
            something everywhere.
        mpp_refusal: Why what the file says of its pixels cannot be used unless a resolution is given, or None.
        notes: What is to be said of how the file was read: significant bits, turns, channels that were left out.
    """

    rgb: NDArray[np.uint8]
    mpp: float | None
    path: Path
    affine: NDArray[np.float64] | None = None
    unscanned: NDArray[np.bool_] | None = None
    mpp_refusal: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def square_mpp(self) -> float | None:
        """Microns per pixel, where nothing else gives them.

        Raises:
            ImageFileError: What the file says of its pixels cannot be used.
        """
        if self.mpp_refusal:
            raise ImageFileError(self.mpp_refusal)
        return self.mpp


def read_image(path: str | PathLike[str]) -> HistologyImage:
    """Reads an image as 8-bit RGB, upright.

    Grey, palette, CMYK, L*a*b* and YCbCr become RGB, transparency and missing tiles white. Of deeper values the upper
    eight of the significant bits count; floats must lie in [0, 1]. Of a pyramid the first level is read. NIfTI holds
    `(x, y)` order: `(W, H, 1, 3)`, `(W, H, 3)`, `(W, H)` or RGB24.

    Args:
        path: PNG, JPEG, TIFF or NIfTI.

    Raises:
        ImageFileError: The file is missing, truncated, empty, too large, or no such image.
    """
    path = Path(path)
    stored = _read(path, IMAGE_SUFFIXES, "an image")
    encoding = completed(stored.array, stored.encoding, path)
    rgb, unscanned = to_rgb(stored.array, encoding, path)
    if stored.unscanned is not None:
        rgb[stored.unscanned] = 255
        unscanned = stored.unscanned if unscanned is None else stored.unscanned | unscanned
    size = stored.pixel_size
    notes = (*stored.notes, *encoding.notes, *size.notes)
    refusal = f"{path}: {size.refusal}" if size.refusal else None
    return HistologyImage(rgb, size.mpp, path, stored.affine, unscanned, refusal, notes)


def read_label(path: str | PathLike[str]) -> NDArray[np.int32]:
    """Reads a label map, upright: whole numbers, one per pixel; -1 marks unlabelled pixels.

    Args:
        path: PNG, TIFF, NPY or NIfTI.

    Returns:
        `(H, W)` int32.

    Raises:
        ImageFileError: The file is missing or broken, has more than one channel, fractions, other negative values, or
            ids beyond int32.
    """
    path = Path(path)
    return maps.label_map(_read(path, LABEL_SUFFIXES, "a label map", _OF_LABELS).array, path)


def read_instances(path: str | PathLike[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Reads a label map of nuclei; a mask becomes its pieces (see `labels.maps.instance_map`).

    Args:
        path: PNG, TIFF, NPY or NIfTI.

    Returns:
        `(H, W)` int32, and sentences on how it was read.

    Raises:
        ImageFileError: As `read_label`, or the values are classes.
    """
    path = Path(path)
    return maps.instance_map(_read(path, LABEL_SUFFIXES, "a label map", _OF_INSTANCES).array, path)


def read_label_of(
    image_path: str | PathLike[str],
    shape: tuple[int, int],
    path: str | PathLike[str],
    size: tuple[int, int] | None = None,
) -> NDArray[np.int32]:
    """Reads a label map of an image, which has its size or a whole multiple of it, the same in both directions.

    A label that is N times as fine says more about where an outline runs; other grids take from it the values at the
    centres of their pixels. With an odd N the centre of an image's pixel is the centre of one of the label's. With an
    even one it lies between four, of which the lower right one counts: half a label's pixel away.

    Args:
        image_path: The image, for messages.
        shape: Its height and width.
        path: The label, as `read_label` takes it.
        size: Height and width to bring the label to; those of the image when not given.

    Returns:
        `size` int32.

    Raises:
        ImageFileError: The label is unusable, its size is another, or both are NIfTI and their axes differ.
    """
    return _on_grid(read_label(path), image_path, shape, path, size)


def read_instances_of(
    image_path: str | PathLike[str],
    shape: tuple[int, int],
    path: str | PathLike[str],
    size: tuple[int, int] | None = None,
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Reads a label map of an image's nuclei: `read_label_of` for what `read_instances` gives."""
    label, notes = read_instances(path)
    return _on_grid(label, image_path, shape, path, size), notes


def _on_grid(
    label: NDArray[np.int32],
    image_path: str | PathLike[str],
    shape: tuple[int, int],
    path: str | PathLike[str],
    size: tuple[int, int] | None,
) -> NDArray[np.int32]:
    check_same_axes(Path(image_path), Path(path))
    times = max(1, label.shape[0] // shape[0])
    if label.shape != (shape[0] * times, shape[1] * times):
        check_same_size(shape, (label.shape[0], label.shape[1]), image_path, path, ", or a whole multiple of it")
    return resample_nearest(label, size or shape)


def write_tiff(path: Path, array: NDArray[Any], software: str | None = None, known: bool = False) -> Path:
    """Writes an image or a label map, compressed without loss, whole or not at all; returns its absolute path.

    Args:
        path: The file; one that is there is replaced.
        array: `(H, W)` or `(H, W, 3)`.
        software: What is to write the file: one of others is not replaced. Any file is where nothing is given.
        known: Whether a file that is there is known to be this software's, whatever it says.

    Raises:
        ImageFileError: The file is there, and something else wrote it.
    """
    import tifffile

    if software is not None and not known:
        check_written_by(path, software)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        tifffile.imwrite(partial, array, compression="deflate", software=software)
    return path.resolve()


def check_written_by(path: Path, software: str, changed: bool = False) -> None:
    """Refuses a place where something else than this software wrote a file.

    Args:
        path: The place.
        software: What is to write there.
        changed: Whether the file that is there is known to be another than was written, whatever it says.

    Raises:
        ImageFileError: A file is there, and something else wrote it.
    """
    if path.exists() and (changed or _software_of(path) != software):
        raise ImageFileError(
            f"{path}: expected no file, or one that {software} wrote, got another, which is not replaced; move it, or "
            "have the new ones written to another folder (--output, of coseg puma DEST)."
        )


def _software_of(path: Path) -> str | None:
    """What a TIFF says wrote it."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return str(tiff.pages.first.software)
    except (OSError, ValueError, LookupError, struct.error, tifffile.TiffFileError):
        return None


def check_same_size(
    shape: tuple[int, int], other: tuple[int, int], path: object, other_path: object, also: str = ""
) -> None:
    """Raises ImageFileError naming both files unless the two (H, W) are equal; `also` says what else would do."""
    if shape != other:
        raise ImageFileError(
            f"{other_path} has {other[1]} x {other[0]} pixels and its image {path} has {shape[1]} x {shape[0]}; "
            f"export the labels at the size of the image{also}."
        )


def _read(path: Path, suffixes: tuple[str, ...], what: str, readers: Readers | None = None) -> Stored:
    suffix = suffix_of(path)
    if not path.is_file():
        raise ImageFileError(f"{path}: file not found; check the path.")
    if suffix not in suffixes:
        raise ImageFileError(
            f"{path}: expected {what} ({', '.join(suffixes)}), got {suffix or 'no suffix'}; convert it."
        )
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path}: the file is empty; copy or export it again.")
    try:
        stored = (readers or _READERS)[suffix](path)
    except (ImageFileError, MemoryError):
        raise
    except Exception as error:  # the readers raise whatever their formats' libraries raise
        if package := missing_package(error):
            raise ImageFileError(package_needed(path, package)) from error
        raise ImageFileError(
            f"{path}: not readable as {what} ({first_line(error)}); it may be truncated or mislabelled."
        ) from error
    if stored.array.size == 0:
        raise ImageFileError(f"{path}: the image has no pixels (shape {stored.array.shape}); export it again.")
    return stored


def _read_called_picture(path: Path, holds_ids: bool = False) -> Stored:
    """What is called PNG or JPEG; Pillow would leave out what TIFF says of its samples, if it is TIFF."""
    return read_tiff(path, holds_ids) if begins_as_tiff(path) else read_picture(path)


def _read_tiff_instances(path: Path) -> Stored:
    """A TIFF may hold nuclei and cells."""
    planes = two_planes(path)
    return read_tiff(path, holds_ids=True) if planes is None else Stored(planes, Encoding("grey"))


_READERS: Readers = {
    ".png": _read_called_picture,
    ".jpg": _read_called_picture,
    ".jpeg": _read_called_picture,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".npy": read_npy,
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
}
_OF_LABELS: Readers = {
    **_READERS,
    ".png": partial(_read_called_picture, holds_ids=True),
    ".tif": partial(read_tiff, holds_ids=True),
    ".tiff": partial(read_tiff, holds_ids=True),
}
_OF_INSTANCES: Readers = {**_OF_LABELS, ".tif": _read_tiff_instances, ".tiff": _read_tiff_instances}

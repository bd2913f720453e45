"""Arrays that other programs wrote (MAT, NPY), checked at the door."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import MAX_PIXELS, ImageFileError
from coseg_bundle.data.images.files import first_line

_BYTES = {"double": 8, "int64": 8, "uint64": 8, "single": 4, "int32": 4, "uint32": 4, "int16": 2, "uint16": 2}
_LARGEST_MAT = 2 * MAX_PIXELS
"""Bytes of one array, as its header says: packed, a thousandth of them may be on the disk."""


def read_mat(path: Path, *wanted: str, perhaps: str = "") -> dict[str, Any]:
    """Reads a MAT file (up to version 7) that holds these arrays, and only these.

    Args:
        path: The file.
        wanted: Names of arrays.
        perhaps: Another one that may be missing.

    Raises:
        ImageFileError: It is no such file, an array is missing, or one is too large.
    """
    from scipy.io import loadmat, whosmat

    try:
        sizes = {name: (shape, _BYTES.get(kind, 1)) for name, shape, kind in whosmat(str(path))}
        if lacking := [key for key in wanted if key not in sizes]:
            held = ", ".join(sorted(sizes)) or "nothing"
            raise ImageFileError(
                f"{path}: expected {', '.join(wanted)} in it, {', '.join(lacking)} is missing (it holds {held})."
            )
        names = [name for name in (*wanted, perhaps) if name in sizes]
        for name in names:
            shape, size = sizes[name]
            if math.prod(shape) * size > _LARGEST_MAT:
                raise ImageFileError(f"{path}: its header says that {name} has shape {shape}; cut regions from it.")
        content: dict[str, Any] = loadmat(str(path), variable_names=names)
    except ImageFileError:
        raise
    except NotImplementedError as error:
        raise ImageFileError(f"{path}: a MAT file of version 7.3 (HDF5); save it with -v7.") from error
    except Exception as error:  # scipy raises many kinds for what is no MAT file
        raise ImageFileError(f"{path}: not readable as a MAT file ({first_line(error)}).") from error
    return content


def read_npy(path: Path, mmap_mode: Any = None) -> NDArray[Any]:
    """Reads one array; `mmap_mode` as NumPy's. What its header says is compared with the file before it is read.

    Raises:
        ImageFileError: It is no NPY file, is shorter than its header says, or holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode=mmap_mode or "r", allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array if mmap_mode else np.array(array)
    except Exception as error:  # NumPy raises many kinds for headers that make no sense
        raise ImageFileError(f"{path}: not readable as an NPY file ({first_line(error)}); copy it again.") from error
    raise ImageFileError(f"{path}: expected one array, got an archive of several; unpack it.")


def as_ids(values: Any, what: str, shape: tuple[int, ...] | None = None) -> NDArray[np.int32]:
    """Checks ids and returns them as int32.

    Args:
        values: Whole numbers from 0 on, of any numeric type.
        what: What they are, for messages.
        shape: The shape that they must have, if any.

    Raises:
        ImageFileError: They are not so.
    """
    values = np.asarray(values)
    if shape is not None and values.shape != shape:
        raise ImageFileError(f"{what} has shape {values.shape} and its image {shape}; export it at the image's size.")
    if values.dtype.kind not in "iufb" or (values.dtype.kind == "f" and not (values == np.round(values)).all()):
        raise ImageFileError(f"{what}: expected whole numbers, got {values.dtype} with fractions; save ids.")
    if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(np.int32).max:
        raise ImageFileError(f"{what}: expected ids from 0 on, got {values.min()} to {values.max()}; relabel it.")
    return values.astype(np.int32)


def as_rgb(values: Any, what: str) -> NDArray[np.uint8]:
    """Checks colours of an image from 0 to 255, of any numeric type, and returns them as uint8.

    Raises:
        ImageFileError: They are not so; `what` names them.
    """
    values = np.asarray(values)
    if not values.size:
        raise ImageFileError(f"{what}: the image has no pixels (shape {values.shape}); export it again.")
    if values.dtype.kind not in "iuf" or not (np.isfinite(values) & (values >= 0) & (values <= 255)).all():
        raise ImageFileError(f"{what}: expected colours from 0 to 255; export it as 8-bit RGB.")
    return values.astype(np.uint8)

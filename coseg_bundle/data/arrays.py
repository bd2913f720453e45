"""Arrays that other programs wrote (MAT, NPY), checked at the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError


def read_mat(path: Path, *wanted: str) -> dict[str, Any]:
    """Reads a MAT file (up to version 7) that holds these arrays.

    Raises:
        ImageFileError: It is no such file, or an array is missing.
    """
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(str(path))
    except Exception as error:  # scipy raises many kinds for what is no MAT file
        raise ImageFileError(f"{path}: not readable as a MAT file ({error}).") from error
    if lacking := [key for key in wanted if key not in content]:
        raise ImageFileError(f"{path}: expected {', '.join(wanted)} in it, {', '.join(lacking)} is missing.")
    return content


def read_npy(path: Path, mmap_mode: Any = None) -> NDArray[Any]:
    """Reads one array; `mmap_mode` as NumPy's.

    Raises:
        ImageFileError: It is no NPY file, or holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ImageFileError(f"{path}: not readable as an NPY file ({error}); copy it again.") from error
    if not isinstance(array, np.ndarray):
        raise ImageFileError(f"{path}: expected one array, got an archive of several; unpack it.")
    return array


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
    """Checks colours from 0 to 255, of any numeric type, and returns them as uint8.

    Raises:
        ImageFileError: They are not so; `what` names them.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf" or not (np.isfinite(values) & (values >= 0) & (values <= 255)).all():
        raise ImageFileError(f"{what}: expected colours from 0 to 255; export it as 8-bit RGB.")
    return values.astype(np.uint8)

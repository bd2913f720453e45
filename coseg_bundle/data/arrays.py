"""Arrays that other programs wrote, checked at the door."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.files import MAX_PIXELS, ImageFileError, first_line

_BYTES = {"double": 8, "int64": 8, "uint64": 8, "single": 4, "int32": 4, "uint32": 4, "int16": 2, "uint16": 2}
_LARGEST_MAT = 2 * MAX_PIXELS
"""Bytes of one array, as its header says: packed, a thousandth of them may be on the disk."""

_LIMIT_S = 300.0
"""For one file. The largest that is read takes a tenth of it."""

_REFUSED = 3
"""How the process ends where its output says what is wrong with the file."""

_ARRAYS = "arrays.npz"
_COMMAND = "from coseg_bundle.data.arrays import _child; _child()"


def read_mat(path: Path, *wanted: str, perhaps: str = "") -> dict[str, NDArray[Any]]:
    """Reads a MAT file (up to version 7) that holds these arrays, and only these.

    In a process of its own: scipy trusts what it reads, and a damaged file may end the process that reads it.

    Args:
        path: The file.
        wanted: Names of arrays.
        perhaps: Another one that may be missing.

    Raises:
        ImageFileError: It is no such file, is damaged, an array is missing, is too large or holds no numbers.
    """
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist.")
    with tempfile.TemporaryDirectory() as folder:  # nothing lies there that Python could import in place of its own
        command = [sys.executable, "-c", _COMMAND, str(path.absolute()), str(path), str(_LARGEST_MAT), perhaps, *wanted]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise ImageFileError(
                f"{path}: not readable as a MAT file in {_LIMIT_S:.0f} s; save it again with -v7."
            ) from error
        if done.returncode == _REFUSED:
            raise ImageFileError(done.stdout.decode("utf-8", "replace"))
        if done.returncode:
            raise ImageFileError(
                f"{path}: not readable as a MAT file (it is damaged: who reads it is ended with {done.returncode}); "
                "save it again with -v7."
            )
        with np.load(Path(folder, _ARRAYS), allow_pickle=False) as arrays:
            return dict(arrays)


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


def _child() -> None:
    """What the process does: the arrays of a file to a file in its folder, or a sentence to its output."""
    file, name, most, perhaps, *wanted = sys.argv[1:]
    try:
        np.savez(_ARRAYS, **_read(file, name, int(most), wanted, perhaps))
    except ImageFileError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "surrogateescape"))
        sys.exit(_REFUSED)


def _read(file: str, name: str, most: int, wanted: list[str], perhaps: str) -> dict[str, Any]:
    from scipy.io import loadmat, whosmat

    try:
        sizes = {key: (shape, _BYTES.get(kind, 1)) for key, shape, kind in whosmat(file)}
        if lacking := [key for key in wanted if key not in sizes]:
            held = ", ".join(sorted(sizes)) or "nothing"
            raise ImageFileError(
                f"{name}: expected {', '.join(wanted)} in it, {', '.join(lacking)} is missing (it holds {held})."
            )
        found = [key for key in (*wanted, perhaps) if key in sizes]
        for key in found:
            shape, size = sizes[key]
            if math.prod(shape) * size > most:
                raise ImageFileError(f"{name}: its header says that {key} has shape {shape}; cut regions from it.")
        content: dict[str, Any] = loadmat(file, variable_names=found)
        for key in found:
            if np.asarray(content[key]).dtype.hasobject:
                raise ImageFileError(f"{name}: expected an array of numbers in {key}; save it as one.")
    except ImageFileError:
        raise
    except NotImplementedError as error:
        raise ImageFileError(f"{name}: a MAT file of version 7.3 (HDF5); save it with -v7.") from error
    except Exception as error:  # scipy raises many kinds for what is no MAT file
        raise ImageFileError(f"{name}: not readable as a MAT file ({first_line(error)}).") from error
    return {key: content[key] for key in found}

"""A weights file as it lies on the disk: its checksum, and its arrays without PyTorch.

`torch.save` writes a zip archive: a pickle that names every tensor, its storage, shape and strides, and a file of plain
numbers for each storage. Only the few names that such a pickle needs are known here; nothing else is looked up or run.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ABOUT = "about"
"""Name of the tensor in which a weights file says what it is; see `about`."""

STRIDE, TWO_SCALES = "rp_encoder.from_nuclei.stride", "two_scales"
"""What else stands beside the parameters: buffers that no answer is computed with."""

_BFLOAT16 = "bfloat16"

_STORAGES: dict[str, Any] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class CheckpointError(ValueError):
    """A weights file that cannot be used, with the reason and the remedy in one sentence."""


def read_arrays(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a released weights file, by name; bfloat16 becomes float32.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else than a dictionary of tensors.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"Weights not found: {path} does not exist; `coseg doctor` lists what is there.")
    try:
        with zipfile.ZipFile(path) as archive:
            stem = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            if f"{stem}byteorder" in archive.namelist() and archive.read(f"{stem}byteorder") != b"little":
                raise ValueError("its numbers are big-endian")
            content = _Tensors(archive.read(f"{stem}data.pkl"), lambda key: archive.read(f"{stem}data/{key}")).load()
    except Exception as error:  # a damaged pickle raises anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is no weights file that can be read without PyTorch ({reason}); expected a released file, as "
            "`coseg train` writes it; download or write it again."
        ) from error
    if not (isinstance(content, dict) and content and all(isinstance(v, np.ndarray) for v in content.values())):
        raise CheckpointError(f"{path} holds no network weights; expected a dictionary of tensors.")
    for name, values in content.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise CheckpointError(
                f"{path} holds no usable weights: {name} has values that are not finite; download or train them again."
            )
    return content


class _Tensors(pickle.Unpickler):
    """Reads the pickle of a weights file, and nothing that another pickle may hold."""

    def __init__(self, pickled: bytes, storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        kind, dtype, key, _, count = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it holds a {kind}")
        content = self._storage(str(key))
        if isinstance(dtype, str):
            return (np.frombuffer(content, "<u2", count).astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(content, dtype, count)


def _tensor(storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
    """A part of a storage, in its shape."""
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    if offset < 0 or min(strides, default=0) < 0 or not last < storage.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    size = storage.itemsize
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, [step * size for step in strides]).copy()


def check_sum(path: str | PathLike[str]) -> None:
    """Compares a weights file with the SHA-256 that lies beside it (`model.pt.sha256`), where there is one.

    Raises:
        CheckpointError: They differ, or the file with the sum holds none.
    """
    listed = Path(f"{path}.sha256")
    if not (listed.is_file() and Path(path).is_file()):
        return
    expected = (listed.read_text(encoding="utf-8", errors="replace").split() or [""])[0].lower()
    if expected != (found := sha256(path)):
        raise CheckpointError(
            f"{path} has the SHA-256 {found}, and {listed.name} says {expected or 'nothing'}: it is damaged or another "
            f"file; download it again, or remove {listed.name} if it is meant to be another."
        )


def check_parts(path: str | PathLike[str]) -> None:
    """Compares each part of a file of `torch.save` with its sum in the archive, which PyTorch does not look at.

    Raises:
        ValueError: One differs.
    """
    if not zipfile.is_zipfile(path):
        return  # PyTorch says what it is
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")


def sha256(path: str | PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()

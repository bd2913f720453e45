"""Maps in finished results, checked: a broken one is one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from coseg_bundle.data.images.files import first_line
from coseg_bundle.writers.folders import ResultsFolderError

Read = Callable[[slice, slice], NDArray[np.uint8]]
"""Gives some rows and columns of a map."""


Shape = tuple[int, int]


def read_map(
    path: Path, classes: int, again: str, shape: Shape | Callable[[Shape], Shape] | None = None
) -> NDArray[np.uint8]:
    """Reads a map of class ids.

    Args:
        path: A TIFF.
        classes: How many ids there are.
        again: The command that makes the results, for messages.
        shape: Height and width that it must have, if they are known, or what gives them from those that it has.

    Returns:
        `(H, W)` uint8.

    Raises:
        ResultsFolderError: It is broken, or no such map.
    """
    with open_map(path, classes, again, shape) as (read, (height, width)):
        return read(slice(0, height), slice(0, width))


@contextmanager
def open_map(
    path: Path, classes: int, again: str, shape: Shape | Callable[[Shape], Shape] | None = None
) -> Iterator[tuple[Read, tuple[int, int]]]:
    """Opens a map of class ids, of which parts are read; see `read_map`.

    Yields:
        What reads a part, and the map's height and width.
    """
    import zarr

    def broken(reason: object) -> ResultsFolderError:
        return ResultsFolderError(f"{path} is broken ({reason}); make the results anew with {again}.")

    try:
        file = tifffile.TiffFile(path)
    except Exception as error:  # tifffile raises many kinds
        raise broken(_said(error)) from error
    with file:
        try:
            opened: Any = zarr.open(file.series[0].aszarr(level=0), mode="r")
            found, dtype = tuple(opened.shape), opened.dtype
        except Exception as error:
            raise broken(_said(error)) from error
        sound = len(found) == 2 and 0 not in found and dtype == np.uint8
        expected = shape(found) if sound and callable(shape) else shape
        if not sound or expected not in (None, found):
            raise broken(f"{dtype} of shape {found}")

        def read(rows: slice, columns: slice) -> NDArray[np.uint8]:
            try:
                part = np.asarray(opened[rows, columns])
            except Exception as error:  # and its codecs other ones
                raise broken(_said(error)) from error
            if part.max(initial=0) >= classes:
                raise broken(f"a value of {part.max()} among {classes} classes")
            return part

        yield read, (int(found[0]), int(found[1]))


def _said(error: Exception) -> str:
    return "it asks for more memory than there is" if isinstance(error, MemoryError) else first_line(error)

"""How an image is to be turned before it is looked at: the orientation tag of TIFF and EXIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATION = 274
"""The tag's number, the same in TIFF and EXIF."""

_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
"""Steps along rows and columns of what lies upright, but for mirrors, by the tag's value."""


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array `(H, W, ...)` turned and mirrored as its tag (1 to 8) says; other values say nothing.

    Example:
        >>> upright(np.array([[1, 2, 3]]), 6).tolist()  # stored on its side: the left is the top
        [[1], [2], [3]]
    """
    if lies_on_its_side(orientation):
        array = np.swapaxes(array, 0, 1)  # (H, W, ...) -> (W, H, ...)
    down, right = _STEPS.get(orientation, (1, 1))
    return array[::down, ::right]


def lies_on_its_side(orientation: int) -> bool:
    """Whether rows are stored as columns."""
    return orientation in (5, 6, 7, 8)


def stored_box(box: tuple[int, int, int, int], size_xy: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Where a box `(x, y, width, height)` of an upright image of `size_xy` lies as it is stored.

    Example:
        >>> stored_box((0, 0, 1, 2), (3, 5), 6)  # stored on its side: the upper left is the lower left
        (0, 2, 2, 1)
    """
    x, y, width, height = box
    down, right = _STEPS.get(orientation, (1, 1))
    x = x if right == 1 else size_xy[0] - x - width
    y = y if down == 1 else size_xy[1] - y - height
    return (y, x, height, width) if lies_on_its_side(orientation) else (x, y, width, height)


def orientation_of(path: Path) -> int:
    """What a file's tag says, 1 to 8, from its header alone; 1 where it says nothing, or nothing can be read."""
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            with tifffile.TiffFile(path) as file:
                return orientation_on(file.pages[0])
        from PIL import Image

        with Image.open(path) as image:
            return _known(image.getexif().get(ORIENTATION))
    except Exception:  # a file that is none is said where it is read
        return 1


def orientation_on(page: Any) -> int:
    """What the tag of a page of tifffile says, 1 to 8; 1 where it says nothing."""
    return _known(page.tags.valueof(ORIENTATION))


def _known(said: Any) -> int:
    return int(said) if said in range(1, 9) else 1


def orientation_note(orientation: int) -> tuple[str, ...]:
    """What is to be said of an image that was turned."""
    return (f"turned as its orientation tag ({orientation}) says",) if orientation in range(2, 9) else ()


def turned_beside_labels(path: Path) -> tuple[str, ...]:
    """What is to be said of an image that has labels: nothing, unless it was turned."""
    said = orientation_note(orientation_of(path))
    return tuple(f"{path}: {note}; labels of the unturned pixels do not fit" for note in said)

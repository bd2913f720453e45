"""Other resolutions: images with filtering, label maps by nearest neighbours whose centres lie where they should."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

SAME_SCALE = 0.1
"""Images whose resolution is this close to the network's (relatively) are not resampled: training zooms further."""

SCALES = (1 / 16, 16.0)
"""Resampling factors that make sense; beyond them the resolution must be a mistake."""

ScalarT = TypeVar("ScalarT", bound=np.generic)


def resample_nearest(values: NDArray[ScalarT], size: tuple[int, int]) -> NDArray[ScalarT]:
    """Values `(..., h, w)` at the centres of the pixels of a grid of another size over the same field.

    Args:
        values: Any array whose last two axes are rows and columns.
        size: Rows and columns of the result.

    Example:
        >>> resample_nearest(np.array([[1, 2, 3, 4]]), (1, 2))
        array([[2, 4]])
    """
    rows, columns = (_centres(old, new) for old, new in zip(values.shape[-2:], size, strict=True))
    return np.ascontiguousarray(values[..., rows[:, None], columns])


def _centres(old: int, new: int) -> NDArray[Any]:
    return np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)


def size_at(shape: tuple[int, int], mpp: float | None, network_mpp: float) -> tuple[int, int]:
    """Height and width that an image has at the network's resolution.

    Args:
        shape: Its height and width.
        mpp: Its microns per pixel; None counts as the network's.
        network_mpp: Microns per pixel that the network works at.

    Raises:
        ValueError: The resolution makes no sense.
    """
    scale = 1.0 if mpp is None else mpp / network_mpp
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ValueError(
            f"A resolution of {mpp} microns per pixel is out of range: the network works at {network_mpp}, and "
            f"{SCALES[0] * network_mpp:.3g} to {SCALES[1] * network_mpp:.3g} can be resampled to it; check "
            "--mpp or the datalist's mpp."
        )
    if abs(scale - 1) <= SAME_SCALE:
        return shape
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resample_image(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image `(H, W, 3)` at another height and width: mean over areas where it shrinks, cubic where it grows."""
    if rgb.shape[:2] == size:
        return rgb
    interpolation = cv2.INTER_AREA if size[0] < rgb.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=interpolation), dtype=np.uint8)

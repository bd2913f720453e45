"""Label maps at another resolution, by nearest neighbours whose centres lie where they should."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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

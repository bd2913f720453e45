"""Probabilities of logits."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatT = TypeVar("FloatT", bound=np.floating)


def logistic(logits: NDArray[FloatT]) -> NDArray[FloatT]:
    """1 / (1 + exp(-x)), of the same type; 0 where the exponential is beyond it.

    Example:
        >>> logistic(np.array([-1e9, 0.0, 1e9]))
        array([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), logits.dtype)


def softmax(logits: NDArray[FloatT], axis: int) -> NDArray[FloatT]:
    """Probabilities that add up to 1 along an axis.

    Example:
        >>> softmax(np.array([[1000.0, 1000.0]]), axis=1)
        array([[0.5, 0.5]])
    """
    exponential = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=axis, keepdims=True), logits.dtype)

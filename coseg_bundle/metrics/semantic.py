"""Dice of label maps, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED


def dice(pred: NDArray[np.integer], truth: NDArray[np.integer], class_ids: tuple[int, ...]) -> NDArray[np.float64]:
    """Dice coefficient of each class.

    Args:
        pred: Predicted class map, any shape.
        truth: True class map of the same shape; pixels of 255 are unlabelled and leave both maps.
        class_ids: The classes to score.

    Returns:
        One value per class in [0, 1]; NaN for a class that is on neither side.

    Raises:
        ValueError: Shapes differ.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([1, 0, 0]), (1, 2))
        array([0.66666667,        nan])
    """
    if pred.shape != truth.shape:
        raise ValueError(f"Expected maps of one shape, got prediction {pred.shape} and truth {truth.shape}.")
    labelled = truth != UNLABELLED
    pred, truth = pred[labelled], truth[labelled]
    scores = np.full(len(class_ids), np.nan)
    for i, class_id in enumerate(class_ids):
        in_pred, in_truth = pred == class_id, truth == class_id
        total = int(in_pred.sum() + in_truth.sum())
        if total:
            scores[i] = 2 * int((in_pred & in_truth).sum()) / total
    return scores

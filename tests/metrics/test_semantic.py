import numpy as np
import pytest

from coseg_bundle.metrics.semantic import dice


def test_by_hand():
    scores = dice(np.array([1, 1, 0, 2]), np.array([1, 0, 0, 255]), (0, 1, 2, 3))
    assert scores[:2] == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan(scores[2:]).all()  # class 2 is only predicted where nothing is labelled, class 3 nowhere


def test_extremes():
    ones = np.ones((3, 3), int)
    assert dice(ones, ones, (1,))[0] == 1
    assert dice(ones, 0 * ones, (1,))[0] == 0
    assert np.isnan(dice(ones, 0 * ones + 255, (1,))[0])


def test_shapes():
    with pytest.raises(ValueError, match="maps of one shape"):
        dice(np.zeros(2, int), np.zeros(3, int), (1,))

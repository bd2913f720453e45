import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coseg_bundle.transforms import hv_map


def slow_hv_map(instance_map: np.ndarray) -> np.ndarray:
    """From the definition, one nucleus after the other."""
    result = np.zeros((2, *instance_map.shape))
    for i in np.unique(instance_map[instance_map > 0]):
        rows, columns = np.nonzero(instance_map == i)
        for channel, values in ((0, columns), (1, rows)):
            offset = values - values.mean()
            low, high = -offset.min(), offset.max()
            scaled = [o / (low if o < 0 else high) if (low if o < 0 else high) > 0 else 0 for o in offset]
            result[channel, rows, columns] = scaled
    return result


def test_by_hand():
    square = np.array([[0, 0, 0], [0, 4, 4], [0, 4, 4]])
    x, y = hv_map(square)
    assert x.tolist() == [[0, 0, 0], [0, -1, 1], [0, -1, 1]]
    assert y.tolist() == [[0, 0, 0], [0, -1, -1], [0, 1, 1]]


def test_extremes():
    assert not hv_map(np.zeros((3, 4), int)).any()
    assert not hv_map(np.array([[7]])).any()  # one pixel is its own centre
    assert not hv_map(np.full((3, 3), -1)).any()  # unlabelled
    assert hv_map(np.zeros((0, 4), int)).shape == (2, 0, 4)


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, (7, 9), elements=st.integers(-1, 4)))
def test_equals_the_definition(instance_map):
    assert hv_map(instance_map) == pytest.approx(slow_hv_map(instance_map), abs=1e-6)


def test_touching_nuclei_fall_at_their_border():
    x = hv_map(np.array([[1, 1, 1, 2, 2, 2]]))[0, 0]
    assert x.tolist() == [-1, 0, 1, -1, 0, 1]

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from coseg_bundle.metrics.matching import assign, match_points


def test_by_hand():
    pairs = np.array([[0, 0], [0, 1], [1, 1], [5, 7]])
    assert assign(pairs, np.array([0.5, 0.4, 0.3, 0.1])).tolist() == [0, 2, 3]
    assert assign(pairs, np.array([0.1, 0.9, 0.1, 0.1])).tolist() == [1, 3]
    assert assign(np.zeros((0, 2), int), np.zeros(0)).tolist() == []


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, (5, 6), elements=st.sampled_from([0.0, 0.0, 0.25, 0.5, 0.6, 1.0])))
def test_as_good_as_the_dense_solution(gain):
    pairs = np.argwhere(gain > 0)
    chosen = assign(pairs, gain[gain > 0])
    rows, columns = pairs[chosen].T
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert np.isclose(gain[rows, columns].sum(), gain[linear_sum_assignment(gain, maximize=True)].sum())


def test_points_by_hand():
    truth, pred = np.array([[0.0, 0], [4, 0], [50, 50]]), np.array([[3.0, 0], [7, 0], [80, 80]])
    pairs, distance = match_points(pred, truth, radius_px=3)
    assert pairs.tolist() == [[0, 0], [1, 1]]  # two pairs of 3 px, not one of 1 px
    assert distance.tolist() == [3, 3]
    assert match_points(pred, truth, radius_px=2)[0].tolist() == [[1, 0]]
    assert match_points(pred[:0], truth, 3)[0].shape == (0, 2)

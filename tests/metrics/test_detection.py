import numpy as np
import pytest

from coseg_bundle.metrics import centroids_xy, detection_counts


def test_by_hand():
    truth, pred = np.array([[10.0, 10], [30, 30]]), np.array([[12.0, 10], [12, 12], [60, 60]])
    counts = detection_counts(pred, truth, radius_px=6)
    assert (counts.tp, counts.fp, counts.fn) == (1, 2, 1)
    assert (counts.precision, counts.recall) == (1 / 3, 1 / 2)
    assert counts.dq == 2 / 5


def test_extremes():
    none, some = np.zeros((0, 2)), np.ones((3, 2))
    assert np.isnan(detection_counts(none, none, 5).dq)
    assert detection_counts(none, some, 5).dq == detection_counts(some, none, 5).dq == 0
    assert detection_counts(some, some, 5).dq == 1


def test_centroids():
    instances = np.array([[4, 4, 0], [0, 0, 9]])
    assert centroids_xy(instances).tolist() == [[1.0, 0.5], [2.5, 1.5]]
    assert centroids_xy(np.zeros((3, 3), int)).shape == (0, 2)


@pytest.mark.parametrize("dtype", [bool, float])
def test_centroids_of_no_label_map(dtype):
    with pytest.raises(ValueError, match="Expected an integer label map, got"):
        centroids_xy(np.ones((2, 2), dtype))


@pytest.mark.parametrize("radius", [-3, float("inf"), float("nan")])
def test_a_radius_that_is_none(radius):
    """One below 0 still matched points that coincide."""
    with pytest.raises(ValueError, match="Expected for radius_px a number from 0 on, got"):
        detection_counts(np.ones((1, 2)), np.ones((1, 2)), radius)

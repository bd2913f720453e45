import numpy as np

from coseg_bundle.data.points import confirmed


def test_by_hand():
    instances = np.zeros((60, 80), np.int32)
    instances[5:12, 5:12] = 4  # one point
    instances[5:12, 20:27] = 2  # two points
    instances[5:12, 40:47] = 9  # none
    instances[5:12, 60:67] = 3  # one, beside it
    points = np.array([[6, 6], [21, 6], [25, 10], [69, 8], [30, 45]])
    found = confirmed(instances, points)
    assert set(found[instances > 0]) == {4, -1, 3}
    assert (found[instances == 4] == 4).all()
    assert (found[instances == 3] == 3).all()
    assert (found[(instances == 2) | (instances == 9)] == -1).all()
    rows, columns = np.nonzero((instances == 0) & (found == -1))  # around the last point: somebody saw a nucleus there
    assert np.hypot(rows - 45, columns - 30).max() <= 14
    assert rows.size == sum(y * y + x * x <= 196 for y in range(-14, 15) for x in range(-14, 15))
    assert found.dtype == np.int32


def test_without_points_no_nucleus_is_confirmed():
    instances = np.eye(4, dtype=np.int32)
    assert np.array_equal(confirmed(instances, np.zeros((0, 2), np.int64)), -instances)
    assert not confirmed(np.zeros((4, 4), np.int32), np.zeros((0, 2), np.int64)).any()

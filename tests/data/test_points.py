import numpy as np

from coseg_bundle.data.points import confirmed, read_points


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


def test_a_point_beside_a_nucleus_that_has_its_own_is_another_nucleus():
    instances = np.zeros((40, 60), np.int32)
    instances[5:12, 5:12] = 1
    found = confirmed(instances, np.array([[8, 8], [15, 8]]))
    assert (found[instances == 1] == 1).all()
    assert found[8, 15] == -1
    assert found[30, 50] == 0


def test_a_point_means_the_nearest_nucleus_not_the_largest():
    instances = np.zeros((40, 60), np.int32)
    instances[10:25, 3:15], instances[16:19, 21:24] = 1, 2
    found = confirmed(instances, np.array([[19, 17]]))
    assert (found[instances == 2] == 2).all()
    assert (found[instances == 1] == -1).all()


def test_where_the_model_found_nothing_every_point_leaves_its_surroundings_open():
    for x, y in ((0, 0), (1, 1), (0, 3), (20, 20), (39, 39)):
        found = confirmed(np.zeros((40, 40), np.int32), np.array([[x, y]]))
        rows, columns = np.mgrid[:40, :40]
        assert np.array_equal(found, np.where(np.hypot(rows - y, columns - x) <= 14, -1, 0))


def test_large_ids_and_nuclei_everywhere():
    instances = np.full((4, 6), 2**31 - 1, np.int64)
    instances[:, 3:] = 5
    found = confirmed(instances, np.array([[4, 1]]))
    assert np.array_equal(found, np.where(instances == 5, 5, -1))


def test_a_file_of_points(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeff1,2,tumour\n\n10.5,8,3\n", encoding="utf-8")
    assert read_points(tmp_path / "a.csv", (8, 11)).tolist() == [[1, 2], [10, 7]]
    (tmp_path / "a.csv").write_text("")
    assert read_points(tmp_path / "a.csv", (8, 11)).shape == (0, 2)

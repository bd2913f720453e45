import numpy as np
import pytest

from coseg_bundle.measures.nuclei.neighbours import DENSITY_NEIGHBOURS, RADII_UM, Neighbours, neighbour_columns


def slowly(points, type_id, classes):
    """The same, with every distance."""
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    ordered = np.sort(distance, axis=1)
    found = {"nearest_um": ordered[:, 0]}
    for number, name in enumerate(classes, start=1):
        found[f"nearest_{name}_um"] = np.where(type_id == number, distance, np.inf).min(1)
    for radius in RADII_UM:
        found[f"neighbours_{radius}um"] = (distance <= radius).sum(1)
    k = DENSITY_NEIGHBOURS
    found["local_density_per_mm2"] = (k - 1) / (np.pi * ordered[:, k - 1] ** 2) * 1e6
    return found


def test_by_hand():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 30.0]])
    around = Neighbours.of(points, np.array([1, 2, 2]), ("a", "b"))
    found = around.measures(points, np.array([1, 2, 2]))
    assert tuple(found) == neighbour_columns(("a", "b"))
    np.testing.assert_allclose(found["nearest_um"], [5, 5, np.hypot(3, 26)], rtol=1e-6)
    np.testing.assert_allclose(found["nearest_a_um"], [np.nan, 5, 30])  # there is no other a
    np.testing.assert_allclose(found["nearest_b_um"], [5, np.hypot(3, 26), np.hypot(3, 26)], rtol=1e-6)
    assert found["neighbours_25um"].tolist() == [1, 1, 0]
    assert found["neighbours_50um"].tolist() == [2, 2, 2]
    assert np.isnan(found["local_density_per_mm2"]).all()  # of three nuclei


@pytest.mark.parametrize("workers", [1, 2])
def test_as_the_slow_reference(workers):
    rng = np.random.default_rng(1)
    points, type_id = rng.uniform(0, 300, (500, 2)), rng.integers(1, 4, 500)
    names = ("tumor", "plasma cell", "other")
    around = Neighbours.of(points, type_id, names, workers)
    some = rng.permutation(500)[:200]
    found = around.measures(points[some], type_id[some])
    expected = slowly(points, type_id, ("tumor", "plasma_cell", "other"))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[some], rtol=1e-6, err_msg=name)


def test_what_reaches_out_of_what_is_known():
    """Three nuclei in a row; around them all is known up to 50, 24 and 4 um."""
    points, types = np.array([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0]]), np.array([1, 1, 2])
    found = Neighbours.of(points, types, ("a", "b")).measures(points, types, np.array([50.0, 24.0, 4.0]))
    np.testing.assert_array_equal(found["nearest_um"], [10, 10, np.nan])
    np.testing.assert_array_equal(found["nearest_a_um"], [10, 10, np.nan])
    np.testing.assert_array_equal(found["nearest_b_um"], [30, 20, np.nan])
    np.testing.assert_array_equal(found["neighbours_25um"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(found["neighbours_50um"], [2, np.nan, np.nan])


def test_densities_are_those_of_all_nuclei_wherever_they_are_given():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 400, (900, 2))
    everyone = Neighbours.of(points, np.ones(900, int), ("nucleus",)).measures(points, np.ones(900, int))
    inside = (points[:, 0] > 100) & (points[:, 0] < 300)
    some, types = points[inside], np.ones(inside.sum(), int)
    known = np.minimum(some[:, 0] - 100, 300 - some[:, 0])
    found = Neighbours.of(some, types, ("nucleus",)).measures(some, types, known)
    for name, values in found.items():
        given = ~np.isnan(values)
        assert 100 < given.sum() < len(some), name
        np.testing.assert_array_equal(values[given], everyone[name][inside][given], err_msg=name)


def test_nuclei_at_one_place():
    points = np.zeros((20, 2))
    found = Neighbours.of(points, np.ones(20, int), ("nucleus",)).measures(points, np.ones(20, int))
    assert (found["neighbours_25um"] == 19).all()
    assert (found["nearest_um"] == 0).all()
    assert np.isnan(found["local_density_per_mm2"]).all()


def test_none_and_one():
    for count in (0, 1):
        points, types = np.zeros((count, 2)), np.ones(count, int)
        found = Neighbours.of(points, types, ("a", "b")).measures(points, types)
        assert all(len(values) == count for values in found.values())
        assert np.isnan(found["nearest_um"]).all()

import numpy as np
import pytest

from coseg_bundle.data.polygons import paint, polygon_pixels
from coseg_bundle.postprocessing.contours import trace_rings


def test_pixels_by_hand():
    square = np.array([[1, 1], [3, 1], [3, 2], [1, 2]])
    assert np.stack(polygon_pixels([square], (4, 4))).T.tolist() == [[1, 1], [1, 2]]
    outer, hole = np.array([[0, 0], [4, 0], [4, 4], [0, 4]]), np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
    assert len(polygon_pixels([outer, hole], (4, 4))[0]) == 12
    assert len(polygon_pixels([outer - 2], (4, 4))[0]) == 4  # half of it lies outside the map


def test_finer_pixels_by_hand():
    """The slanted side runs through the centres of the finer pixels on its way; those belong to what is right of it."""
    triangle = [np.array([[0, 0], [2, 0], [0, 2]])]
    painted, decided = paint([triangle, triangle], [1, 7], (2, 3), fill=255, oversample=2)
    assert (painted == 7).astype(int).tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert decided == 6
    assert set(np.unique(painted)) == {7, 255}


@pytest.mark.parametrize("times", [3, 5])
def test_odd_finer_maps_hold_the_plain_one(times):
    rng = np.random.default_rng(times)
    for _ in range(30):
        rings = [[rng.integers(-2, 14, (7, 2)).astype(float)] for _ in range(3)]
        plain, _ = paint(rings, [1, 2, 3], (11, 12))
        finer, _ = paint(rings, [1, 2, 3], (11, 12), oversample=times)
        assert np.array_equal(finer[times // 2 :: times, times // 2 :: times], plain)


def test_traced_rings_draw_back():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = np.repeat(np.repeat(rng.random((6, 7)) < 0.5, 3, 0), 2, 1)
        drawn = np.zeros(mask.shape, int)
        for ring in trace_rings(mask.astype(np.int32)):
            drawn[polygon_pixels([ring.points_xy], mask.shape)] += 1 if ring.area > 0 else -1
        assert np.array_equal(drawn == 1, mask)

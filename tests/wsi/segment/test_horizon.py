import numpy as np
import pytest
import shapely

from coseg_bundle.wsi.segment.horizon import Horizon

SIZE = (200, 100)


def distance(horizon, *points):
    return horizon.distance(np.array(points, float)).tolist()


def test_by_hand():
    """The left half was looked at, but for a tile of 20 x 20 px in its middle."""
    horizon = Horizon.of(SIZE, [shapely.box(0, 0, 100, 100)], [(40, 40, 60, 60)])
    assert distance(horizon, (80, 90), (80, 50), (2, 2), (50, 30), (50, 50), (150, 50)) == [
        20,  # to the border of the region
        20,  # to the tile, as far
        pytest.approx(np.hypot(38, 38)),  # the slide's own edges, 2 px away, are no border
        10,
        0,  # in the tile
        0,  # outside of the region
    ]


def test_where_everything_was_looked_at():
    assert distance(Horizon(), (5, 5)) == [np.inf]
    assert distance(Horizon.of(SIZE), (5, 5)) == [np.inf]
    assert distance(Horizon.of(SIZE, [shapely.box(0, 0, *SIZE)]), (0, 0), (5, 5), (200, 100)) == [np.inf] * 3
    halves = [shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100)]  # their seam is no border
    assert distance(Horizon.of(SIZE, halves), (99, 50)) == [np.inf]


def test_no_points_and_nothing_looked_at():
    assert Horizon.of(SIZE, [shapely.box(0, 0, 9, 9)]).distance(np.zeros((0, 2))).tolist() == []
    assert distance(Horizon.of(SIZE, broken=[(0, 0, 200, 100)]), (5, 5)) == [0]


def test_as_the_slow_reference():
    rng = np.random.default_rng(0)
    regions = [shapely.Point(rng.uniform(0, SIZE)).buffer(rng.uniform(10, 50)) for _ in range(5)]
    regions = [shapely.intersection(region, shapely.box(0, 0, *SIZE)) for region in regions]
    points = rng.uniform(0, 1, (300, 2)) * SIZE
    unseen = shapely.box(0, 0, *SIZE) - shapely.union_all(regions)
    expected = shapely.distance(shapely.points(points), unseen)
    np.testing.assert_allclose(Horizon.of(SIZE, regions).distance(points), expected, atol=1e-9)

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shapely.geometry import Polygon

from coseg_bundle.postprocessing.contours import trace_rings


def draw(shape: tuple[int, int], rings) -> np.ndarray:
    """Draws rings again: a pixel belongs to a label if its middle lies inside an odd number of its rings."""
    yy, xx = np.mgrid[: shape[0], : shape[1]] + 0.5
    drawn = np.zeros(shape, int)
    for label in {ring.label for ring in rings}:
        inside = np.zeros(shape, bool)
        for ring in rings:
            if ring.label == label:
                for (x0, y0), (x1, y1) in zip(ring.points_xy, np.roll(ring.points_xy, -1, 0), strict=True):
                    if x0 == x1:  # a vertical edge: toggles everything to its right on its rows
                        inside ^= (xx > x0) & (yy > min(y0, y1)) & (yy < max(y0, y1))
        drawn[inside] = label
    return drawn


def test_ring_and_hole_by_hand():
    label_map = np.ones((3, 3), int)
    label_map[1, 1] = 0
    outer, hole = sorted(trace_rings(label_map), key=lambda ring: -ring.area)
    assert outer.points_xy.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert (outer.area, hole.area) == (9, -1)


@settings(max_examples=150, deadline=None)
@given(arrays(np.int8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 3)))
def test_rings_drawn_again_give_the_map(label_map):
    rings = list(trace_rings(label_map))
    assert np.array_equal(draw(label_map.shape, rings), label_map)
    for label in range(1, 4):
        own = [ring for ring in rings if ring.label == label]
        assert sum(ring.area for ring in own) == (label_map == label).sum()
        four_connected = ndimage.label(label_map == label)[1]
        assert sum(ring.area > 0 for ring in own) == four_connected
    assert all(Polygon(ring.points_xy).is_valid for ring in rings if ring.area > 0)


def test_nothing_to_trace():
    assert list(trace_rings(np.zeros((3, 3), int))) == []
    assert list(trace_rings(np.full((3, 3), -1))) == []


def test_no_three_points_in_a_line():
    blob = (cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 12, 1, -1)).astype(int)
    [ring] = trace_rings(blob)
    steps = np.diff(np.vstack([ring.points_xy, ring.points_xy[:1]]), axis=0)
    assert np.all((steps[:, 0] == 0) != (steps[:, 1] == 0))
    turned = (steps[:, 0] == 0) != (np.roll(steps, 1, 0)[:, 0] == 0)
    assert turned.all()
    assert ring.area == pytest.approx(blob.sum())

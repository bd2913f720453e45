import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shapely.affinity import translate
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from coseg_bundle.data.polygons import polygon_pixels
from coseg_bundle.postprocessing.contours import trace_rings


def draw(shape: tuple[int, int], rings) -> np.ndarray:
    """Draws rings again: a pixel belongs to a label if an odd number of its edges cross the row left of its centre, or
    at the centre: Java's rule of what lies inside a shape."""
    yy, xx = np.mgrid[: shape[0], : shape[1]] + 0.5
    drawn = np.zeros(shape, int)
    for label in {ring.label for ring in rings}:
        inside = np.zeros(shape, bool)
        for ring in rings:
            if ring.label == label:
                for (x0, y0), (x1, y1) in zip(ring.points_xy, np.roll(ring.points_xy, -1, 0), strict=True):
                    if y0 != y1:
                        crossing = x0 + (yy - y0) * (x1 - x0) / (y1 - y0)
                        inside ^= (crossing <= xx) & (yy >= min(y0, y1)) & (yy < max(y0, y1))
        drawn[inside] = label
    return drawn


def as_polygons(label_map: np.ndarray, diagonals: bool = True) -> dict[int, BaseGeometry]:
    """Shapely's geometry of every label; the rings are valid, and holes lie inside."""
    shapes: dict[int, BaseGeometry] = {}
    for ring in trace_rings(label_map, diagonals=diagonals):
        polygon = Polygon(ring.points_xy)
        assert polygon.is_valid
        shapes[ring.label] = shapes.get(ring.label, Polygon()).symmetric_difference(polygon)
    return shapes


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


@settings(max_examples=150, deadline=None)
@given(arrays(np.int8, st.tuples(st.integers(2, 8), st.integers(2, 8)), elements=st.integers(0, 3)))
def test_neighbours_never_overlap(label_map):
    shapes = list(as_polygons(label_map).values())
    for i, shape in enumerate(shapes):
        assert all(shape.intersection(other).area == 0 for other in shapes[:i])


@settings(max_examples=100, deadline=None)
@given(arrays(np.int8, (6, 7), elements=st.integers(0, 2)))
def test_without_diagonals_areas_are_exact(label_map):
    for label, shape in as_polygons(label_map, diagonals=False).items():
        assert shape.area == (label_map == label).sum()


def test_a_diagonal_by_hand():
    """Pixels on the left border are cut in half, those beyond the right border are filled by half."""
    octagon = [[4, 1], [7, 1], [9, 3], [9, 6], [8, 7], [4, 7], [2, 5], [2, 3]]
    label_map = np.zeros((9, 12), int)
    label_map[polygon_pixels([np.array(octagon)], label_map.shape)] = 5
    [ring] = trace_rings(label_map)
    assert sorted(ring.points_xy.tolist()) == sorted(octagon)


def test_touching_labels_share_the_diagonal():
    label_map = np.tri(8, 8, 2, dtype=int) + 1  # 2 below the diagonal and on it, 1 above
    shapes = as_polygons(label_map)
    assert shapes[1].intersection(shapes[2]).area == 0
    assert shapes[1].union(shapes[2]).area == 64
    assert shapes[1].intersection(shapes[2]).length == pytest.approx(4 * 2**0.5 + 2)  # the step at the border is one


@given(st.tuples(*[st.integers(2, 6)] * 8))
def test_octagons_come_back(sizes):
    """Level, upright and diagonal sides are traced as they were drawn (a diagonal of one pixel may not)."""
    right, cut_1, down, cut_2, left, cut_3, up, cut_4 = sizes
    steps = [(right, 0), (cut_1, cut_1), (0, down), (-cut_2, cut_2), (-left, 0), (-cut_3, -cut_3), (0, -up)]
    corners = np.cumsum([(20, 20), *steps], axis=0)
    closing = corners[-1] - corners[0]  # the last diagonal and two straight pieces must close it
    corners[5:] -= [closing[0] + cut_4, 0]
    corners[7:, 1] = corners[0, 1] + cut_4
    hypothesis.assume(corners[5, 0] < corners[4, 0])
    hypothesis.assume(corners[7, 1] < corners[6, 1])
    label_map = np.zeros((60, 60), int)
    label_map[polygon_pixels([corners], label_map.shape)] = 1
    [ring] = trace_rings(label_map)
    assert Polygon(ring.points_xy).equals(Polygon(corners))


def test_nothing_to_trace():
    assert list(trace_rings(np.zeros((3, 3), int))) == []
    assert list(trace_rings(np.full((3, 3), -1))) == []


def test_no_three_points_in_a_line():
    blob = (cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 12, 1, -1)).astype(int)
    [ring] = trace_rings(blob)
    steps = np.diff(np.vstack([ring.points_xy, ring.points_xy[:1]]), axis=0)
    directions = np.sign(steps)
    assert (directions != np.roll(directions, 1, axis=0)).any(axis=1).all()
    assert np.all((steps == 0).any(axis=1) | (abs(steps[:, 0]) == abs(steps[:, 1])))  # level, upright or diagonal
    assert ring.area == blob.sum()
    assert Polygon(ring.points_xy).area == pytest.approx(blob.sum(), rel=0.005)


@settings(max_examples=100, deadline=None)
@given(arrays(np.int8, (7, 7), elements=st.integers(0, 2)))
def test_the_rest_of_the_image_changes_no_outline(label_map):
    """A label traced in a window just around it and what touches it, and in the whole map."""
    padded = np.pad(label_map, 3)
    around = ndimage.binary_dilation(padded == 1, np.ones((3, 3)))
    rows, columns = np.nonzero(padded == 1)
    if not rows.size:
        return
    window = slice(rows.min() - 1, rows.max() + 2), slice(columns.min() - 1, columns.max() + 2)
    whole = as_polygons(padded)[1]
    alone = as_polygons(np.where(around, padded, 0)[window])[1]
    assert translate(alone, window[1].start, window[0].start).equals(whole)


def test_the_image_border_stays_straight():
    [ring] = trace_rings(np.ones((3, 4), int))
    assert sorted(ring.points_xy.tolist()) == [[0, 0], [0, 3], [4, 0], [4, 3]]

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shapely.affinity import affine_transform, translate
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from coseg_bundle.postprocessing.contours import trace_rings


def draw(shape: tuple[int, int], rings) -> np.ndarray:
    """Draws rings again: a pixel belongs to a label if an odd number of its edges cross the row left of its centre; no
    edge runs through a centre."""
    yy, xx = np.mgrid[: shape[0], : shape[1]] + 0.5
    drawn = np.zeros(shape, int)
    for label in {ring.label for ring in rings}:
        inside = np.zeros(shape, bool)
        for ring in rings:
            if ring.label == label:
                for (x0, y0), (x1, y1) in zip(ring.points_xy, np.roll(ring.points_xy, -1, 0), strict=True):
                    if y0 != y1:
                        crossing = x0 + (yy - y0) * (x1 - x0) / (y1 - y0)
                        at_row = (yy >= min(y0, y1)) & (yy < max(y0, y1))
                        assert not (at_row & (crossing == xx)).any()
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


def test_steps_by_hand():
    """Two steps on the upper left become one slope between the middles of edges; so do those on the lower right."""
    label_map = np.zeros((6, 7), int)
    label_map[1:5, 1:6] = 5
    label_map[1, 1:3] = label_map[2, 1] = 0
    label_map[4, 4:6] = label_map[3, 5] = 0
    [ring] = trace_rings(label_map)
    assert ring.area == 14
    assert sorted(ring.points_xy.tolist()) == [[1, 3.5], [1, 5], [3.5, 1], [3.5, 5], [6, 1], [6, 2.5]]


def test_touching_labels_share_the_slope():
    label_map = np.tri(8, 8, 2, dtype=int) + 1  # 2 below the diagonal and on it, 1 above
    shapes = as_polygons(label_map)
    assert shapes[1].intersection(shapes[2]).area == 0
    assert shapes[1].union(shapes[2]).area == 64
    assert shapes[1].intersection(shapes[2]).length == pytest.approx(4.5 * 2**0.5 + 1)


@pytest.mark.parametrize("radius", [3.2, 5.5, 8.3, 12.1])
@pytest.mark.parametrize("centre", [(20.5, 20.5), (20.1, 19.7), (20.33, 20.77)])
def test_outlines_lie_where_their_pixels_do(radius, centre):
    yy, xx = np.mgrid[:40, :40] + 0.5
    disk = np.hypot(xx - centre[0], yy - centre[1]) <= radius
    [ring] = trace_rings(disk.astype(int))
    outline = Polygon(ring.points_xy)
    assert outline.area == pytest.approx(disk.sum(), rel=0.02)
    assert abs(outline.centroid.x - xx[disk].mean()) < 0.03
    assert abs(outline.centroid.y - yy[disk].mean()) < 0.03


@given(arrays(np.bool_, (8, 8)))
def test_no_side_is_treated_unlike_another(mask):
    """Mirrored and turned maps have mirrored and turned outlines."""
    whole = as_polygons(mask.astype(int)).get(1)
    if whole is None:
        return
    for turned, matrix in (
        (mask[:, ::-1], [-1, 0, 0, 1, 8, 0]),
        (mask[::-1], [1, 0, 0, -1, 0, 8]),
        (mask.T, [0, 1, 1, 0, 0, 0]),
    ):
        assert as_polygons(turned.astype(int))[1].equals(affine_transform(whole, matrix))


def test_nothing_to_trace():
    assert list(trace_rings(np.zeros((3, 3), int))) == []
    assert list(trace_rings(np.full((3, 3), -1))) == []


def test_no_three_points_in_a_line():
    blob = (cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 12, 1, -1)).astype(int)
    [ring] = trace_rings(blob)
    steps = np.diff(np.vstack([ring.points_xy, ring.points_xy[:1]]), axis=0)
    before = np.roll(steps, 1, axis=0)
    assert (steps[:, 0] * before[:, 1] != steps[:, 1] * before[:, 0]).all()
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

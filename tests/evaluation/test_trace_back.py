import numpy as np
import pytest

from coseg_bundle.data.annotations import Region
from coseg_bundle.evaluation.trace_back import trace_back, visible_parts


def rectangle(x0, y0, x1, y1):
    ring = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    return Region("nucleus", (ring,), (x1 - x0) * (y1 - y0))


def test_half_a_pixel_by_hand():
    """3.5 x 3 px: the centres of the fourth column lie on the right side, outside; half the pixels hold it all."""
    regions = [rectangle(1, 1, 4.5, 4)]
    plain = trace_back(regions, (8, 8))
    assert plain.iou.tolist() == [pytest.approx(9 / 10.5)]
    assert (plain.visible_px.tolist(), plain.traced_px.tolist()) == ([10.5], [9])
    assert trace_back(regions, (8, 8), oversample=2).iou.tolist() == [1]


def test_what_is_covered_does_not_count():
    below, above = rectangle(1, 1, 7, 5), rectangle(5, 2, 9, 4)
    for regions in ([below, above], [above, below]):
        back = trace_back(regions, (10, 10))
        assert back.iou.tolist() == [1, 1]
        assert sorted(back.visible_px.tolist()) == [8, 24 - 4]
        assert back.covered.tolist() == [region is below for region in regions]


def test_of_equal_ones_the_later_lies_on_top():
    visible, covered = visible_parts([rectangle(0, 0, 4, 4), rectangle(2, 0, 6, 4), rectangle(6, 0, 10, 4)], (10, 10))
    assert [part.area for part in visible] == [8, 16, 16]
    assert covered.tolist() == [True, False, False]  # touching hides nothing


def test_what_lies_beyond_the_image_is_cut():
    back = trace_back([rectangle(-3, 2, 4, 6)], (10, 10))
    assert (back.iou.tolist(), back.visible_px.tolist(), back.covered.tolist()) == ([1], [16], [False])


def test_nothing_visible_and_nothing_that_comes_back():
    """One under another, one beyond the image, one between the centres of pixels."""
    back = trace_back(
        [rectangle(2, 2, 6, 6), rectangle(2, 2, 6, 6), rectangle(20, 2, 24, 6), rectangle(8, 8, 8.4, 9)], (10, 10)
    )
    assert np.isnan(back.iou[[0, 2]]).all()
    assert back.iou[[1, 3]].tolist() == [1, 0]
    assert np.count_nonzero(back.traced_px) == 1


def test_holes_and_parts():
    ring = Region("", (rectangle(0, 0, 8, 8).rings_xy[0], rectangle(2, 2, 4, 4).rings_xy[0]), 60)
    parts = Region("", (rectangle(10, 0, 12, 2).rings_xy[0], rectangle(13, 3, 15, 5).rings_xy[0]), 8)
    back = trace_back([ring, parts], (16, 16))
    assert back.iou.tolist() == [1, 1]
    assert back.traced_px.tolist() == [60, 8]


def test_no_nuclei():
    back = trace_back([], (4, 4))
    assert back.iou.size == back.covered.size == back.visible_px.size == 0

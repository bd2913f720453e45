import numpy as np
import pytest

from coseg_bundle.metrics.contingency import contingency


def test_by_hand():
    table = contingency(np.array([[7, 7, 0, 2]]), np.array([[0, 3, 3, 9]]))
    assert table.truth_area.tolist() == [2, 1]
    assert table.pred_area.tolist() == [1, 2]  # ids 2 and 7
    assert table.pairs.tolist() == [[0, 1], [1, 0]]
    assert table.overlap.tolist() == [1, 1]
    assert table.iou.tolist() == pytest.approx([1 / 3, 1])


def test_unlabelled_pixels_leave_both_maps():
    table = contingency(np.array([[4, 4]]), np.array([[-1, 1]]))
    assert table.pred_area.tolist() == table.truth_area.tolist() == [1]


def test_extremes():
    empty = np.zeros((3, 3), np.int32)
    assert len(contingency(empty, empty).pairs) == 0
    full = np.ones((3, 3), np.int32)
    assert contingency(full, full).iou.tolist() == [1.0]
    large = np.array([[70_000, 2_000_000_000]])
    assert contingency(large, large).iou.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("pred", "truth", "words"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"\(2, 2\) and truth \(2, 3\)"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "integer label maps, got float64"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), "negative"),
        (np.zeros((2, 2), int), np.full((2, 2), -2), "negative"),
    ],
)
def test_bad_maps(pred, truth, words):
    with pytest.raises(ValueError, match=words):
        contingency(pred, truth)

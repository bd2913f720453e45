import tracemalloc

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


@pytest.mark.parametrize(
    ("truth", "counts"),
    [
        ([0, -1, -1, -1, 0], False),  # a nucleus that nobody labelled, drawn a pixel wider on either side
        ([0, 0, -1, -1, 0], True),
        ([0, -1, -1, 0, 0], True),
        ([0, -1, -1, -1, 7], False),  # touches one of the labels', half of which it covers
        ([-1, -1, -1, 7, 7], True),  # and matches it
        ([-1, -1, -1, -1, -1], False),
    ],
)
def test_what_is_mostly_unlabelled_cannot_be_judged(truth, counts):
    pred, truth = np.array([[2, 4, 4, 4, 4, 4, 9]]), np.array([[0, *truth, 0]])
    table = contingency(pred, truth)
    assert table.pred_ids.tolist() == ([2, 4, 9] if counts else [2, 9])
    assert len(table.pairs) == (counts and (truth == 7).any())
    assert set(table.pairs[:, 1]) <= {1}  # rows of what is left


def test_extremes():
    empty = np.zeros((3, 3), np.int32)
    assert len(contingency(empty, empty).pairs) == 0
    full = np.ones((3, 3), np.int32)
    assert contingency(full, full).iou.tolist() == [1.0]
    large = np.array([[70_000, 2_000_000_000]])
    assert contingency(large, large).iou.tolist() == [1.0, 1.0]


def test_memory_stays_below_five_times_the_maps():
    side = np.arange(1024, dtype=np.int32)
    truth = (side[:, None] // 27) * 38 + side // 27 + 1  # 1,444 squares without a gap
    pred = np.roll(truth, (2, 3), (0, 1))
    tracemalloc.start()
    contingency(pred, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * (pred.nbytes + truth.nbytes)


def test_other_integers_and_views_give_the_same_counts():
    rng = np.random.default_rng(0)
    pred, truth = rng.integers(0, 4, (2, 20, 30))
    table = contingency(pred, truth)
    for dtype in (np.uint8, np.uint16, np.int32, np.uint64):
        other = contingency(pred.astype(dtype).T.copy().T, truth.astype(dtype))
        assert np.array_equal(table.pairs, other.pairs)
        assert np.array_equal(table.overlap, other.overlap)
    assert len(contingency(np.zeros((0, 3), int), np.zeros((0, 3), int)).pairs) == 0


@pytest.mark.parametrize(
    ("pred", "truth", "words"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"\(2, 2\) and truth \(2, 3\)"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "integer label maps, got float64"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), "negative"),
        (np.zeros((2, 2), int), np.full((2, 2), -2), "negative"),
        (np.full((2, 2), 2**63, np.uint64), np.zeros((2, 2), int), "got 9223372036854775808; relabel the map"),
        (np.zeros((2, 2), int), np.full((2, 2), 2**63, np.uint64), "got 9223372036854775808; relabel the map"),
    ],
)
def test_bad_maps(pred, truth, words):
    with pytest.raises(ValueError, match=words):
        contingency(pred, truth)

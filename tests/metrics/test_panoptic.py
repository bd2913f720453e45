import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from slow_metrics import slow_aji, slow_panoptic

from coseg_bundle.metrics.aji import aggregated_jaccard_index
from coseg_bundle.metrics.contingency import contingency
from coseg_bundle.metrics.panoptic import (
    PanopticQuality,
    matched_pairs,
    panoptic_quality,
    panoptic_quality_by_class,
    tissue_panoptic_quality,
)

MAPS = arrays(np.int32, (6, 8), elements=st.integers(0, 4))
TRUTHS = arrays(np.int32, (6, 8), elements=st.integers(-1, 4))


def test_by_hand():
    pred, truth = np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]])
    score = panoptic_quality(pred, truth)
    assert score == PanopticQuality(tp=1, fp=1, fn=0, iou_sum=2 / 3)
    assert (score.dq, score.sq, score.pq) == pytest.approx((2 / 3, 2 / 3, 4 / 9))
    assert aggregated_jaccard_index(pred, truth) == pytest.approx(2 / (3 + 1))


@settings(max_examples=200, deadline=None)
@given(MAPS, TRUTHS)
def test_equal_to_the_definitions(pred, truth):
    score = panoptic_quality(pred, truth)
    tp, fp, fn, iou_sum = slow_panoptic(pred, truth)
    assert (score.tp, score.fp, score.fn) == (tp, fp, fn)
    assert score.iou_sum == pytest.approx(iou_sum, abs=1e-9)
    assert aggregated_jaccard_index(pred, truth) == pytest.approx(slow_aji(pred, truth), abs=1e-9, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(MAPS)
def test_a_perfect_prediction_is_1_whatever_its_ids(truth):
    relabelled = np.where(truth > 0, 1000 - truth, 0)
    expected = 1.0 if truth.any() else float("nan")
    assert panoptic_quality(relabelled, truth).pq == pytest.approx(expected, nan_ok=True)
    assert aggregated_jaccard_index(relabelled, truth) == pytest.approx(expected, nan_ok=True)


def test_undefined_is_nan_and_all_wrong_is_0():
    empty, some = np.zeros((4, 4), int), np.eye(4, dtype=int)
    assert np.isnan(panoptic_quality(empty, empty).pq)
    assert np.isnan(panoptic_quality(empty, some).sq)
    assert panoptic_quality(empty, some).pq == panoptic_quality(some, empty).pq == 0
    assert aggregated_jaccard_index(empty, some) == aggregated_jaccard_index(some, empty) == 0


def test_sums_pool_images():
    assert PanopticQuality(1, 2, 3, 0.5) + PanopticQuality(1, 0, 0, 1.0) == PanopticQuality(2, 2, 3, 1.5)


def test_below_one_half_the_best_assignment_counts():
    # truth 1 overlaps prediction 1 (IoU 2/6) and 2 (IoU 2/5); truth 2 overlaps only prediction 2
    truth = np.array([[1, 1, 1, 1, 2, 0, 0]])
    pred = np.array([[3, 3, 4, 4, 4, 0, 0]])
    score = panoptic_quality(pred, truth, iou_threshold=0.2)
    assert (score.tp, score.fp, score.fn) == (2, 0, 0)
    assert score.iou_sum == pytest.approx(2 / 4 + 1 / 3)


def test_threshold_range():
    with pytest.raises(ValueError, match=r"iou_threshold in \[0, 1\)"):
        panoptic_quality(np.zeros((1, 1), int), np.zeros((1, 1), int), iou_threshold=1)


def test_equal_to_monais_where_definitions_coincide():
    import torch
    from maps import discs
    from monai.metrics import PanopticQualityMetric

    truth = discs(128, 30, seed=1)
    pred = np.roll(discs(128, 30, seed=1), 2, axis=1)
    metric = PanopticQualityMetric(num_classes=1, metric_name="pq")
    as_tensor = [torch.from_numpy(np.stack([m, m > 0]).astype(np.int64))[None] for m in (pred, truth)]
    metric(*as_tensor)
    theirs = float(metric.aggregate())
    assert panoptic_quality(pred, truth).pq == pytest.approx(theirs, abs=1e-4)


def test_pairs_have_their_ids():
    truth, pred = np.array([[7, 7, 7, 0, 4]]), np.array([[9, 9, 9, 9, 0]])
    pairs, iou = matched_pairs(contingency(pred, truth))
    assert pairs.tolist() == [[7, 9]]
    assert iou.tolist() == [0.75]


def test_classes_by_hand():
    truth, truth_types = np.array([[1, 1, 2, 2, 3, 3]]), np.array([[1, 1, 2, 2, 255, 255]])
    pred, pred_types = np.array([[1, 1, 2, 2, 3, 3]]), np.array([[1, 1, 1, 1, 2, 2]])
    scores = panoptic_quality_by_class(pred, truth, pred_types, truth_types, (1, 2, 3))
    assert scores[1] == PanopticQuality(tp=1, fp=1, fn=0, iou_sum=1.0)
    assert scores[2] == PanopticQuality(tp=0, fp=0, fn=1)  # the third nucleus has no known type and leaves
    assert scores[3] == PanopticQuality()


def test_tissue_regions_are_components():
    truth = np.zeros((10, 20), np.uint8)
    truth[1:5, 1:5] = truth[5:9, 5:9] = 1  # touch at a corner: one region
    truth[2:6, 12:18] = 1
    truth[9, 19] = 1  # small
    pred = truth.copy()
    pred[2:6, 12:18] = 0
    assert tissue_panoptic_quality(pred, truth, (1,))[1] == PanopticQuality(2, 0, 1, 2.0)
    assert tissue_panoptic_quality(pred, truth, (1,), min_area_px=2)[1] == PanopticQuality(1, 0, 1, 1.0)
    truth[:5] = 255
    assert tissue_panoptic_quality(pred, truth, (1,), min_area_px=2)[1].fn == 1


def test_truth_that_fills_the_image():
    full = np.ones((8, 8), np.uint8)
    assert tissue_panoptic_quality(full, full, (1,))[1].pq == 1
    assert panoptic_quality(full, full).pq == 1


def test_a_class_is_not_blamed_for_nuclei_of_unknown_class():
    """Drawn a pixel wider than the labels, of the right class where that is known."""
    truth, types = np.zeros((2, 12), int), np.zeros((2, 12), int)
    truth[:, 1:4], truth[:, 6:10], types[:, 1:4], types[:, 6:10] = 1, 2, 1, 255
    pred = np.zeros((2, 12), int)
    pred[:, 1:5], pred[:, 5:11] = 1, 2
    scores = panoptic_quality_by_class(pred, truth, np.where(pred > 0, 1, 0), types, (1,))
    assert (scores[1].tp, scores[1].fp, scores[1].fn) == (1, 0, 0)


def test_tissue_beside_what_nobody_labelled():
    """A gland that is unlabelled leaves with its rim; half of one that is labelled stays."""
    truth, pred = np.zeros((4, 20), int), np.zeros((4, 20), int)
    truth[:, 2:6], truth[:, 8:12], truth[:, 14:18] = 255, 1, 1
    truth[:, 16:20] = 255
    pred[:, 1:7], pred[:, 8:12], pred[:, 14:20] = 1, 1, 1
    score = tissue_panoptic_quality(pred, truth, (1,))[1]
    assert (score.tp, score.fp, score.fn, score.iou_sum) == (2, 0, 0, 2.0)
    pred[:, 14:20] = 0
    pred[0, 13:16] = 1  # labelled, too little, and not right
    score = tissue_panoptic_quality(pred, truth, (1,))[1]
    assert (score.tp, score.fp, score.fn) == (1, 1, 1)


def test_a_large_false_region_counts_however_much_of_it_is_unlabelled():
    truth, pred = np.full((100, 100), 255), np.zeros((100, 100), int)
    truth[30:70, 30:70] = 0
    truth[35:45, 35:45], pred[35:45, 35:45] = 1, 1
    pred[50:, :] = 1  # a third of it is labelled, and wrong
    score = tissue_panoptic_quality(pred, truth, (1,))[1]
    assert (score.tp, score.fp, score.fn) == (1, 1, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.int32])
def test_a_nucleus_of_unknown_class_counts_in_no_map_whatever_its_integers(dtype):
    instances = np.array([[1, 1, 0, 2, 2]], dtype)
    types = np.array([[1, 1, 0, 255, 255]], np.uint8)
    assert panoptic_quality_by_class(instances, instances, types, types, [1]) == {1: PanopticQuality(1, 0, 0, 1.0)}


def test_maps_of_classes_that_do_not_fit():
    instances, types = np.array([[1, 0]]), np.array([[1, 0]])
    with pytest.raises(ValueError, match="Expected integer label maps, got bool"):
        panoptic_quality_by_class(instances > 0, instances > 0, types, types, [1])
    for pair in ((types[:, :1], types), (types, types[:, :1])):
        with pytest.raises(ValueError, match=r"of the instance maps' shape \(1, 2\), got \(1, 1\)"):
            panoptic_quality_by_class(instances, instances, *pair, [1])

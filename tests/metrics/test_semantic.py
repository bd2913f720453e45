import numpy as np
import pytest
from scipy import ndimage

from coseg_bundle.metrics.semantic import class_overlaps, dice, hausdorff_distance, iou, labelled_part


def test_by_hand():
    scores = dice(np.array([1, 1, 0, 2]), np.array([1, 0, 0, 255]), (0, 1, 2, 3))
    assert scores[:2] == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan(scores[2:]).all()  # class 2 is only predicted where nothing is labelled, class 3 nowhere


def test_extremes():
    ones = np.ones((3, 3), int)
    assert dice(ones, ones, (1,))[0] == 1
    assert dice(ones, 0 * ones, (1,))[0] == 0
    assert np.isnan(dice(ones, 0 * ones + 255, (1,))[0])


def test_shapes():
    with pytest.raises(ValueError, match="maps of one shape"):
        dice(np.zeros(2, int), np.zeros(3, int), (1,))


def test_iou_by_hand():
    pred, truth = np.array([1, 1, 0, 2, 2]), np.array([1, 0, 0, 2, 255])
    assert iou(pred, truth, (0, 1, 2, 3)) == pytest.approx([1 / 2, 1 / 2, 1, np.nan], nan_ok=True)
    assert class_overlaps(pred, truth, (1, 2)).tolist() == [[1, 3], [1, 2]]


def test_hausdorff_by_hand():
    a, b = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    a[2:5, 2:5] = True
    b[2:5, 2:7] = True
    assert hausdorff_distance(a, b) == hausdorff_distance(b, a) == 2
    assert hausdorff_distance(a, a) == 0
    assert np.isnan(hausdorff_distance(a, np.zeros_like(a)))
    with pytest.raises(ValueError, match="one shape"):
        hausdorff_distance(a, b[:3])


@pytest.mark.parametrize("percentile", [100, 95])
def test_hausdorff_equals_monais(percentile):
    import torch
    from monai.metrics import compute_hausdorff_distance

    rng = np.random.default_rng(0)
    for _ in range(10):
        pred, truth = (ndimage.gaussian_filter(rng.random((40, 50)), 3) > 0.5 for _ in range(2))
        tensors = [torch.from_numpy(m)[None, None] for m in (pred, truth)]
        theirs = compute_hausdorff_distance(*tensors, include_background=True, percentile=percentile)
        assert hausdorff_distance(pred, truth, percentile) == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
@pytest.mark.parametrize("inside", [1, 2, 255])
def test_masks_of_integers_are_masks(dtype, inside):
    """Two squares, one of which is missed: its farthest corner is 9 px right of and below the other's."""
    pred = np.zeros((20, 20), bool)
    pred[2:9, 2:9] = True
    truth = pred.copy()
    truth[15:18, 15:18] = True
    masks = [np.where(mask, inside, 0).astype(np.uint8).astype(dtype) for mask in (pred, truth)]
    assert hausdorff_distance(*masks) == hausdorff_distance(pred, truth) == pytest.approx(9 * 2**0.5)
    known = np.ones_like(pred)
    known[:, :5] = False
    judged = labelled_part(masks[1], masks[0], known.astype(dtype))
    assert np.array_equal(judged, labelled_part(truth, pred, known))


@pytest.mark.parametrize("mask", [np.array([[0.2, 0.9]]), np.array([[-1, 1]])])
def test_what_is_no_mask(mask):
    real = np.array([[True, False]])
    for pred, truth in ((mask, real), (real, mask)):
        with pytest.raises(ValueError, match="Expected a mask of bool, or of integers from 0, got"):
            hausdorff_distance(pred, truth)
        with pytest.raises(ValueError, match="Expected a mask of bool, or of integers from 0, got"):
            labelled_part(pred, truth, real)

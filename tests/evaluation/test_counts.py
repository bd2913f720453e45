import numpy as np
import pytest

from coseg_bundle.evaluation.counts import NucleiCounts, TissueCounts, count_nuclei, count_tissue, mean_over_images

PRED, TRUTH = np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]])


def test_nuclei_by_hand():
    scores = count_nuclei(PRED, TRUTH).scores()
    assert scores["nuclei_pq"] == pytest.approx(4 / 9)
    assert (scores["nuclei_precision"], scores["nuclei_recall"]) == (0.5, 1.0)
    assert scores["nuclei_aji"] == scores["nuclei_aji_plus"] == 0.5
    assert scores["nuclei_dice"] == pytest.approx(2 * 2 / 6)


def test_tissue_by_hand():
    truth, pred = np.array([[0, 0, 1, 1, 2, 255]]), np.array([[0, 1, 1, 1, 0, 1]])
    scores = count_tissue(pred, truth, ("background", "gland", "stroma")).scores()
    assert scores["tissue_dice_gland"] == pytest.approx(4 / 5)
    assert scores["tissue_dice_stroma"] == 0
    assert scores["tissue_dice"] == pytest.approx(2 / 5)
    assert scores["tissue_miou"] == pytest.approx((2 / 3 + 0) / 2)
    assert scores["tissue_hd"] == 1  # stroma has no distance
    fine = count_tissue(pred, truth, ("background", "gland", "stroma"), pixel=0.25).scores()
    assert fine == {**scores, "tissue_hd": 0.25, "tissue_hd95": pytest.approx(0.25 * scores["tissue_hd95"])}


def test_pooled_counts_are_those_of_one_large_image():
    rng = np.random.default_rng(0)
    maps = [(rng.integers(0, 4, (6, 6)), rng.integers(0, 4, (6, 6))) for _ in range(2)]
    apart = count_nuclei(*maps[0]) + count_nuclei(*maps[1])
    together = [np.concatenate([a, np.where(b > 0, b + 10, 0)]) for a, b in zip(*maps, strict=True)]
    assert apart.scores() == pytest.approx(count_nuclei(*together).scores(), nan_ok=True)
    tissue = [count_tissue(*pair, ("background", "a", "b", "c")) for pair in maps]
    total, whole = (
        tissue[0] + tissue[1],
        count_tissue(*[np.concatenate(x) for x in zip(*maps, strict=True)], ("background", "a", "b", "c")),
    )
    for name in ("tissue_dice", "tissue_miou", "tissue_dice_b"):
        assert total.scores()[name] == pytest.approx(whole.scores()[name])


def test_classes():
    types = np.array([[1, 1, 0, 2]])
    scores = count_nuclei(PRED, TRUTH, types, np.array([[1, 1, 1, 0]]), ("background", "a", "b")).scores()
    assert scores["nuclei_pq_a"] == pytest.approx(2 / 3)
    assert scores["nuclei_pq_b"] == 0
    assert scores["nuclei_mpq"] == pytest.approx(1 / 3)


def test_nothing_on_either_side_leaves_the_mean():
    empty = np.zeros((3, 3), int)
    scores = [count_nuclei(PRED, TRUTH).scores(), count_nuclei(empty, empty).scores()]
    assert np.isnan(scores[1]["nuclei_pq"])
    assert mean_over_images(scores)["nuclei_pq"] == pytest.approx(4 / 9)
    assert mean_over_images(scores[1:])["nuclei_pq"] != 0
    assert NucleiCounts().scores().keys() == scores[0].keys()
    assert TissueCounts().scores()["tissue_dice"] != 0


def test_distances_leave_out_what_nobody_labelled():
    truth, pred = np.zeros((6, 30), int), np.zeros((6, 30), int)
    truth[2:4, 2:6], truth[1:5, 18:26] = 1, 255
    pred[2:4, 3:7], pred[0:6, 17:27] = 1, 1
    counts = count_tissue(pred, truth, ("background", "gland"))
    assert counts.distances["gland"] == (1, 1)

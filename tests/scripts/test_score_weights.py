from types import SimpleNamespace

import numpy as np
import pytest


def test_class_f1_by_hand(script):
    """Three matched nuclei, one of them of another class; one found that is none; one missed."""
    pairs = [(np.array([1, 1, 2]), np.array([1, 2, 2]), np.array([1]), np.array([2]))]
    said = script.class_f1(pairs, ("background", "a", "b"))
    assert said == (
        f"detection F1 {6 / 8:.3f}, "  # 3 matches, 1 extra, 1 missed
        f"a {2 / (2 + 2 + 1):.3f}, "  # 1 right, 1 wrongly a, 1 extra
        f"b {2 / (2 + 2 + 1):.3f}"  # 1 right, 1 wrongly not b, 1 missed
    )


def test_classes_of_truth_are_those_of_most_pixels(script):
    from coseg_bundle.postprocessing.instances import instance_table

    truth = np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 4, 9
    types = np.where(truth == 4, 2, 1).astype(np.int32)
    types[2, 2] = 1
    instance_map = (truth == 9).astype(np.int32)
    found = SimpleNamespace(instance_map=instance_map, instances=instance_table(instance_map))
    pred, true, extra, missed = script.paired(found, truth, types, 3.0)
    assert (true.tolist(), extra.tolist(), missed.tolist()) == ([1], [], [2])
    assert pred.shape == (1,)


def test_what_nobody_labelled_is_not_found_in_vain(script):
    from coseg_bundle.postprocessing.instances import instance_table

    truth, instance_map = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 4, -1
    instance_map[2:10, 2:10], instance_map[19:29, 19:29], instance_map[2:10, 20:28] = 1, 2, 3
    found = SimpleNamespace(instance_map=instance_map, instances=instance_table(instance_map))
    pred, _, extra, missed = script.paired(found, truth, (truth == 4).astype(np.int32), 3.0)
    assert (len(pred), len(extra), len(missed)) == (1, 1, 0)


def test_a_nucleus_of_type_0_is_of_no_class(script):
    """It counted as the first one, missed by whoever called it another."""
    from coseg_bundle.postprocessing.instances import instance_table

    truth = np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 1, 2
    table = instance_table(truth, type_prob=np.eye(3, dtype=np.float32)[truth].transpose(2, 0, 1))
    found = SimpleNamespace(instance_map=truth, instances=table)
    pairs = script.paired(found, truth, np.where(truth == 2, 2, 0).astype(np.int32), 3.0)
    assert sorted(pairs[1].tolist()) == [2, 255]
    said = script.class_f1([pairs], ("background", "a", "b"))
    assert said == "detection F1 1.000, a 0.000, b 1.000"


@pytest.mark.parametrize("count", [0, 3])
def test_a_class_that_nobody_has_scores_0(script, count):
    pairs = [(np.ones(count, int), np.ones(count, int), np.ones(0, int), np.ones(1, int))]
    assert script.class_f1(pairs, ("background", "a", "b")).endswith("b 0.000")

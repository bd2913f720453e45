import math

import pytest
import torch
from ignite.engine import Engine

from coseg_bundle.metrics.monai_metrics import (
    MeanOfTasks,
    MetricHandler,
    NucleiAJI,
    NucleiDice,
    NucleiPQ,
    TissueDice,
)

TRUTH = torch.tensor([[[5, 5, 5, 0]]], dtype=torch.int32)
PRED = torch.tensor([[[1, 1, 0, 2]]], dtype=torch.int32)
UNLABELLED = torch.full_like(TRUTH, -1)


@pytest.mark.parametrize(("metric", "score"), [(NucleiPQ, 4 / 9), (NucleiAJI, 0.5), (NucleiDice, 2 * 2 / (3 + 3))])
def test_mean_over_the_images_that_have_labels(metric, score):
    m = metric()
    m([PRED, PRED, TRUTH], [TRUTH, UNLABELLED, TRUTH])
    assert m.aggregate().item() == pytest.approx((score + 1) / 2)


def test_no_labels_no_score():
    m = NucleiPQ()
    m([PRED], [UNLABELLED])
    assert math.isnan(m.aggregate())


def test_tissue_dice_leaves_the_background_out():
    m = TissueDice(tissue_classes=2)
    m([torch.tensor([[[0, 1, 1]]])], [torch.tensor([[[0, 0, 1]]])])
    assert m.aggregate().item() == pytest.approx(2 / 3)


def output(nuclei: bool, tissue: bool) -> list[dict]:
    return [
        {
            "pred_instances": PRED,
            "pred_tissue": torch.tensor([[[0, 1, 1, 0]]], dtype=torch.uint8),
            "label": {
                "instances": TRUTH if nuclei else UNLABELLED,
                "tissue": torch.tensor([[[0, 1, 1, 1]]]) if tissue else torch.full((1, 1, 4), 255),
            },
        }
    ]


def test_half_labelled_images_in_an_evaluator():
    """One image with nuclei, one with tissue: the key metric is the mean of the two tasks."""
    batches = [output(True, False), output(False, True)]
    engine = Engine(lambda _, batch: batch)
    MetricHandler(MeanOfTasks(2), of="all").attach(engine, "key")
    MetricHandler(NucleiPQ(), of="nuclei").attach(engine, "pq")
    MetricHandler(TissueDice(2), of="tissue").attach(engine, "dice")
    engine.run(batches)
    assert engine.state.metrics["pq"] == pytest.approx(4 / 9)
    assert engine.state.metrics["dice"] == pytest.approx(0.8)
    assert engine.state.metrics["key"] == pytest.approx((4 / 9 + 0.8) / 2)


def test_classes_count_in_the_key_metric():
    """Nuclei are found alike before and after their classes are learnt; the key metric tells which is better."""
    truth, types = torch.tensor([[1, 1, 0, 2, 2]]), torch.tensor([[1, 1, 0, 2, 2]])
    for predicted, mpq in [([[1, 1, 0, 2, 2]], 1.0), ([[1, 1, 0, 1, 1]], 0.5 * 2 / 3), ([[2, 2, 0, 1, 1]], 0.0)]:
        label = {"instances": truth[None], "tissue": torch.full((1, 1, 5), 255), "types": types[None]}
        maps = {"pred_instances": truth[None], "pred_tissue": truth[None], "pred_types": torch.tensor([predicted])}
        engine = Engine(lambda _, batch: batch)
        MetricHandler(MeanOfTasks(2, nuclei_types=2), of="all").attach(engine, "key")
        engine.run([[maps | {"label": label}]])
        assert engine.state.metrics["key"] == pytest.approx((1 + mpq) / 2)
    label["types"] = torch.full((1, 1, 5), 255)  # nothing is known of them
    engine.run([[maps | {"label": label}]])
    assert engine.state.metrics["key"] == 1


def test_a_class_that_no_label_has_does_not_say_which_weights_are_best():
    """Class 2 is in no label. Weights that find the nucleus of class 1 and one of class 2 beside it, and gland of class
    1 and class 2 beside it, count as those that find nothing of class 2; where one label has it, it counts."""
    maps = {
        "pred_instances": torch.tensor([[[1, 1, 0, 2, 2]]]),
        "pred_types": torch.tensor([[[1, 1, 0, 2, 2]]]),
        "pred_tissue": torch.tensor([[[1, 1, 0, 2, 2]]]),
    }
    found = torch.tensor([[[1, 1, 0, 0, 0]]])
    label = {"instances": found, "types": found, "tissue": found}
    both = dict.fromkeys(label, maps["pred_types"])

    def key(*items, labelled_only=True):
        engine = Engine(lambda _, batch: batch)
        MetricHandler(MeanOfTasks(3, nuclei_types=2, labelled_only=labelled_only), of="all").attach(engine, "key")
        engine.run([[item] for item in items])
        return engine.state.metrics["key"]

    nothing_more = {name: found for name in maps}
    assert key(nothing_more | {"label": label}) == 1
    assert key(maps | {"label": label}) == pytest.approx((2 / 3 + 1 + 1) / 3)  # one nucleus too many, of whatever class
    assert key(maps | {"label": label}, labelled_only=False) == pytest.approx(
        (2 / 3 + 0.5 + 0.5) / 3
    )  # as it is reported
    every = key(maps | {"label": label}, maps | {"label": both})
    assert every == pytest.approx((5 / 6 + 3 / 4 + 3 / 4) / 3)  # of 1 and 0, and of 1 and 1


def test_unknown_task():
    with pytest.raises(ValueError, match="one of nuclei, tissue, all"):
        MetricHandler(NucleiPQ(), of="cells")


@pytest.mark.parametrize("metric", [NucleiPQ(), NucleiAJI(), NucleiDice(), TissueDice(2), MeanOfTasks(2)])
def test_no_image_no_score(metric):
    assert math.isnan(metric.aggregate())
    maps = 2 if isinstance(metric, MeanOfTasks) else 1
    metric([PRED.repeat(maps, 1, 1)], [TRUTH.repeat(maps, 1, 1)])
    metric.reset()
    assert math.isnan(metric.aggregate())


def test_ids_beyond_int32_are_matched_in_an_evaluator():
    """2**32 was background to the handler, and 2**32 - 1 no label."""
    found = torch.tensor([[[1, 1, 0, 2]]])
    engine = Engine(lambda _, batch: batch)
    MetricHandler(NucleiPQ(), of="nuclei").attach(engine, "pq")
    truth = torch.tensor([[[2**32, 2**32, 0, 2**32 - 1]]])
    engine.run([[{"pred_instances": found, "label": {"instances": truth}}]])
    assert engine.state.metrics["pq"] == 1

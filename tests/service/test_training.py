import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from coseg_bundle.data.datalist import DatalistError
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.networks import About
from coseg_bundle.service.query import Query
from coseg_bundle.service.segmentation import SegmentationService
from coseg_bundle.service.training import read_report, scores_of_the_best, train
from coseg_bundle.service.training_data import Labelled
from coseg_bundle.service.weights import WeightsFolder


@pytest.fixture
def teachable(bundle_root, tmp_path):
    weights = WeightsFolder(tmp_path / "weights", bundle_root / "models" / "model.pt")
    return SegmentationService(bundle_root, weights, "cpu")


def labelled(folder, seed: int, task: str) -> Labelled:
    tissue = synthetic_tissue(96, seed)
    label = tissue.tissue_map if task == "tissue" else tissue.instance_map.astype(np.uint16)
    Image.fromarray(tissue.rgb).save(folder / f"{seed}.png")
    Image.fromarray(label).save(folder / f"{seed}_label.png")
    return Labelled(str(seed), folder / f"{seed}.png", folder / f"{seed}_label.png", {"task": task})


@pytest.mark.slow
@pytest.mark.parametrize("task", ["tissue", "nuclei"])
def test_one_task_is_enough_and_the_new_weights_are_served(teachable, tmp_path, task):
    entries = [labelled(tmp_path, seed, task) for seed in (0, 1)]
    request = {"max_epochs": 1, "epoch_length": 2, "batch_size": 2, "crop_size": 64, "model": "coseg"}
    report = train(teachable, entries, tmp_path / "runs", request)
    assert (report["weights"], report["started_from"]) == ("coseg_v001.pt", "model.pt")
    assert (report["training_items"], report["validation_items"], report["best_epoch"]) == (1, 1, 1)
    scored = "tissue_dice" if task == "tissue" else "nuclei_pq"
    assert 0 <= report["after"][scored] <= 1
    assert report["after"]["nuclei_pq" if task == "tissue" else "tissue_dice"] is None  # nobody annotated it
    assert report["after"]["mean_of_tasks"] == report["best_metric"]
    assert read_report(tmp_path / "runs") == json.loads(json.dumps(report))
    assert teachable.segment(entries[0].image, Query()).weights == "coseg_v001.pt"
    old, new = (
        torch.load(path, weights_only=True) for path in (teachable.weights.initial, *teachable.weights.versions())
    )
    about = About.from_tensor(new.pop("about"))
    assert about.untrained == ()  # nobody annotated the other task, but the served weights know it
    assert about.network == About.of_file(teachable.weights.initial).network  # windows of attention too
    old.pop("about", None)
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)


def test_senseless_options_are_refused(teachable, tmp_path):
    with pytest.raises(ValueError, match="max_epochs, epoch_length and batch_size of 1 or more"):
        train(teachable, [], tmp_path, {"max_epochs": 0})


def test_the_scores_are_those_of_the_weights_that_are_kept():
    """They were of the last epoch, whichever was served."""
    evaluator = Engine(lambda engine, batch: None)
    course = {1: 0.4, 2: 0.7, 3: 0.5}

    def validated(engine: Engine, epoch: int) -> None:
        engine.state.metrics = {"mean_of_tasks": course[epoch], "nuclei_pq": float("nan")}
        engine.state.best_metric_epoch = max(range(1, epoch + 1), key=course.__getitem__)

    scores = scores_of_the_best(evaluator)
    for epoch in course:
        evaluator.state.epoch = epoch
        validated(evaluator, epoch)
        evaluator.fire_event(Events.EPOCH_COMPLETED)
    assert scores == {"mean_of_tasks": 0.7, "nuclei_pq": None}


def test_a_training_that_fails_says_so_in_its_report(teachable, tmp_path):
    """The report went on showing the former success."""
    success = {"weights": "coseg_v001.pt", "after": {"nuclei_pq": 0.5}}
    (tmp_path / "training.json").write_text(json.dumps(success))
    for _ in range(2):
        with pytest.raises(ValueError, match="There is nothing to train on"):
            train(teachable, [], tmp_path, {})
        report = read_report(tmp_path)
        assert report["error"] == "There is nothing to train on; save a label with the tag final."
        assert report["last_success"] == success
    gone = Labelled("a", tmp_path / "none.png", tmp_path / "none.geojson")
    with pytest.raises(ValueError, match="nothing to train on"):
        train(teachable, [gone], tmp_path / "new", {})
    assert read_report(tmp_path / "new")["last_success"] is None


def test_the_report_says_the_reason_that_monai_wraps(teachable, tmp_path, monkeypatch):
    """It said that MONAI had failed to instantiate a component, and how to debug that."""

    def wrapped(*_args):
        try:
            raise DatalistError("no training image has labels")
        except DatalistError as error:
            raise RuntimeError("Failed to instantiate component 'x', set '_mode_=debug'.") from error

    monkeypatch.setattr("coseg_bundle.service.training._trained", wrapped)
    with pytest.raises(RuntimeError, match="Failed to instantiate"):
        train(teachable, [], tmp_path, {})
    assert read_report(tmp_path)["error"] == "no training image has labels"


def test_before_the_first_training_there_is_no_report(tmp_path):
    assert read_report(tmp_path) == {}

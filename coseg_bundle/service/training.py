"""Goes on training the weights that are served, with what was annotated, and publishes the result."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigParser

from coseg_bundle.atomic import whole_file
from coseg_bundle.networks.checkpoints import load_weights
from coseg_bundle.service.segmentation import SegmentationService
from coseg_bundle.service.training_data import Labelled, prepare
from coseg_bundle.settings.values import for_users

logger = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {
    "max_epochs": 10,
    "epoch_length": 64,
    "batch_size": 4,
    "crop_size": 256,
    "learning_rate": 1e-4,
    "told": 0.5,
    "val_fraction": 0.2,
    "seed": 0,
}
"""Options of a training, with their defaults: `epoch_length` in crops, a sixth of the learning rate from scratch, half
of the batches with the tissue labels in place of the prior, so that the network heeds corrections."""

REPORT = "training.json"


def train(
    service: SegmentationService, labelled: Sequence[Labelled], folder: Path, request: Mapping[str, Any]
) -> dict[str, Any]:
    """Trains, publishes the new weights and reports; the report of one that fails says the error.

    Args:
        service: Knows the bundle, the weights that are served and where new ones go.
        labelled: What was annotated.
        folder: Where the data, the run and the report are written.
        request: Options by name; what is not in `OPTIONS` is left alone.

    Raises:
        ValueError: There is nothing to train on, or an option makes no sense.
    """
    try:
        report = _trained(service, labelled, folder, request)
    except Exception as error:
        former = read_report(folder)
        last = former.get("last_success") if "error" in former else former
        said = str(for_users(error) or error) or type(error).__name__
        _write_report(folder, {"error": said, "last_success": last or None})
        raise
    _write_report(folder, report)
    logger.info("Trained: %s", report)
    return report


def read_report(folder: Path) -> dict[str, Any]:
    """The report of the last training, of a failure its `error` and the report of the `last_success`; empty before the
    first."""
    path = folder / REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write_report(folder: Path, report: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / REPORT) as partial:
        partial.write_text(json.dumps(report, indent=2), encoding="utf-8")


def _trained(
    service: SegmentationService, labelled: Sequence[Labelled], folder: Path, request: Mapping[str, Any]
) -> dict[str, Any]:
    options = {name: type(default)(request.get(name, default)) for name, default in OPTIONS.items()}
    if min(options["max_epochs"], options["epoch_length"], options["batch_size"]) < 1:
        raise ValueError(f"Expected max_epochs, epoch_length and batch_size of 1 or more, got {options}.")
    start = time.perf_counter()
    run = folder / "runs" / datetime.now().strftime("%Y%m%d-%H%M%S")
    predictor = service.predictor()
    classes = predictor.tissue_classes, predictor.nuclei_classes
    data = prepare(labelled, run / "data", *classes, predictor.mpp, options["val_fraction"], options["seed"])
    scores = _run(service, data.datalist, run, options)
    weights = service.weights.publish(run / "model.pt")
    return {
        "weights": weights.name,
        "started_from": service.served if predictor.weights is None else predictor.weights.name,
        "training_items": data.training,
        "validation_items": data.validation,
        "skipped": list(data.skipped),
        "doubts": list(data.doubts),
        **scores,
        **options,
        "total_time": round(time.perf_counter() - start, 1),
    }


def scores_of_the_best(evaluator: Engine) -> dict[str, float | None]:
    """The scores of the weights that are kept: filled by each validation that is the best so far.

    Args:
        evaluator: Validates after each epoch.
    """
    scores: dict[str, float | None] = {}

    def keep(engine: Engine) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            scores.update(_rounded(engine.state.metrics))

    evaluator.add_event_handler(Events.EPOCH_COMPLETED, keep)
    return scores


def _run(service: SegmentationService, datalist: Path, run: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Runs `configs/train.yaml` from the served weights; the scores of the validation before it, and of the weights
    that are kept."""
    predictor = service.predictor()
    iterations = options["max_epochs"] * max(options["epoch_length"] // options["batch_size"], 1)
    precision = {"precision": service.precision} if service.precision in ("fp32", "bf16") else {}  # not fp16
    parser = ConfigParser()
    parser.read_config(service.bundle_root / "configs" / "train.yaml")
    parser.update(
        {
            "bundle_root": str(service.bundle_root),
            "dataset_file": str(datalist),
            "output_dir": str(run),
            "tissue_classes": list(predictor.tissue_classes.names),
            "nuclei_classes": list(predictor.nuclei_classes.names),
            "mpp": predictor.mpp,
            "device": predictor.device,
            "resume": False,
            "known": ["tissue", "nuclei", "types"],  # by the weights that are served
            "detail": f"$detail_of({str(predictor.weights)!r})",  # their sizes
            "num_workers": 0,
            "val_interval": 1,
            "ema_momentum": min(0.1, 10 / iterations),  # the mean over the last tenth, or ten steps
            **precision,
            **{name: options[name] for name in OPTIONS if name not in ("val_fraction", "told")},
        }
    )
    parser["train::trainer::prepare_batch::told"] = options["told"]
    parser["ema::momentum_warmup"], parser["ema::warmup_iters"] = None, None
    parser.get_parsed_content("setup")
    assert predictor.weights is not None
    network = parser.get_parsed_content("network")
    load_weights(network, predictor.weights)
    two_scales = bool(parser.get_parsed_content("two_scales"))  # as this training's scale_range allows
    network.two_scales.fill_(two_scales)
    evaluator = parser.get_parsed_content("validate::evaluator")
    evaluator.run()
    before = _rounded(evaluator.state.metrics)
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1, -1
    for before_training in ("released", "best_checkpoint"):
        Path(parser.get_parsed_content(before_training)).unlink(missing_ok=True)
    after = scores_of_the_best(evaluator)
    parser.get_parsed_content("run")
    return {
        "before": before,
        "after": after,
        "best_metric": round(float(evaluator.state.best_metric), 4),
        "best_epoch": int(evaluator.state.best_metric_epoch),
        "two_scales": two_scales,
    }


def _rounded(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: round(float(value), 4) if value == value else None for name, value in metrics.items()}

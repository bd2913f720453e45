import logging

import torch
from ignite.engine import Engine

from coseg_bundle.handlers import EpochSeedHandler, ProgressHandler


class Sampler:
    epoch = 0


def draws(epochs: int = 2) -> list[float]:
    values = []
    sampler = Sampler()
    engine = Engine(lambda *_: values.append(sampler.epoch + float(torch.rand(1))))
    EpochSeedHandler(0, sampler).attach(engine)
    engine.run([0], max_epochs=epochs)
    return values


def test_epochs_repeat_and_differ():
    first, second = draws()
    assert (int(first), int(second)) == (1, 2)
    assert second != first + 1
    assert draws() == [first, second]


def test_lines(caplog):
    caplog.set_level(logging.INFO)
    engine = Engine(lambda _, batch: {"loss": torch.tensor(float(batch))})
    ProgressHandler().attach(engine)
    engine.run([1, 2], max_epochs=2)
    assert "epoch 1 of 2: loss 1.5000" in caplog.text
    evaluator = Engine(lambda *_: None)
    ProgressHandler(metrics=True).attach(evaluator)
    evaluator.state.metrics = {"b": 0.5, "a": 0.25}
    evaluator.run([0])
    assert "validation: a 0.2500, b 0.5000" in caplog.text

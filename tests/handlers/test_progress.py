import logging
import re

import torch
from ignite.engine import Engine
from tiny_training import EPOCHS, STEPS, Training

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


def test_the_loss_of_a_resumed_epoch_says_of_which_steps_it_is(tmp_path, caplog):
    """Stopped after the first two steps of the second epoch; the third is whole again."""
    Training(tmp_path / "last.pt", stop_at=STEPS + 2).run()
    caplog.set_level(logging.INFO)
    second = Training(tmp_path / "last.pt")
    ProgressHandler().attach(second.engine)
    second.run()
    rest = [loss for step, loss in second.losses.items() if step <= 2 * STEPS]
    assert len(rest) == STEPS - 2
    assert f"epoch 2 of {EPOCHS}: loss {sum(rest) / len(rest):.4f} of its last {len(rest)} steps, " in caplog.text
    assert re.search(rf"epoch 3 of {EPOCHS}: loss -?[\d.]+, ", caplog.text)

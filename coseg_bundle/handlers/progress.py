"""Handlers that say how far a run is, and that make every epoch repeatable."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.utils import set_determinism

logger = logging.getLogger(__name__)


class EpochSeedHandler:
    """Seeds each epoch by its number, so that a resumed training draws what an uninterrupted one would have drawn.

    Args:
        seed: Seed of the run.
        sampler: Sampler of the training data; its `epoch` is set.
    """

    def __init__(self, seed: int, sampler: Any) -> None:
        self.seed, self.sampler = seed, sampler

    def attach(self, engine: Engine) -> None:
        """Registers the handler at the start of an epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seeds torch, numpy and random, and tells the sampler the epoch."""
        seed = int(np.random.SeedSequence([self.seed, engine.state.epoch]).generate_state(1)[0])
        set_determinism(seed, use_deterministic_algorithms=torch.are_deterministic_algorithms_enabled())
        self.sampler.epoch = engine.state.epoch


class ProgressHandler:
    """Logs how far a training is, with seconds per step and time left; or, on an evaluator, its metrics.

    There is a line after the first two steps of a run, every so many seconds, and after each epoch.

    Args:
        metrics: Whether the engine is an evaluator, whose metrics are wanted.
        interval_s: Seconds between two lines within an epoch.
    """

    def __init__(self, metrics: bool = False, interval_s: float = 30.0) -> None:
        self.metrics, self.interval_s = metrics, interval_s
        self._losses: list[float] = []
        self._started = self._said = 0.0
        self._steps = 0

    def attach(self, engine: Engine) -> None:
        """Registers the handler."""
        engine.add_event_handler(Events.STARTED, self._start_run)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        if not self.metrics:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _start_run(self, engine: Engine) -> None:
        self._steps = 0

    def _start(self, engine: Engine) -> None:
        self._losses, self._started = [], time.monotonic()

    def _collect(self, engine: Engine) -> None:
        output = engine.state.output
        self._losses.append(float((output[0] if isinstance(output, list) else output)["loss"]))
        self._steps += 1
        now, length = time.monotonic(), engine.state.epoch_length or 0
        if engine.state.iteration % max(length, 1) == 0 or (self._steps > 2 and now - self._said < self.interval_s):
            return
        self._said = now
        seconds = (now - self._started) / len(self._losses)
        total = length * (engine.state.max_epochs or 0)
        left = (total - engine.state.iteration) * seconds / 60
        logger.info(
            "step %d of %d: loss %.4f, %.2f s a step, about %.0f min left",
            engine.state.iteration,
            total,
            self._losses[-1],
            seconds,
            left,
        )

    def _report(self, engine: Engine) -> None:
        seconds = time.monotonic() - self._started
        if self.metrics:
            scores = ", ".join(f"{name} {float(value):.4f}" for name, value in sorted(engine.state.metrics.items()))
            logger.info("validation: %s (%.0f s)", scores, seconds)
            return
        if not self._losses:  # a resumed training that had only the end of an epoch to do
            return
        epoch, last, length = engine.state.epoch, engine.state.max_epochs or 0, engine.state.epoch_length or 0
        steps = len(self._losses)
        left = (last - epoch) * length * seconds / steps / 60
        loss = f"{sum(self._losses) / steps:.4f}"
        loss += f" of its last {steps} steps" if steps < length else ""  # a resumed training begins within an epoch
        logger.info("epoch %d of %d: loss %s, %.1f s, about %.0f min left", epoch, last, loss, seconds, left)
        self._losses = []

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
    """Logs a line after each epoch: loss, seconds, time left; or, on an evaluator, its metrics.

    Args:
        metrics: Whether the engine is an evaluator, whose metrics are wanted.
    """

    def __init__(self, metrics: bool = False) -> None:
        self.metrics = metrics
        self._losses: list[float] = []
        self._started = 0.0

    def attach(self, engine: Engine) -> None:
        """Registers the handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        if not self.metrics:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _start(self, engine: Engine) -> None:
        self._losses, self._started = [], time.monotonic()

    def _collect(self, engine: Engine) -> None:
        output = engine.state.output
        self._losses.append(float((output[0] if isinstance(output, list) else output)["loss"]))

    def _report(self, engine: Engine) -> None:
        seconds = time.monotonic() - self._started
        if self.metrics:
            scores = ", ".join(f"{name} {float(value):.4f}" for name, value in sorted(engine.state.metrics.items()))
            logger.info("validation: %s (%.0f s)", scores, seconds)
            return
        epoch, last = engine.state.epoch, engine.state.max_epochs or 0
        left = (last - epoch) * seconds / 60
        loss = sum(self._losses) / max(len(self._losses), 1)
        logger.info("epoch %d of %d: loss %.4f, %.1f s, about %.0f min left", epoch, last, loss, seconds, left)

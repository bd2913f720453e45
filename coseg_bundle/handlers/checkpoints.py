"""Handlers that let a killed training go on where it was, and that write what is released."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn

from coseg_bundle.atomic import clear, whole_file
from coseg_bundle.data.images.files import first_line
from coseg_bundle.data.sampling import DatasetSampler
from coseg_bundle.handlers.stopping import StopSignals
from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import loaded, save_released
from coseg_bundle.networks.coseg import CoSeg
from coseg_bundle.networks.weights_file import CheckpointError

logger = logging.getLogger(__name__)

_ENGINE, _BEST, _RANDOM = "engine", "best", "random"


class LastCheckpointHandler:
    """Writes all that a resumed training needs; a half-written file never replaces a whole one.

    It writes after every epoch, after the step in which so many seconds have passed, and after the step in which the
    training is asked to stop. A stop in the middle of a validation leaves that to the resumed training.

    Args:
        path: File to write.
        state: Objects with `state_dict`, by name.
        validator: The evaluator that validates; what was its best score is kept.
        interval_s: Seconds between two files at most, longer steps aside.
        stop: Hears the signals.
        enabled: False writes nothing, as a secondary process does, but stops with the others.
        fresh: Whether the run was told to begin anew: then the same command would do so again.
    """

    def __init__(
        self,
        path: str,
        state: Mapping[str, Any],
        validator: Engine | None = None,
        interval_s: float = 300.0,
        stop: StopSignals | None = None,
        enabled: bool = True,
        fresh: bool = False,
    ) -> None:
        self.path, self.state, self.validator = Path(path), dict(state), validator
        self.interval_s, self.stop, self.enabled, self.fresh = interval_s, stop, enabled, fresh
        self._written = time.monotonic()
        self._stopped = self._listens = False

    def attach(self, engine: Engine) -> None:
        """Registers the handler, last of all at the end of an epoch."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def __call__(self, engine: Engine) -> None:
        """Writes the checkpoint of a finished epoch."""
        if not self._stopped:
            self._write(engine, epoch_done=True)
            self._stop_if_asked(engine)

    def _start(self, engine: Engine) -> None:
        self._written = time.monotonic()
        if self.enabled:
            clear(self.path.parent)
        if self.stop is not None:
            self.stop.listen()
        if not self._listens:  # only now, to come after whoever changes what is written, such as the moving average
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
            if self.validator is not None and self.stop is not None:
                self.validator.add_event_handler(Events.ITERATION_COMPLETED, self._while_validating, engine)
            self._listens = True

    def _end(self, engine: Engine) -> None:
        if self.stop is not None:
            self.stop.restore()

    def _after_step(self, engine: Engine) -> None:
        asked = self.stop is not None and self.stop.asked()
        if asked or time.monotonic() - self._written >= self.interval_s:
            self._write(engine, epoch_done=False)
        if asked:
            self._stop_if_asked(engine)

    def _while_validating(self, validator: Engine, engine: Engine) -> None:
        if engine.state.iteration and self.stop is not None and self.stop.asked():
            self._write(engine, epoch_done=False)
            self._stop_if_asked(engine)
            validator.terminate()

    def _stop_if_asked(self, engine: Engine) -> None:
        if self.stop is None or self.stop.signal is None or self._stopped:
            return
        self._stopped = True
        if self.enabled:
            total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
            command = "without --fresh (resume: true) the same command" if self.fresh else "the same command"
            logger.info("Stopped after step %d of %d, saved: %s goes on.", engine.state.iteration, total, command)
        engine.terminate()

    def _write(self, engine: Engine, epoch_done: bool) -> None:
        self._written = time.monotonic()
        if not self.enabled:
            return
        content = {name: part.state_dict() for name, part in self.state.items()}
        content[_ENGINE] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "epoch_done": epoch_done,
        }
        content[_RANDOM] = random_states()
        if self.validator is not None and hasattr(self.validator.state, "best_metric"):
            best = self.validator.state
            content[_BEST] = {"metric": float(best.best_metric), "epoch": int(best.best_metric_epoch)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            torch.save(content, partial)


class ResumeHandler:
    """Goes on from the last checkpoint, if there is one, to the result that an uninterrupted training would have had.

    Args:
        path: File that `LastCheckpointHandler` wrote.
        state: The objects to restore, by name.
        enabled: False starts anew (and the old checkpoint is overwritten).
        sampler: Sampler of the training data; it leaves out what the epoch has had already.
        validator: The evaluator whose best score was kept.
    """

    def __init__(
        self,
        path: str,
        state: Mapping[str, Any],
        enabled: bool = True,
        sampler: DatasetSampler | None = None,
        validator: Engine | None = None,
    ) -> None:
        self.path, self.state, self.enabled = Path(path), dict(state), enabled
        self.sampler, self.validator = sampler, validator
        self._random: Mapping[str, Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Registers the handler at the start of the training."""
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._restore_random)

    def __call__(self, engine: Engine) -> None:
        """Restores network, optimiser, schedule, moving average and the position in the run.

        Raises:
            CheckpointError: The checkpoint is damaged, or belongs to another configuration.
        """
        if not self.enabled or not self.path.is_file():
            return
        try:
            content = loaded(self.path)
        except Exception as error:  # the unpickler raises whatever a damaged file makes of it
            raise CheckpointError(
                f"{self.path} cannot be read ({first_line(error)}); set resume to false, or output_dir to a new "
                "folder, to start anew."
            ) from error
        try:
            for name, part in self.state.items():
                part.load_state_dict(content[name])
            position = content[_ENGINE]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this configuration ({str(error).splitlines()[0]}); set resume to false, or "
                "output_dir to a new folder, to start anew."
            ) from error
        if self.validator is not None and _BEST in content:
            self.validator.state.best_metric = content[_BEST]["metric"]
            self.validator.state.best_metric_epoch = content[_BEST]["epoch"]
        epoch, iteration = position["epoch"], position["iteration"]
        engine.state.epoch, engine.state.iteration = epoch, iteration
        where = f"after epoch {epoch}" if position.get("epoch_done", True) else f"in epoch {epoch}"
        logger.info("Going on from %s %s, step %d.", self.path, where, iteration)
        if not position.get("epoch_done", True):
            self._go_on_within(engine, content[_RANDOM])
        elif epoch >= (engine.state.max_epochs or 0):
            logger.info("All %s epochs are done already.", engine.state.max_epochs)
            engine.terminate()

    def _go_on_within(self, engine: Engine, random: Mapping[str, Any]) -> None:
        """What an epoch that was cut still has to do: the rest of its steps, or, after the last one, its end."""
        length = engine.state.epoch_length or 0
        steps = engine.state.iteration - (engine.state.epoch - 1) * length
        if steps == length:
            engine.fire_event(Events.EPOCH_COMPLETED)
            if engine.state.epoch >= (engine.state.max_epochs or 0):
                engine.terminate()
            return
        engine.state.epoch -= 1  # the engine counts it again
        self._random = random
        if self.sampler is not None:
            self.sampler.skip(steps)

    def _restore_random(self, engine: Engine) -> None:
        """Where the first batch is asked for: the epoch has been seeded, and its loader has drawn its own seed."""
        if self._random is not None:
            restore_random_states(self._random)
            self._random = None


def random_states() -> dict[str, Any]:
    """The states of all random generators, as plain values and tensors."""
    name, words, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, np.asarray(words).tolist(), *rest],
        "python": random.getstate(),
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Puts back what `random_states` gave; GPUs keep theirs where there were others."""
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    np.random.set_state(tuple(states["numpy"]))
    random.setstate(states["python"])


def is_better(score: float, best: float) -> bool:
    """Whether a validation is the best so far: NaN, where nothing was there to score, is below every number.

    Where all of them are NaN, the last one is kept.

    Args:
        score: Key metric of this validation.
        best: The best of those before.

    Example:
        >>> is_better(0.1, math.nan), is_better(math.nan, 0.1), is_better(math.nan, math.nan)
        (True, False, True)
    """
    return bool(math.isnan(best) or score > best)


class ReleaseHandler:
    """Writes the weights as they are released (LoRA merged, half precision) whenever the key metric is the best so far.

    The evaluator compares with `is_better`; where nothing can be scored, a warning says that the last weights are kept.

    Args:
        network: The network to write.
        path: File to write.
        about: What the file is to say of itself, by the names of `About`'s attributes; nothing when not given.
        checkpoint: File for the same weights as they are, LoRA apart and in full precision, to train on from.
    """

    def __init__(
        self, network: nn.Module, path: str, about: Mapping[str, Any] | None = None, checkpoint: str | None = None
    ) -> None:
        self.network, self.path = network, Path(path)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.about = None if about is None else About.of(cast(CoSeg, network), **about).to_tensor()
        self._said = False

    def attach(self, engine: Engine) -> None:
        """Registers the handler at the end of a validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Writes the file if this validation was the best."""
        if engine.state.best_metric_epoch != engine.state.epoch and self.path.is_file():
            return
        if math.isnan(engine.state.best_metric) and not self._said:
            logger.warning(
                "The validation images have nothing to score, so the last weights are kept, whether or not they are "
                "the best: list validation images with labels of the same tasks and classes as the training's."
            )
            self._said = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            save_released(self.network, partial, self.about)
        if self.checkpoint is not None:
            with whole_file(self.checkpoint) as partial:
                torch.save({"network": self.network.state_dict()}, partial)

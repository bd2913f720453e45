"""Handlers that let a killed training go on where it was, and that write what is released."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from torch import nn

from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import CheckpointError, save_released
from coseg_bundle.networks.coseg import CoSeg

logger = logging.getLogger(__name__)

_ENGINE = "engine"


class LastCheckpointHandler:
    """Writes all that a resumed training needs after every epoch; a half-written file never replaces a whole one.

    Args:
        path: File to write.
        state: Objects with `state_dict`, by name.
    """

    def __init__(self, path: str, state: Mapping[str, Any]) -> None:
        self.path, self.state = Path(path), dict(state)

    def attach(self, engine: Engine) -> None:
        """Registers the handler, last of all at the end of an epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Writes the checkpoint."""
        content = {name: part.state_dict() for name, part in self.state.items()}
        content[_ENGINE] = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        torch.save(content, partial)
        os.replace(partial, self.path)


class ResumeHandler:
    """Goes on from the last checkpoint, if there is one.

    Args:
        path: File that `LastCheckpointHandler` wrote.
        state: The objects to restore, by name.
        enabled: False starts anew (and the old checkpoint is overwritten).
    """

    def __init__(self, path: str, state: Mapping[str, Any], enabled: bool = True) -> None:
        self.path, self.state, self.enabled = Path(path), dict(state), enabled

    def attach(self, engine: Engine) -> None:
        """Registers the handler at the start of the training."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Restores network, optimiser, schedule, moving average and the position in the run.

        Raises:
            CheckpointError: The checkpoint belongs to another configuration.
        """
        if not self.enabled or not self.path.is_file():
            return
        content = torch.load(self.path, map_location="cpu", weights_only=True)
        try:
            for name, part in self.state.items():
                part.load_state_dict(content[name])
            position = content[_ENGINE]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this configuration ({str(error).splitlines()[0]}); set resume to false, or "
                "output_dir to a new folder, to start anew."
            ) from error
        engine.state.epoch, engine.state.iteration = position["epoch"], position["iteration"]
        logger.info("Going on from %s after epoch %d.", self.path, position["epoch"])
        if position["epoch"] >= (engine.state.max_epochs or 0):
            logger.info("All %s epochs are done already.", engine.state.max_epochs)
            engine.terminate()


class ReleaseHandler:
    """Writes the weights as they are released (LoRA merged, half precision) whenever the key metric is the best so far.

    Args:
        network: The network to write.
        path: File to write.
        about: What the file is to say of itself, by the names of `About`'s attributes; nothing when not given.
    """

    def __init__(self, network: nn.Module, path: str, about: Mapping[str, Any] | None = None) -> None:
        self.network, self.path = network, Path(path)
        self.about = None if about is None else About.of(cast(CoSeg, network), **about).to_tensor()

    def attach(self, engine: Engine) -> None:
        """Registers the handler at the end of a validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Writes the file if this validation was the best."""
        if engine.state.best_metric_epoch == engine.state.epoch or not self.path.is_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            save_released(self.network, partial, self.about)
            os.replace(partial, self.path)

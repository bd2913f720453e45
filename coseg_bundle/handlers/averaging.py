"""Which weights are validated and released."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn


class MovingAverage(EMAHandler):
    """Ignite's moving average, with one launch for all weights instead of two for each; buffers are copied.

    Args:
        model: The network.
        momentum: Share of the newest weights in the average.
        momentum_warmup: Share in the first iteration, from which it moves to `momentum`.
        warmup_iters: Iterations that this takes.

    Attributes:
        warmup: Both, to tell one run from another.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 0.0002,
        momentum_warmup: float | None = None,
        warmup_iters: int | None = None,
    ) -> None:
        super().__init__(model, momentum, momentum_warmup, warmup_iters, handle_buffers="copy")
        self.warmup = momentum_warmup, warmup_iters

    def attach(self, engine: Engine, *args: Any, **kwargs: Any) -> None:
        """Registers the handler: a training begins with the weights that the network has by then, a resumed one goes on
        with its average and the momentum of its step."""
        super().attach(engine, *args, **kwargs)
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        if engine.state.iteration == 0:
            self.ema_model.load_state_dict(self.model.state_dict())
        if self._momentum_lambda_obj is not None:
            self.momentum_scheduler.event_index = engine.state.iteration

    @torch.no_grad()
    def _update_ema_model(self, engine: Engine, name: str) -> None:
        momentum = getattr(engine.state, name)
        torch._foreach_lerp_(list(self.ema_model.parameters()), list(self.model.parameters()), momentum)
        for averaged, buffer in zip(self.ema_model.buffers(), self.model.buffers(), strict=True):
            averaged.copy_(buffer)


class CurrentWeights:
    """Stands where `MovingAverage` stands, for recipes without a moving average of the weights.

    Args:
        model: The network.

    Attributes:
        ema_model: The network itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ema_model = model

    def attach(self, engine: Engine) -> None:
        """Does nothing: there is nothing to update."""

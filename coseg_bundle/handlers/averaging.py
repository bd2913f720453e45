"""Which weights are validated and released."""

from __future__ import annotations

from ignite.engine import Engine
from torch import nn


class CurrentWeights:
    """Stands where `ignite.handlers.EMAHandler` stands, for recipes without a moving average of the weights.

    Args:
        model: The network.

    Attributes:
        ema_model: The network itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ema_model = model

    def attach(self, engine: Engine) -> None:
        """Does nothing: there is nothing to update."""

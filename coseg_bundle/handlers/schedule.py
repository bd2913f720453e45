"""Seeds, learning rates and validations of a training; numbers that make no sense are refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from monai.utils import set_determinism

_SEEDS = 2**32


def seed_all(seed: int) -> None:
    """Seeds torch, numpy and random, and takes deterministic algorithms where PyTorch has them.

    Raises:
        ValueError: NumPy takes no such seed.
    """
    if not 0 <= seed < _SEEDS:
        raise ValueError(f"Expected a seed from 0 to {_SEEDS - 1}, got {seed}.")
    set_determinism(seed)


def warmup_cosine(iterations: int, warmup: float) -> Callable[[int], float]:
    """Shares of the learning rate by iteration: they rise linearly, then fall as a cosine to 0.

    Args:
        iterations: Steps of the whole training.
        warmup: Share of them until the peak; 0 begins there.

    Raises:
        ValueError: `warmup` is no share.

    Example:
        >>> [round(warmup_cosine(4, 0.5)(i), 3) for i in range(5)]
        [0.5, 0.854, 0.5, 0.146, 0.0]
    """
    if not 0 <= warmup <= 1:
        raise ValueError(f"Expected a warmup from 0 to 1, a share of the iterations, got {warmup}.")

    iterations = max(iterations, 1)  # who has no step at all is refused by name elsewhere

    def share(iteration: int) -> float:
        fall = (1 + math.cos(math.pi * min(iteration / iterations, 1))) / 2
        return min((iteration + 1) / (warmup * iterations), fall) if warmup else fall

    return share


def validation_interval(val_interval: int, max_epochs: int) -> int:
    """Epochs from one validation to the next; a training that is shorter is validated at its end.

    Raises:
        ValueError: One of them is below 1.

    Example:
        >>> validation_interval(10, 50), validation_interval(10, 3)
        (10, 3)
    """
    if max_epochs < 1:
        raise ValueError(f"Expected max_epochs of 1 or more, got {max_epochs}.")
    if val_interval < 1:
        raise ValueError(f"Expected a val_interval of 1 epoch or more, got {val_interval}.")
    return min(val_interval, max_epochs)

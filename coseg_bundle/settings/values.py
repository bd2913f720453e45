"""What makes sense for a setting, and what MONAI's error says of what does not."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

SAME_SCALE = 0.1
"""Images whose resolution is this close to the network's (relatively) are not resampled: training zooms further."""


def check_number(
    name: str,
    value: Any,
    low: float = 0,
    high: float = math.inf,
    kind: Literal["number", "whole number", "odd number"] = "number",
) -> None:
    """Refuses what is no finite number of a kind and a range, both ends included.

    A float is no whole number, 21.0 neither: it would end inside of what counts with it.

    Raises:
        ValueError: It is none.

    Example:
        >>> check_number("min_nucleus_prob", 90, high=1)
        Traceback (most recent call last):
        ValueError: Expected for min_nucleus_prob a number from 0 to 1, got 90.
    """
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    of_kind = kind == "number" or isinstance(value, int | np.integer)
    if is_number and of_kind and math.isfinite(value) and low <= value <= high:
        if not kind.startswith("odd") or value % 2 == 1:
            return
    ends = f"from {low} on" if high == math.inf else f"from {low} to {high}"
    article = "an" if kind.startswith("odd") else "a"
    raise ValueError(f"Expected for {name} {article} {kind} {ends}, got {value!r}.")


def for_users(error: BaseException) -> BaseException | None:
    """The error behind one of MONAI's that is written for users; None where there is none."""
    cause: BaseException | None = error  # MONAI's own are RuntimeErrors
    while cause is not None and not isinstance(cause, ValueError | OSError):
        cause = cause.__cause__
    return cause

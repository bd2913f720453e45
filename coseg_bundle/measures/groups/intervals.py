"""How sure a count is: the number of true nuclei among those found, each true with its own probability.

The sum of independent yes-or-no answers with different probabilities has a Poisson-binomial distribution (Wang 1993,
Statistica Sinica 3:295). Up to `EXACT` nuclei it is computed, beyond it is a normal one of the same mean and variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""How often the interval holds the truth, at least, if the probabilities are what they say."""

EXACT = 128
"""Counts of up to so many nuclei get the exact distribution."""


@dataclass(frozen=True)
class CountInterval:
    """Intervals of counts.

    Attributes:
        expected: `(G,)` float64, sum of the probabilities; NaN where one of them is not known.
        low: `(G,)` float64, whole numbers.
        high: `(G,)` float64, whole numbers.
    """

    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def count_intervals(
    probability: NDArray[np.floating], group: NDArray[np.integer], groups: int, level: float = LEVEL
) -> CountInterval:
    """Central intervals for the number of true nuclei in each group.

    Args:
        probability: `(N,)` in [0, 1]; NaN where it is not known.
        group: `(N,)` ids from 0; those that are negative count nowhere.
        groups: Number of groups, G.
        level: Probability of the interval.

    Example:
        >>> found = count_intervals(np.full(10, 0.5), np.zeros(10, int), 1)
        >>> float(found.expected[0]), float(found.low[0]), float(found.high[0])
        (5.0, 2.0, 8.0)
    """
    from scipy.special import ndtri

    keep = group >= 0
    p, group = np.clip(np.asarray(probability, np.float64)[keep], 0, 1), group[keep]
    size = np.bincount(group, minlength=groups)
    mean = np.asarray(np.bincount(group, p, minlength=groups), np.float64)
    deviation = np.sqrt(np.bincount(group, p * (1 - p), minlength=groups))
    reach = ndtri((1 + level) / 2) * deviation
    low: NDArray[np.float64] = np.maximum(np.floor(mean - reach), 0)
    high: NDArray[np.float64] = np.minimum(np.ceil(mean + reach), size)
    few = np.flatnonzero((size > 0) & (size <= EXACT) & np.isfinite(mean))
    low[few], high[few] = _exact(p, group, size, few, level)
    return CountInterval(np.asarray(mean, np.float64), low, high)


def _exact(
    p: NDArray[np.float64], group: NDArray[np.integer], size: NDArray[np.int64], few: NDArray[np.intp], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of the exact distribution of the groups `few`, all of them together, one nucleus of each at a time."""
    order = np.argsort(group, kind="stable")
    start = np.cumsum(size) - size
    few = few[np.argsort(size[few], kind="stable")]
    place = np.empty(len(size), np.intp)
    place[few] = np.arange(len(few))
    low, high = np.zeros(len(few)), np.zeros(len(few))
    for part in np.array_split(few, max(1, -(-len(few) // 4096))):
        if not len(part):
            continue
        most = int(size[part].max())
        mass = np.zeros((len(part), most + 1))
        mass[:, 0] = 1
        for number in range(most):
            has = size[part] > number
            q = np.zeros((len(part), 1))
            q[has, 0] = p[order[start[part[has]] + number]]
            mass[:, 1:] = mass[:, 1:] * (1 - q) + mass[:, :-1] * q
            mass[:, :1] *= 1 - q
        below = np.cumsum(mass, axis=1)
        tail = (1 - level) / 2
        low[place[part]] = (below < tail - 1e-12).sum(1)
        high[place[part]] = np.minimum((below < 1 - tail - 1e-12).sum(1), size[part])
    back = np.argsort(few)  # as they were asked for: in the order of the groups
    return low[back], high[back]


def class_probability(
    nuclei_prob: NDArray[np.floating],
    type_prob: NDArray[np.floating],
    type_id: NDArray[np.integer],
    class_id: int,
    classes: int,
) -> NDArray[np.float64]:
    """`(N,)` probability that a nucleus is one, and of a class.

    What the table does not say is shared out evenly: a nucleus of another class has the rest of that class's
    probability, divided by the number of the other classes.

    Args:
        nuclei_prob: `(N,)` probability of being a nucleus.
        type_prob: `(N,)` probability of the class that it was given; NaN where there are no classes, which counts as 1.
        type_id: `(N,)` the class that it was given.
        class_id: The class asked for.
        classes: Number of classes, the background left out.
    """
    given = np.where(np.isnan(type_prob), 1.0, type_prob)
    return np.asarray(nuclei_prob * np.where(type_id == class_id, given, (1 - given) / max(classes - 1, 1)), np.float64)

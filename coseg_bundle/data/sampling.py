"""Which items an epoch draws, when datasets of different sizes and labels train together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import WeightedRandomSampler

from coseg_bundle import keys


def dataset_sampler(
    items: Sequence[Mapping[str, Any]], epoch_length: int, weights: Mapping[str, float] | None = None
) -> WeightedRandomSampler:
    """Draws `epoch_length` items an epoch, with replacement; the datasets share them by weight.

    Args:
        items: Items of a datalist.
        epoch_length: Draws an epoch.
        weights: Weight of each `dataset`; 1 for those not named, so that all count alike whatever their size.

    Raises:
        ValueError: A weight names no dataset of the items.
    """
    weights = weights or {}
    names = [str(item.get(keys.DATASET, "")) for item in items]
    if unknown := set(weights) - set(names):
        raise ValueError(
            f"Sampling weights for unknown datasets {sorted(unknown)}; the datalist has {sorted(set(names))}."
        )
    sizes = Counter(names)
    of_item = [weights.get(name, 1.0) / sizes[name] for name in names]
    return WeightedRandomSampler(torch.tensor(of_item, dtype=torch.double).tolist(), epoch_length, replacement=True)

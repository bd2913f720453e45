"""What a network says of tasks that nobody taught it is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from coseg_bundle.engine.tensors import Images, joined
from coseg_bundle.networks.head_layout import HeadLayout

TASKS = ("tissue", "nuclei", "types")

_CERTAIN = 20.0
"""A logit that leaves no doubt."""


def taught_layout(layout: HeadLayout, untrained: Sequence[str]) -> HeadLayout:
    """The channels of `pred` that mean something: without those of types that nobody taught."""
    return replace(layout, nuclei_types=0) if {"types", "nuclei"} & {*untrained} else layout


class TaughtInferer:
    """Says nothing of the tasks that had no labels: no tissue but the background, no nuclei, nuclei without types.

    The network still computes them, since each task prompts the other.

    Args:
        inferer: What leads images through the network.
        layout: Channels of the network's `pred`.
        untrained: Tasks without labels, as weights say them: `tissue`, `nuclei`, `types`.

    Attributes:
        layout: Channels of what it returns.

    Raises:
        ValueError: A task is unknown.
    """

    def __init__(self, inferer: Callable[..., Any], layout: HeadLayout, untrained: Sequence[str] = ()) -> None:
        if unknown := sorted(set(untrained) - set(TASKS)):
            raise ValueError(f"Expected untrained tasks among {', '.join(TASKS)}, got {', '.join(unknown)}.")
        self.inferer, self.untrained = inferer, tuple(untrained)
        self.layout, self._whole = taught_layout(layout, untrained), layout

    def __call__(self, inputs: Images, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Infers `inputs` `(B, C, H, W)`; returns `pred` `(B, layout.channels, H, W)`."""
        pred = self.inferer(inputs, network, *args, **kwargs)
        if not self.untrained:
            return pred
        parts = self._whole.split(pred)
        parts = {name: parts[name] for name in self.layout.groups}
        silent = [task for task in ("tissue", "nuclei") if task in self.untrained]
        for task in silent:
            parts[f"{task}_logits"] = parts[f"{task}_logits"] * 0 - _CERTAIN
        if "tissue" in silent:
            parts["tissue_logits"][:, 0] = _CERTAIN
        if "disagreement" in parts and silent:
            parts["disagreement"] = parts["disagreement"] * 1
            for task in silent:
                parts["disagreement"][:, 0 if task == "tissue" else 1] = 0
        return joined([*parts.values()], 1)

"""The metrics as MONAI metric classes, for the handlers of an evaluator.

Each takes the decollated lists of an engine's output and keeps one row per image; an image without a label for the task
gives NaN, and NaN leaves the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.handlers import IgniteMetricHandler
from monai.metrics import CumulativeIterationMetric
from monai.utils import CommonKeys
from numpy.typing import NDArray
from torch import Tensor

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED_INSTANCE
from coseg_bundle.metrics.aji import aggregated_jaccard_index
from coseg_bundle.metrics.panoptic import panoptic_quality, panoptic_quality_by_class
from coseg_bundle.metrics.semantic import dice


class _PerImageMetric(CumulativeIterationMetric):
    """Scores image by image; the aggregate is the mean over images, NaN left out."""

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None:
            raise ValueError(f"{type(self).__name__} needs labels; give a datalist that has them.")
        rows = [self.score(plane(p), plane(t)) for p, t in zip(y_pred, y, strict=True)]
        return torch.tensor(rows, dtype=torch.float64)[:, None]

    def aggregate(self) -> Tensor:
        """Mean over the images that have a score; NaN when none has."""
        rows = self.get_buffer()
        return torch.tensor(torch.nan, dtype=torch.float64) if rows is None else torch.nanmean(rows)

    def score(self, pred: NDArray[Any], truth: NDArray[Any]) -> float:
        """Score of one image from its maps `(H, W)`; NaN where it has no label."""
        raise NotImplementedError


class NucleiPQ(_PerImageMetric):
    """Panoptic quality of the nuclei; arguments are instance maps `(1, H, W)`, -1 unlabelled."""

    def score(self, pred: NDArray[Any], truth: NDArray[Any]) -> float:
        """PQ of one image; NaN where nothing is labelled."""
        return float("nan") if (truth == UNLABELLED_INSTANCE).all() else panoptic_quality(pred, truth).pq


class NucleiAJI(_PerImageMetric):
    """Aggregated Jaccard index of the nuclei."""

    def score(self, pred: NDArray[Any], truth: NDArray[Any]) -> float:
        """AJI of one image; NaN where nothing is labelled."""
        return float("nan") if (truth == UNLABELLED_INSTANCE).all() else aggregated_jaccard_index(pred, truth)


class NucleiDice(_PerImageMetric):
    """Dice of nuclei against background."""

    def score(self, pred: NDArray[Any], truth: NDArray[Any]) -> float:
        """Dice of one image; NaN where nothing is labelled."""
        labelled = truth != UNLABELLED_INSTANCE
        return float(dice((pred[labelled] > 0).astype(np.uint8), (truth[labelled] > 0).astype(np.uint8), (1,))[0])


class TissueDice(_PerImageMetric):
    """Mean Dice of the tissue classes on either side of an image, the first class (background) left out.

    Args:
        tissue_classes: Number of tissue classes C_t.
        include_background: Whether class 0 counts too.
    """

    def __init__(self, tissue_classes: int, include_background: bool = False) -> None:
        super().__init__()
        self.class_ids = tuple(range(0 if include_background else 1, tissue_classes))

    def score(self, pred: NDArray[Any], truth: NDArray[Any]) -> float:
        """Mean Dice of one image's classes; NaN where nothing is labelled."""
        return _mean(dice(pred, truth, self.class_ids))


class MeanOfTasks(CumulativeIterationMetric):
    """Mean of nuclei PQ, tissue Dice and, with nuclei classes, their mPQ: the key metric.

    What no image has labels for is left out. Arguments are the maps of `MetricHandler(of="all")`.

    Args:
        tissue_classes: Number of tissue classes C_t.
        nuclei_types: Number of nuclei classes, the background left out; 0 where nuclei have none.
        labelled_only: Whether classes that no image has a label of are left out too. They score 0 where the network
            finds some and nothing where it does not, so that means of two networks would be of different classes.
    """

    def __init__(self, tissue_classes: int, nuclei_types: int = 0, labelled_only: bool = False) -> None:
        super().__init__()
        self.nuclei, self.tissue_ids, self.type_ids = NucleiPQ(), range(1, tissue_classes), range(1, nuclei_types + 1)
        self.labelled_only = labelled_only

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None:
            raise ValueError("MeanOfTasks needs labels; give a datalist that has them.")
        rows = [self._scores(list(map(plane, p)), list(map(plane, t))) for p, t in zip(y_pred, y, strict=True)]
        return torch.tensor(rows, dtype=torch.float64)

    def _scores(self, pred: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]) -> list[float]:
        """Nuclei PQ of one image, and of each tissue and nuclei class its score and whether it is in the labels; NaN
        where it has no label."""
        scores = [self.nuclei.score(pred[0], truth[0]), *dice(pred[1], truth[1], self.tissue_ids)]
        there = [(truth[1] == class_id).any() for class_id in self.tissue_ids]
        if self.type_ids:
            of_classes = panoptic_quality_by_class(pred[0], truth[0], pred[2], truth[2], self.type_ids)
            scores += [quality.pq for quality in of_classes.values()]
            there += [quality.tp + quality.fn > 0 for quality in of_classes.values()]
        return [*scores, *map(float, there)]

    def aggregate(self) -> Tensor:
        """Mean over the tasks of their means over images of the means of each image's classes; NaN before any image."""
        if (rows := self.get_buffer()) is None:
            return torch.tensor(torch.nan, dtype=torch.float64)
        scores, there = np.split(rows.numpy(), [1 + len(self.tissue_ids) + len(self.type_ids)], axis=1)
        nuclei, of_classes = scores[:, 0], scores[:, 1:]
        if self.labelled_only:
            of_classes = np.where(there.any(axis=0), of_classes, np.nan)
        tasks = np.split(of_classes, [len(self.tissue_ids)], axis=1)
        return torch.tensor(_mean([_mean(nuclei), *(_mean([*map(_mean, task)]) for task in tasks)]))


def _mean(scores: Any) -> float:
    """Mean of the scores that there are; NaN where there are none."""
    return float("nan") if np.isnan(scores).all() else float(np.nanmean(scores))


class MetricHandler(IgniteMetricHandler):
    """Attaches one of these metrics to an evaluator.

    Args:
        metric_fn: The metric.
        of: `nuclei`, `tissue` or `all`: which maps of the output it compares.
    """

    def __init__(self, metric_fn: CumulativeIterationMetric, of: str) -> None:
        if of not in _MAPS:
            raise ValueError(f"Expected of to be one of {', '.join(_MAPS)}, got {of!r}.")
        super().__init__(metric_fn=metric_fn, output_transform=_Select(of))


_MAPS = {
    "nuclei": {keys.PRED_INSTANCES: keys.INSTANCES},
    "tissue": {keys.PRED_TISSUE: keys.TISSUE},
    "all": {keys.PRED_INSTANCES: keys.INSTANCES, keys.PRED_TISSUE: keys.TISSUE, keys.PRED_TYPES: keys.TYPES},
}
"""Predicted maps and their truth, by what a metric compares."""


class _Select:
    """Picks prediction and truth out of decollated outputs, one channel for each map that was predicted."""

    def __init__(self, of: str) -> None:
        self.maps = _MAPS[of]

    def __call__(self, output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        there = [{pred: truth for pred, truth in self.maps.items() if pred in item} for item in output]
        return (
            [_channels(item, [*maps]) for item, maps in zip(output, there, strict=True)],
            [_channels(item[CommonKeys.LABEL], [*maps.values()]) for item, maps in zip(output, there, strict=True)],
        )


def _channels(maps: Mapping[str, Any], names: Sequence[str]) -> Tensor:
    return torch.cat([torch.as_tensor(maps[name]).to(torch.int64) for name in names])


def plane(tensor: Tensor) -> NDArray[Any]:
    """The `(H, W)` array of a `(1, H, W)` tensor."""
    return np.asarray(tensor.detach().cpu()).reshape(tensor.shape[-2:])

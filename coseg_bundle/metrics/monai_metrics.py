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
from coseg_bundle.metrics.panoptic import panoptic_quality
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
        return torch.nanmean(self.get_buffer())

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
        scores = dice(pred, truth, self.class_ids)
        return float("nan") if np.isnan(scores).all() else float(np.nanmean(scores))


class MeanOfTasks(CumulativeIterationMetric):
    """Mean of nuclei PQ and tissue Dice: the key metric. A task that no image has labels for is left out.

    Args:
        tissue_classes: Number of tissue classes C_t.
    """

    def __init__(self, tissue_classes: int) -> None:
        super().__init__()
        self.nuclei, self.tissue = NucleiPQ(), TissueDice(tissue_classes)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None:
            raise ValueError("MeanOfTasks needs labels; give a datalist that has them.")
        rows = [
            [self.nuclei.score(plane(p[0]), plane(t[0])), self.tissue.score(plane(p[1]), plane(t[1]))]
            for p, t in zip(y_pred, y, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.float64)

    def aggregate(self) -> Tensor:
        """Mean over the tasks of their means over images."""
        return torch.nanmean(torch.nanmean(self.get_buffer(), dim=0))


class MetricHandler(IgniteMetricHandler):
    """Attaches one of these metrics to an evaluator.

    Args:
        metric_fn: The metric.
        of: `nuclei`, `tissue` or `both`: which maps of the output it compares.
    """

    def __init__(self, metric_fn: CumulativeIterationMetric, of: str) -> None:
        if of not in ("nuclei", "tissue", "both"):
            raise ValueError(f"Expected of to be nuclei, tissue or both, got {of!r}.")
        super().__init__(metric_fn=metric_fn, output_transform=_Select(of))


class _Select:
    """Picks prediction and truth out of decollated outputs; `both` stacks instances and tissue as two channels."""

    def __init__(self, of: str) -> None:
        self.of = of

    def __call__(self, output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        chosen = {"nuclei": slice(0, 1), "tissue": slice(1, 2), "both": slice(0, 2)}[self.of]
        preds, truths = (keys.PRED_INSTANCES, keys.PRED_TISSUE)[chosen], (keys.INSTANCES, keys.TISSUE)[chosen]
        return (
            [_channels(item, preds) for item in output],
            [_channels(item[CommonKeys.LABEL], truths) for item in output],
        )


def _channels(maps: Mapping[str, Any], names: Sequence[str]) -> Tensor:
    return torch.cat([torch.as_tensor(maps[name]).to(torch.int32) for name in names])


def plane(tensor: Tensor) -> NDArray[Any]:
    """The `(H, W)` array of a `(1, H, W)` tensor."""
    return np.asarray(tensor.detach().cpu()).reshape(tensor.shape[-2:])

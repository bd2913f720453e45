"""The loss of Co-Seg (paper, Eq. 8), for samples that may lack labels of either task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor, distributed, nn

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED
from coseg_bundle.losses.hv import HVGradientLoss, hv_mse
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.settings.values import check_number

_TASKS = ("tissue", "nuclei", "types")


class CoSegLoss(nn.Module):
    """`lambda_1 L_tissue(prior) + lambda_2 L_nuclei(prior) + L_tissue(final) + L_nuclei(final)` (Eq. 8).

    Tissue: cross-entropy + Dice. Nuclei: focal + Dice on the nuclei logit, MSE and MSGE on the hv map, focal + Dice on
    the types. The prior's nuclei term has the nuclei logit only. Pixels without a label count nowhere: each term is
    the mean over the labelled pixels (Dice: over the samples that have some), and a term without any is left out.

    What teachers say (`taught`) counts on every pixel: cross-entropy of both decodings with their probabilities,
    squared error of the hv map, and of its gradient inside their nuclei.

    In a run of several processes the means are over the batches of all of them: each process divides its sums by the
    labelled pixels of an average process. `DistributedDataParallel` averages the gradients, which makes the gradient of
    one process with the whole batch, however unevenly the labels are dealt out. The value is that process's loss, too.

    Args:
        layout: Channels of the prediction.
        lambda_1: Weight of the prior's tissue term; 2 in the paper.
        lambda_2: Weight of the prior's nuclei term; 1 in the paper.
        mse_weight: Weight of the hv map's squared error; the paper gives none, the released code has 10.
        msge_weight: Weight of its gradient's error; the released code has 2.5.
        focal_gamma: Exponent of the focal terms; 2 as in Lin et al. 2017.
        taught_weight: Weight of what teachers say.
        taught_tasks: The tasks that they teach (`Teachers.tasks`): what else they say counts nowhere.
        type_weights: Weight of each nuclei class in the entropy of the types, background first; 1 each when not given.
        thin_weight: Weight of thin tissue in the entropy of the tissue (see `thin`): the strip between two glands is
            all that tells them apart, and few pixels (after the border weights of Ronneberger et al. 2015, U-Net).
        thin_px: What is thinner is thin.

    Raises:
        ValueError: A task is unknown, there is another number of type weights, or a number is out of its range.
    """

    type_weights: Tensor | None

    def __init__(
        self,
        layout: HeadLayout,
        lambda_1: float = 2.0,
        lambda_2: float = 1.0,
        mse_weight: float = 10.0,
        msge_weight: float = 2.5,
        focal_gamma: float = 2.0,
        taught_weight: float = 1.0,
        taught_tasks: Sequence[str] = _TASKS,
        type_weights: Sequence[float] | None = None,
        thin_weight: float = 1.0,
        thin_px: int = 25,
    ) -> None:
        super().__init__()
        if type_weights is not None and len(type_weights) != layout.nuclei_types + 1:
            raise ValueError(
                f"Expected a weight for the background and each of {layout.nuclei_types} nuclei classes, "
                f"got {list(type_weights)}."
            )
        for weight in () if type_weights is None else type_weights:
            check_number("type_weights", weight)
        if isinstance(taught_tasks, str) or not set(taught_tasks) <= set(_TASKS):
            raise ValueError(f"Expected a list of {', '.join(_TASKS)} as taught_tasks, got {taught_tasks!r}.")
        weights = {"mse_weight": mse_weight, "msge_weight": msge_weight, "taught_weight": taught_weight}
        for name, value in (weights | {"focal_gamma": focal_gamma, "thin_weight": thin_weight}).items():
            check_number(name, value)
        check_number("thin_px", thin_px, 1, kind="whole number")
        of_types = None if type_weights is None else torch.tensor(type_weights, dtype=torch.float32)
        self.register_buffer("type_weights", of_types, persistent=False)
        self.layout = layout
        self.lambda_1, self.lambda_2 = lambda_1, lambda_2
        self.mse_weight, self.msge_weight = mse_weight, msge_weight
        self.taught_weight, self.taught_tasks = taught_weight, tuple(taught_tasks)
        self.thin_weight, self.thin_px = thin_weight, thin_px
        self.focal = FocalLoss(gamma=focal_gamma, reduction="none")
        self.dice = DiceLoss(reduction="none")
        self.hv_gradient = HVGradientLoss()

    def forward(self, outputs: tuple[Tensor, Tensor | None], targets: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the terms.

        Args:
            outputs: `pred` `(B, C, H, W)` and prior `(B, C_t + 1, H, W)` or None, as `CoSeg` returns them.
            targets: `tissue` `(B, 1, H, W)`, `nuclei` `(B, 1, H, W)`, `hv_map` `(B, 2, H, W)` and, with types,
                `types` `(B, 1, H, W)`; 255 marks pixels without a label. With teachers also `taught`,
                their `pred` without the disagreement.

        Returns:
            A scalar; 0 when nothing in the batch is labelled or taught.
        """
        terms = self.terms(outputs, targets)
        loss = torch.stack(list(terms.values())).sum() if terms else outputs[0].sum() * 0.0
        return (
            loss + (mean_over_processes(loss) - loss).detach()
        )  # the value of all processes, the gradient of this one

    def terms(self, outputs: tuple[Tensor, Tensor | None], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms by name; terms without a labelled pixel are absent."""
        pred, prior = outputs
        parts = self.layout.split(pred.float())
        terms = {}
        tissue, nuclei = targets[keys.TISSUE], targets[keys.NUCLEI]
        counts = _counts(targets, types="type_logits" in parts)
        of_tissue = None
        if counts[keys.TISSUE].pixels:
            if self.thin_weight != 1:
                of_tissue = 1 + (self.thin_weight - 1) * thin(tissue, self.layout.tissue_classes, self.thin_px)
            counted = counts[keys.TISSUE]
            terms["tissue"] = self._class_loss(parts["tissue_logits"], tissue, counted, focal=False, weights=of_tissue)
        if counts[keys.NUCLEI].pixels:
            terms["nuclei"] = self._mask_loss(parts["nuclei_logits"], nuclei, counts[keys.NUCLEI])
            labelled, mask = nuclei != UNLABELLED, nuclei == 1
            # the gradient's filter reaches two pixels beyond a nucleus: what is unlabelled there is right as it is
            hv_target = torch.where(labelled, targets[keys.HV_MAP], parts["hv_map"])
            of_labelled, of_mask = counts[keys.NUCLEI].pixels, counts[_MASK].pixels
            terms["hv_mse"] = self.mse_weight * hv_mse(parts["hv_map"], hv_target, labelled, of_labelled)
            terms["hv_msge"] = self.msge_weight * self.hv_gradient(parts["hv_map"], hv_target, mask, of_mask)
        if keys.TYPES in counts and counts[keys.TYPES].pixels:
            types, counted = targets[keys.TYPES], counts[keys.TYPES]
            of_types = None if self.type_weights is None else self.type_weights.to(types.device)[_ids(types)]
            terms["types"] = self._class_loss(parts["type_logits"], types, counted, focal=True, weights=of_types)
        if prior is not None:
            prior_tissue, prior_nuclei = prior.float().split([self.layout.tissue_classes, 1], dim=1)
            if "tissue" in terms:
                counted = counts[keys.TISSUE]
                prior_term = self._class_loss(prior_tissue, tissue, counted, focal=False, weights=of_tissue)
                terms["prior_tissue"] = self.lambda_1 * prior_term
            if "nuclei" in terms:
                prior_term = self._mask_loss(prior_nuclei, nuclei, counts[keys.NUCLEI])
                terms["prior_nuclei"] = self.lambda_2 * prior_term
        if keys.TAUGHT in targets:
            taught = self._taught_terms(parts, prior, targets[keys.TAUGHT])
            terms |= {f"taught_{name}": self.taught_weight * term for name, term in taught.items()}
        return terms

    def _taught_terms(self, parts: Mapping[str, Tensor], prior: Tensor | None, taught: Tensor) -> dict[str, Tensor]:
        """How far both decodings are from what teachers say."""
        says = replace(self.layout, disagreement=False).split(taught)
        tissue, nuclei = says["tissue_logits"].softmax(1), says["nuclei_logits"].sigmoid()
        everywhere, mask = torch.ones_like(nuclei, dtype=torch.bool), nuclei > 0.5
        of_mask = float(mean_over_processes(mask.sum().double()))
        terms = {
            "tissue": F.cross_entropy(parts["tissue_logits"], tissue),
            "nuclei": F.binary_cross_entropy_with_logits(parts["nuclei_logits"], nuclei),
            "hv_mse": self.mse_weight * hv_mse(parts["hv_map"], says["hv_map"], everywhere),
            "hv_msge": self.msge_weight * self.hv_gradient(parts["hv_map"], says["hv_map"], mask, of_mask),
        }
        if "type_logits" in says:
            terms["types"] = F.cross_entropy(parts["type_logits"], says["type_logits"].softmax(1))
        if prior is not None:
            prior_tissue, prior_nuclei = prior.float().split([self.layout.tissue_classes, 1], dim=1)
            terms["prior_tissue"] = self.lambda_1 * F.cross_entropy(prior_tissue, tissue)
            terms["prior_nuclei"] = self.lambda_2 * F.binary_cross_entropy_with_logits(prior_nuclei, nuclei)
        task_of = {**dict.fromkeys(terms, "nuclei"), "tissue": "tissue", "prior_tissue": "tissue", "types": "types"}
        return {name: term for name, term in terms.items() if task_of[name] in self.taught_tasks}

    def _mask_loss(self, logits: Tensor, target: Tensor, count: _Count) -> Tensor:
        """Focal + Dice of one logit `(B, 1, H, W)` against a mask with unlabelled pixels."""
        labelled = target != UNLABELLED
        mask = (target == 1).to(logits.dtype)
        focal = (self.focal(logits, mask) * labelled).sum() / count.pixels
        return focal + self._dice(logits.sigmoid(), mask, labelled, count)

    def _class_loss(
        self, logits: Tensor, target: Tensor, count: _Count, focal: bool, weights: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy (or focal, its modulated form) + Dice of class logits `(B, C, H, W)` against class ids; the
        entropy has weights `(B, 1, H, W)`."""
        labelled, ids = target != UNLABELLED, _ids(target)
        entropy = F.cross_entropy(logits, ids[:, 0], reduction="none")[:, None]
        if focal:
            wrong = 1 - torch.exp(-entropy)  # p of the true class is exp(-entropy)
            above_0 = wrong.clamp_min(torch.finfo(wrong.dtype).tiny)  # where a root would have no finite slope
            entropy = entropy * above_0**self.focal.gamma
        if weights is not None:
            entropy = entropy * weights
        one_hot = torch.zeros_like(logits).scatter_(1, ids, 1.0)
        return (entropy * labelled).sum() / count.pixels + self._dice(logits.softmax(1), one_hot, labelled, count)

    def _dice(self, prob: Tensor, target: Tensor, labelled: Tensor, count: _Count) -> Tensor:
        """Dice over the labelled pixels of each sample and class, mean over classes and samples that have any."""
        per_sample = self.dice(prob * labelled, target * labelled).flatten(1).mean(1)
        has_label = labelled.flatten(1).any(1)
        return per_sample[has_label].sum() / count.samples


def thin(tissue: Tensor, classes: int, width_px: int) -> Tensor:
    """Pixels that no square of `width_px` x `width_px` pixels within their own class holds.

    Unlabelled pixels, and those beyond the crop, may be of any class.

    Args:
        tissue: Class ids `(B, 1, H, W)`; 255 unlabelled.
        classes: How many there are.
        width_px: Side of the square.

    Returns:
        A mask `(B, 1, H, W)`, false where unlabelled.
    """
    of_class = torch.arange(classes, device=tissue.device)[None, :, None, None]
    another = ((tissue != of_class) & (tissue != UNLABELLED)).float()  # (B, classes, H, W)
    around = F.pad(another, [width_px - 1] * 4)
    opened = -_pooled(-_pooled(around, width_px), width_px)  # 0 where a square without another class holds the pixel
    return (opened.gather(1, _ids(tissue)) > 0) & (tissue != UNLABELLED)


def _pooled(values: Tensor, side: int) -> Tensor:
    """The largest of each square of `side` x `side` pixels."""
    return F.max_pool2d(F.max_pool2d(values, (side, 1), 1), (1, side), 1)


def _ids(target: Tensor) -> Tensor:
    """Class ids, 0 where unlabelled."""
    return torch.where(target != UNLABELLED, target, 0).long()


class _Count(NamedTuple):
    """How much is labelled in the batch of an average process.

    Attributes:
        pixels: Labelled pixels; 0 only where no process has any.
        samples: Samples with a labelled pixel.
    """

    pixels: float
    samples: float


_MASK = "mask"


def _counts(targets: Mapping[str, Tensor], types: bool) -> dict[str, _Count]:
    """Counts by the name of the target, and under `_MASK` the pixels of nuclei."""
    names = (keys.TISSUE, keys.NUCLEI, keys.TYPES) if types else (keys.TISSUE, keys.NUCLEI)
    masks = {name: targets[name] != UNLABELLED for name in names} | {_MASK: targets[keys.NUCLEI] == 1}
    counts = torch.stack([torch.stack([mask.sum(), mask.flatten(1).any(1).sum()]) for mask in masks.values()])
    rows = mean_over_processes(counts.double()).tolist()  # one message for all of them
    return {name: _Count(*row) for name, row in zip(masks, rows, strict=True)}


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes of a distributed run, without gradient; in one process the tensor itself."""
    value = value.detach()
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()

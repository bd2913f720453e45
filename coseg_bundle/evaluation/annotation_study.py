"""Does annotation with Co-Seg do what it promises? Three experiments, each a few minutes on one core.

Refinement: does a corrected tissue mask give better nuclei? Active learning: do the images where the two decodings
disagree teach more than random ones? Both train on generated tissue. Listening: how much do the weights, as they are,
change what they say of one task when they are told the other?
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.batches import CoSegPrepareBatch
from coseg_bundle.classes import UNLABELLED
from coseg_bundle.data.images import read_image, read_label_of
from coseg_bundle.data.synthetic import SyntheticTissue, ambiguous_tissue, synthetic_tissue
from coseg_bundle.inferers import AutocastInferer, Predictor
from coseg_bundle.inferers.refinement import Refiner
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.losses import CoSegLoss
from coseg_bundle.metrics import panoptic_quality
from coseg_bundle.metrics.contingency import contingency
from coseg_bundle.networks import CoSeg
from coseg_bundle.postprocessing.resample import resample_image, resample_nearest, size_at
from coseg_bundle.transforms import NucleiTargetsd

logger = logging.getLogger(__name__)

Row = dict[str, Any]

_TARGETS = (keys.NUCLEI, keys.HV_MAP, keys.TYPES)


def refinement_study(
    predictor: Predictor, steps: int = 600, images: int = 16, told: float = 0.5, size: int = 256
) -> list[Row]:
    """Nuclei PQ without and with the true tissue as a correction, on images that were not trained on.

    Args:
        predictor: Weights to start from; they are trained here.
        steps: Training steps, half of the images pale.
        images: Images to score, of each kind.
        told: Share of the batches with the true tissue in place of the prior.
        size: Side of the images, px.

    Returns:
        A row for each kind of image: mean PQ unprompted and corrected, images that got better, and the share of pixels
        whose tissue the network had right.
    """
    pool = [ambiguous_tissue(size, 1000 + i, pale=bool(i % 2)) for i in range(40)]
    fit(predictor.network, pool, steps, told)
    rows = []
    kinds: dict[str, Callable[[int], SyntheticTissue]] = {
        "tissue is seen": lambda seed: ambiguous_tissue(size, seed, pale=False),
        "tissue must be guessed": lambda seed: ambiguous_tissue(size, seed, pale=True),
    }
    for kind, make in kinds.items():
        before, after, right = [], [], []
        for seed in range(images):
            tissue = make(seed)
            plain, corrected = (segment(predictor, tissue.rgb, said) for said in (None, tissue.tissue_map))
            before.append(panoptic_quality(plain[0], tissue.instance_map).pq)
            after.append(panoptic_quality(corrected[0], tissue.instance_map).pq)
            right.append(float((plain[1] == tissue.tissue_map).mean()))
        rows.append(
            {
                "images": kind,
                "unprompted_pq": round(float(np.mean(before)), 4),
                "corrected_pq": round(float(np.mean(after)), 4),
                "better": f"{sum(b > a for a, b in zip(before, after, strict=True))} of {images}",
                "tissue_accuracy": round(float(np.mean(right)), 4),
            }
        )
    return rows


def active_learning_study(
    predictor: Predictor, seeds: Sequence[int] = (0, 1, 2), rounds: int = 3, per_round: int = 2, steps: int = 30
) -> list[Row]:
    """Annotates a few images a round, chosen at random or by disagreement, and scores the network on others.

    A quarter of the pool has glands, the rest is stroma with a few nuclei. Every round starts again from the first
    weights and sees all that was annotated so far.

    Args:
        predictor: Weights to start from.
        seeds: Repetitions; pool, choice and training differ.
        rounds: Rounds of annotation.
        per_round: Images annotated in a round.
        steps: Training steps a round; the second round has twice as many.

    Returns:
        A row for each strategy, seed and round: images annotated, and the mean of nuclei PQ and gland Dice.
    """
    start = deepcopy(predictor.network.state_dict())
    test = [synthetic_tissue(192, 9000 + i) for i in range(6)]
    rows = []
    for seed in seeds:
        pool = _pool(seed)
        for strategy in ("random", "coseg_disagreement"):
            rng = np.random.default_rng(seed)
            predictor.network.load_state_dict(start)
            chosen: list[int] = []
            for number in range(rounds + 1):
                if number:
                    open_images = [i for i in range(len(pool)) if i not in chosen]
                    if strategy == "random":
                        chosen += rng.choice(open_images, per_round, replace=False).tolist()
                    else:
                        scores = {i: disagreement_of(predictor, pool[i].rgb) for i in open_images}
                        chosen += sorted(open_images, key=lambda i: -scores[i])[:per_round]
                    predictor.network.load_state_dict(start)
                    fit(predictor.network, [pool[i] for i in chosen], steps * number, told=0.0, seed=seed)
                score = _score(predictor, test)
                rows.append({"strategy": strategy, "seed": seed, "annotated": len(chosen), "score": round(score, 4)})
                logger.info("%s", rows[-1])
    return rows


def listening_study(predictor: Predictor, items: Sequence[Mapping[str, Any]], side: int = 1024) -> list[Row]:
    """What weights answer that are told the other task.

    Args:
        predictor: The weights.
        items: Items of a datalist with tissue labels.
        side: Images are cut to so many pixels of the network.

    Returns:
        A row for each image: how many nuclei there are when nothing is told, how many of them have none alike
        (intersection over union 0.7) when the labels' tissue is, and the share of the pixels whose tissue is another
        one when it is told that there are no nuclei.
    """
    rows, refiner = [], Refiner(predictor)
    for item in items:
        image = read_image(item[keys.IMAGE])
        label = read_label_of(image.path, image.rgb.shape[:2], item[keys.TISSUE]).astype(np.uint8)
        size = size_at(image.rgb.shape[:2], item.get(keys.MPP), predictor.mpp)
        rgb = np.ascontiguousarray(resample_image(image.rgb, size)[:side, :side])
        label = np.ascontiguousarray(resample_nearest(label, size)[:side, :side])
        with resolution_known(item.get(keys.MPP) is not None):
            answers = [refiner.infer(rgb, *said) for said in ((), (label,), (None, np.zeros_like(label)))]
        silent, told, without = (predictor.postprocessing.maps(answer) for answer in answers)
        pairs = contingency(told[0], silent[0])
        nuclei = len(pairs.truth_ids)
        rows.append(
            {
                "image": image.path.name,
                "nuclei": nuclei,
                "nuclei_changed": nuclei - int((pairs.iou >= 0.7).sum()),
                "tissue_changed": round(float((without[1] != silent[1]).mean()), 4),
            }
        )
        logger.info("%s", rows[-1])
    return rows


def fit(network: torch.nn.Module, tissues: Sequence[SyntheticTissue], steps: int, told: float, seed: int = 0) -> None:
    """Trains a network for some steps on crops of 128 px, four a step."""
    assert isinstance(network, CoSeg)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    loss_function = CoSegLoss(network.layout, focal_gamma=0.0)
    prepare = CoSegPrepareBatch(return_prior=True, told=told)
    infer = AutocastInferer(lambda x, net, **kwargs: net(x, **kwargs))
    optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr=3e-4, weight_decay=0.05)
    network.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-4 * min((step + 1) / 10, 1) * (1 + np.cos(np.pi * step / steps)) / 2
        image, targets, _, arguments = prepare(_batch(tissues, rng))
        loss = loss_function(infer(image, network, **arguments), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            logger.info("step %d of %d: loss %.3f", step, steps, loss.item())
    network.eval()


def segment(
    predictor: Predictor, rgb: NDArray[np.uint8], tissue: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Instance map and tissue map of an image, with somebody's tissue map in place of the prior or without."""
    return predictor.postprocessing.maps(infer(predictor, rgb, tissue))


def disagreement_of(predictor: Predictor, rgb: NDArray[np.uint8]) -> float:
    """How far the second decoding moved from the first, both tasks, summed over an image."""
    return float(predictor.postprocessing.layout.split(infer(predictor, rgb), 0)["disagreement"].sum())


def infer(predictor: Predictor, rgb: NDArray[np.uint8], tissue: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
    """`pred` `(C, H, W)` of an image; `tissue` takes the place of the prior where it is not 255."""
    return Refiner(predictor, batches=1).infer(rgb, tissue)


def _score(predictor: Predictor, tissues: Sequence[SyntheticTissue]) -> float:
    scores = []
    for tissue in tissues:
        instances, tissue_map = segment(predictor, tissue.rgb)
        gland, truth = tissue_map == 1, tissue.tissue_map == 1
        dice = 2 * (gland & truth).sum() / (gland.sum() + truth.sum())
        scores.append((panoptic_quality(instances, tissue.instance_map).pq + dice) / 2)
    return float(np.mean(scores))


def _pool(seed: int, count: int = 24, size: int = 192) -> list[SyntheticTissue]:
    """Images to choose from: a quarter with glands, the others stroma with a few nuclei."""
    return [synthetic_tissue(size, 5000 + 100 * seed + i, glands=i % 4 == 0) for i in range(count)]


def _batch(tissues: Sequence[SyntheticTissue], rng: np.random.Generator, side: int = 128) -> dict[str, torch.Tensor]:
    items = []
    for _ in range(4):
        tissue = tissues[int(rng.integers(len(tissues)))]
        y, x = rng.integers(0, len(tissue.rgb) - side + 1, 2)
        cut = (slice(y, y + side), slice(x, x + side))
        flips = [axis for axis in (1, 2) if rng.random() < 0.5]
        image = torch.from_numpy(tissue.rgb[cut].copy()).permute(2, 0, 1).float() / 255
        item: dict[Hashable, Any] = {keys.IMAGE: image.flip(flips)}
        for key, label in ((keys.INSTANCES, tissue.instance_map), (keys.TISSUE, tissue.tissue_map)):
            item[key] = torch.from_numpy(label[cut].astype(np.int32))[None].flip(flips)
        item[keys.TYPES] = torch.full_like(item[keys.TISSUE], UNLABELLED)
        items.append(NucleiTargetsd()(item))
    return {key: torch.stack([item[key] for item in items]) for key in (keys.IMAGE, keys.TISSUE, *_TARGETS)}

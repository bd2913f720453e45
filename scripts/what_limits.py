"""Where nuclei are lost: scores as predicted, with the mask or the division that the labels have, without prompts.

python scripts/what_limits.py DATALIST [--section training] [--weights FILE]

Prints means over the images that have nuclei labels, each at its own resolution (or the network's, if it has none).
Where the labels divide the predicted mask, its pixels go to the nearest nucleus however far away, and the other way
round: what is found and is none, and what is missed, counts against a neighbour. So these rows are lower bounds.
The last line counts outlines that hold two or more of the labels' nuclei: merged here, or drawn as several there.
"""

from __future__ import annotations

import argparse
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from coseg_bundle import keys
from coseg_bundle.data.datalist import SECTIONS, load_datalist
from coseg_bundle.data.images import read_image, read_label_of
from coseg_bundle.evaluation.counts import Scores, count_nuclei, mean_over_images
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics.contingency import contingency

COLUMNS = {"PQ": "nuclei_pq", "DQ": "nuclei_dq", "SQ": "nuclei_sq", "AJI": "nuclei_aji", "Dice": "nuclei_dice"}


class Predicts(Protocol):
    """What is asked of a `Predictor`."""

    def predict(self, rgb: NDArray[np.uint8], mpp: float | None) -> Any:
        """Something with an `instance_map`."""


class FirstDecoding(torch.nn.Module):
    """A network whose mask and tissue are those of its first decoding, which has no prompts; the hv map stays."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor, **options: Any) -> torch.Tensor:
        """As `CoSeg`; the prior has the same first channels, tissue and the nuclei logit."""
        pred, prior = self.network(image, return_prior=True, **options)
        return torch.cat([prior.to(pred.dtype), pred[:, prior.shape[1] :]], dim=1)


def divided(mask: NDArray[np.bool_], instances: NDArray[np.integer]) -> NDArray[np.integer]:
    """A mask `(H, W)`, each pixel given to the nearest nucleus of an instance map."""
    if not (instances > 0).any():
        return np.zeros_like(instances)
    nearest = distance_transform_edt(instances <= 0, return_distances=False, return_indices=True)
    return np.where(mask, instances[tuple(nearest)], 0)


def held_together(pred: NDArray[np.integer], truth: NDArray[np.integer]) -> tuple[int, int]:
    """Outlines in which more than half of each of two or more labelled nuclei lies, and how many nuclei these are."""
    overlaps = contingency(pred, truth)
    inside = 2 * overlaps.overlap > overlaps.truth_area[overlaps.pairs[:, 0]]
    held = np.bincount(overlaps.pairs[inside, 1])
    return int((held > 1).sum()), int(held[held > 1].sum())


def rows(
    predictor: Predicts, first: Predicts | None, item: dict[str, Any]
) -> tuple[dict[str, Scores], tuple[int, int]]:
    """Scores of one image by the name of the row, and what `held_together` counts."""
    rgb = read_image(item[keys.IMAGE]).rgb
    truth = read_label_of(item[keys.IMAGE], rgb.shape[:2], item[keys.INSTANCES])
    pred = predictor.predict(rgb, item.get(keys.MPP)).instance_map
    found = {
        "as predicted": pred,
        "the labels' nuclei, in the predicted mask": divided(pred > 0, truth),
        "the predicted nuclei, in the labels' mask": divided(truth > 0, pred),
    }
    if first is not None:
        found["the mask of the first decoding"] = first.predict(rgb, item.get(keys.MPP)).instance_map
    scores = {name: count_nuclei(instances, truth).scores() for name, instances in found.items()}
    return scores, held_together(pred, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, metavar="DATALIST")
    parser.add_argument("--section", default="validation", choices=SECTIONS)
    parser.add_argument("--dataset", help="take only the images of this dataset")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    try:
        predictor = Predictor.from_bundle(weights=options.weights)
        items = [item for item in load_datalist(options.datalist, options.section) if keys.INSTANCES in item]
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    first = None
    if predictor.network.rp_encoder is not None:
        first = copy(predictor)
        first.network = FirstDecoding(first.network)
    items = [item for item in items if options.dataset in (None, item.get(keys.DATASET))]
    if not items:
        raise SystemExit(f"{options.datalist} has no nuclei labels under {options.section!r} of that dataset.")
    every, held = zip(*(rows(predictor, first, item) for item in items), strict=True)
    print(f"| {len(items)} images | {' | '.join(COLUMNS)} |\n|---" + "|---:" * len(COLUMNS) + "|")
    for name in every[0]:
        means = mean_over_images([row[name] for row in every])
        print(f"| {name} | {' | '.join(f'{means[column]:.3f}' for column in COLUMNS.values())} |")
    outlines, nuclei = np.sum(held, axis=0)
    print(f"{outlines} outlines hold {nuclei} nuclei of the labels, two or more each.")


if __name__ == "__main__":
    main()

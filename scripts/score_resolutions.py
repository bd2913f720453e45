"""Scores the weights on the validation images of a datalist at several resolutions, as `coseg predict --mpp` sees them.

python scripts/score_resolutions.py DATALIST [--weights FILE] [--flips] [--stains N]

Nuclei tiles count as 0.25 microns per pixel and are reduced to coarser ones; gland tiles count as 0.62, and are also
given without a resolution. Prints the mean over images. With --stains all tiles are stained otherwise, N times, nuclei
tiles wider than in training; and gland tiles take on the colours of the nuclei tiles, which are another laboratory's.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED, place_of
from coseg_bundle.data.classes import class_names_of
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.images import read_image, read_label_of
from coseg_bundle.evaluation.counts import count_nuclei
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import dice
from coseg_bundle.postprocessing.resample import resample_image
from coseg_bundle.transforms import RandStainJitterd, RandStainTransferd
from coseg_bundle.transforms.stain_transfer import transferred

NUCLEI_MPP, GLAND_MPP = 0.25, 0.62

Stain = Callable[[torch.Tensor], torch.Tensor]
"""An RGB image `(3, H, W)` in [0, 1] to the same in other colours."""


def nuclei_scores(
    predictor: Predictor, items: list[dict[str, str]], mpp: float, stains: Sequence[Stain | None] = (None,)
) -> list[float]:
    """Mean PQ, AJI and Dice of tiles reduced to `mpp`, in every stain (None: as they are)."""
    scores = []
    for stain, item in itertools.product(stains, items):
        rgb = stained(read_image(item["image"]).rgb, stain)
        size = (round(rgb.shape[0] * NUCLEI_MPP / mpp), round(rgb.shape[1] * NUCLEI_MPP / mpp))
        truth = read_label_of(item["image"], rgb.shape[:2], item["instances"], size)
        pred = predictor.predict(resample_image(rgb, size), mpp).instance_map
        of_image = count_nuclei(pred, truth).scores()
        scores.append([of_image[name] for name in ("nuclei_pq", "nuclei_aji", "nuclei_dice")])
    return np.mean(scores, axis=0).round(4).tolist()


def gland_dice(
    predictor: Predictor,
    items: list[dict[str, str]],
    mpp: float | None,
    stains: Sequence[Stain | None] = (None,),
    label_id: int = 1,
) -> float:
    """Mean gland Dice of whole tiles, whose glands have an id, in every stain (None: as they are).

    Raises:
        ValueError: The network knows no glands.
    """
    names = predictor.result_classes[0].names
    if (gland := place_of("gland", names)) is None:
        raise ValueError(f"Expected a network that knows glands, got the tissue classes {', '.join(names)}.")
    scores = []
    for stain, item in itertools.product(stains, items):
        rgb = stained(read_image(item["image"]).rgb, stain)
        truth = read_label_of(item["image"], rgb.shape[:2], item["tissue"])
        glands = np.where(truth == UNLABELLED, UNLABELLED, truth == label_id)
        scores.append(dice((predictor.predict(rgb, mpp).tissue_map == gland).astype(int), glands, [1])[0])
    return round(float(np.mean(scores)), 4)


def stained(rgb: NDArray[np.uint8], stain: Stain | None) -> NDArray[np.uint8]:
    """An image `(H, W, 3)` in other colours."""
    if stain is None:
        return rgb
    image = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255  # (H, W, 3) -> (3, H, W)
    return (stain(image).permute(1, 2, 0) * 255).round().byte().numpy()


def jittered(seed: int) -> Stain:
    """Other amounts and hues of the stains."""
    return lambda image: RandStainJitterd("image", scale=0.5, prob=1, mix=0.2).set_random_state(seed)({"image": image})[
        "image"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--stains", type=int, default=0, metavar="N")
    parser.add_argument("--set", default="{}", help="JSON of other values of configs/inference.yaml, by id")
    options = parser.parse_args()
    predictor = Predictor.from_bundle(weights=options.weights, flips=options.flips, **json.loads(options.set))
    items = load_datalist(options.datalist, "validation")
    nuclei, glands = ([item for item in items if key in item] for key in ("instances", "tissue"))
    names = class_names_of(options.datalist, "tissue_classes", ["background", "gland"])
    if (label_id := place_of("gland", names)) is None:
        raise SystemExit(f"Expected tissue classes with gland in {options.datalist}, got {', '.join(names)}.")
    plain: tuple[Stain | None, ...] = (None,)
    other = [jittered(seed) for seed in range(options.stains)]
    runs = [(f"at {mpp} mpp", mpp, plain) for mpp in (NUCLEI_MPP, 0.35, 0.5)]
    if options.stains:
        runs.append((f"stained otherwise, {options.stains} times", NUCLEI_MPP, other))
    for name, mpp, stains in runs if nuclei else ():
        pq, aji, overlap = nuclei_scores(predictor, nuclei, mpp, stains)
        print(f"nuclei {name}: PQ {pq}, AJI {aji}, Dice {overlap}", flush=True)
    ways: list[tuple[str, Sequence[Stain | None]]] = [("", plain)]
    if options.stains:
        ways.append((f", stained otherwise, {options.stains} times", other))
    if options.stains and nuclei:
        targets = RandStainTransferd("image", [item["image"] for item in nuclei]).moments
        ways.append((", in the colours of each nuclei tile", [partial(transferred, target=x) for x in targets]))
    for (name, stains), given in itertools.product(ways if glands else (), (None, GLAND_MPP)):
        score = gland_dice(predictor, glands, given, stains, label_id)
        print(f"glands, resolution {given or 'not given'}{name}: Dice {score}", flush=True)


if __name__ == "__main__":
    main()

"""Scores the weights on the validation images of a datalist at several resolutions, as `coseg predict --mpp` sees them.

python scripts/score_resolutions.py DATALIST [--weights FILE] [--flips]

Nuclei tiles count as 0.25 microns per pixel and are reduced to coarser ones; gland tiles count as 0.62, and are also
given without a resolution. Prints the mean over images.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.image_io import read_image, read_label_of
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import aggregated_jaccard_index, dice, panoptic_quality
from coseg_bundle.postprocessing.resample import resample_image

NUCLEI_MPP, GLAND_MPP = 0.25, 0.62


def nuclei_scores(predictor: Predictor, items: list[dict[str, str]], mpp: float) -> list[float]:
    """Mean PQ, AJI and Dice of tiles reduced to `mpp`."""
    scores = []
    for item in items:
        rgb = read_image(item["image"]).rgb
        size = (round(rgb.shape[0] * NUCLEI_MPP / mpp), round(rgb.shape[1] * NUCLEI_MPP / mpp))
        truth = read_label_of(item["image"], rgb.shape[:2], item["instances"], size)
        pred = predictor.predict(resample_image(rgb, size), mpp).instance_map
        overlap = dice(pred > 0, truth > 0, [1])[0]
        scores.append((panoptic_quality(pred, truth).pq, aggregated_jaccard_index(pred, truth), overlap))
    return np.mean(scores, axis=0).round(4).tolist()


def gland_dice(predictor: Predictor, items: list[dict[str, str]], mpp: float | None) -> float:
    """Mean gland Dice of whole tiles."""
    scores = []
    for item in items:
        rgb = read_image(item["image"]).rgb
        truth = read_label_of(item["image"], rgb.shape[:2], item["tissue"])
        scores.append(dice(predictor.predict(rgb, mpp).tissue_map, truth, [1])[0])
    return round(float(np.mean(scores)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--set", default="{}", help="JSON of other values of configs/inference.yaml, by id")
    options = parser.parse_args()
    predictor = Predictor.from_bundle(weights=options.weights, flips=options.flips, **json.loads(options.set))
    items = load_datalist(options.datalist, "validation")
    for mpp in (0.25, 0.35, 0.5):
        pq, aji, overlap = nuclei_scores(predictor, [item for item in items if "instances" in item], mpp)
        print(f"nuclei at {mpp} mpp: PQ {pq}, AJI {aji}, Dice {overlap}", flush=True)
    for given in (None, GLAND_MPP):
        score = gland_dice(predictor, [item for item in items if "tissue" in item], given)
        print(f"glands, resolution {given or 'not given'}: Dice {score}", flush=True)


if __name__ == "__main__":
    main()

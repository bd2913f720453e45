"""Scores weights on the validation images of a datalist, set by set, as `coseg predict` gives them.

python scripts/score_weights.py DATALIST [--weights FILE] [--precision fp32]

Nuclei: PQ, AJI and Dice, means over images. Classes, where the labels have some: detection F1 within 3 um (12 px at
0.25 mpp) and the F1 of each class as Graham et al. 2019 count them, over all images of the set. Tissue: Dice of each
class, and the share of "gland" where no pixel is one. --fill lays black, grey and white halves over the tiles instead,
and says how much of them the network alone takes for nuclei.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.images import read_image, read_instances_of, read_label_of
from coseg_bundle.evaluation.counts import count_nuclei
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import centroids_xy, dice
from coseg_bundle.metrics.contingency import contingency
from coseg_bundle.metrics.matching import match_points
from coseg_bundle.networks.about import About

RADIUS_UM = 3.0


def main() -> None:
    """Scores set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--fill", action="store_true")
    given = parser.parse_args()
    predictor = Predictor.from_bundle(None, given.weights, "cpu", precision=given.precision)
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in load_datalist(given.datalist, "validation"):
        if not given.sets or item["dataset"] in given.sets:
            sets[item["dataset"]].append(item)
    for name, items in sets.items():
        for line in filled(predictor, items) if given.fill else scored(predictor, items):
            print(f"{name} ({len(items)}): {line}", flush=True)


def scored(predictor: Predictor, items: list[dict[str, Any]]) -> list[str]:
    """Lines on one set."""
    nuclei, tissue, empty_of_gland, pairs = [], [], [], []
    about = About.of_file(predictor.weights) if predictor.weights else None
    merge = (about.training if about else {}).get("nuclei_merge") or {}
    for item in items:
        image = read_image(item[keys.IMAGE])
        shape = (image.rgb.shape[0], image.rgb.shape[1])
        mpp = item.get(keys.MPP)
        found = predictor.predict(image.rgb, mpp)
        if keys.INSTANCES in item:
            truth, _ = read_instances_of(image.path, shape, item[keys.INSTANCES])
            scores = count_nuclei(found.instance_map, truth).scores()
            nuclei.append([scores[key] for key in ("nuclei_pq", "nuclei_aji", "nuclei_dice")])
            if keys.TYPES in item:
                table = np.asarray(merge.get(item["dataset"], range(256)))
                types = table[read_label_of(image.path, shape, item[keys.TYPES])]
                pairs.append(paired(found, truth, types, RADIUS_UM / (mpp or 0.25)))
        if keys.TISSUE in item:
            label = read_label_of(image.path, shape, item[keys.TISSUE])
            known = label != UNLABELLED
            pred, label = np.where(known, found.tissue_map, 0), np.where(known, label, 0)
            if (label == 1).any():
                tissue.append(dice(pred, label, range(len(predictor.tissue_classes.names))))
            else:
                empty_of_gland.append((found.tissue_map == 1).mean())
    lines = []
    if nuclei:
        lines.append("PQ {:.3f}, AJI {:.3f}, Dice {:.3f}".format(*np.mean(nuclei, axis=0)))
    if pairs:
        lines.append(class_f1(pairs, predictor.nuclei_classes.names))
    if tissue:
        names = zip(predictor.tissue_classes.names, np.nanmean(tissue, axis=0), strict=True)
        lines.append("tissue Dice " + ", ".join(f"{name} {value:.3f}" for name, value in names))
    if empty_of_gland:
        worst, mean = 100 * max(empty_of_gland), 100 * np.mean(empty_of_gland)
        tiles = len(empty_of_gland)
        lines.append(f"called gland without any: {mean:.2f} %, worst tile {worst:.1f} % ({tiles} tiles)")
    return lines


def paired(
    found: Any, truth: NDArray[np.int32], types: NDArray[np.int32], radius_px: float
) -> tuple[NDArray[Any], ...]:
    """Classes of matched nuclei (predicted, true), of those found only and of those missed; those that nobody labelled
    are neither. A nucleus of type 0 has no class."""
    ids = np.unique(truth[truth > 0])
    true_xy = centroids_xy(truth)
    inside = truth > 0
    votes = np.zeros((truth.max(initial=0) + 1, 256), int)
    np.add.at(votes, (truth[inside], types[inside].clip(0, 255)), 1)
    of_id = np.where(votes[:, 1:].any(axis=1), votes[:, 1:].argmax(axis=1) + 1, UNLABELLED)
    true_types, table = of_id[ids], found.instances
    columns, rows = match_points(table.centroid_xy, true_xy, radius_px)[0].T
    judged = contingency(found.instance_map, truth).pred_ids - 1
    alone = np.setdiff1d(judged, rows), np.setdiff1d(np.arange(len(ids)), columns)
    return table.type_id[rows], true_types[columns], table.type_id[alone[0]], true_types[alone[1]]


def class_f1(pairs: list[tuple[NDArray[Any], ...]], names: tuple[str, ...]) -> str:
    """F1 of detection and of each class (Graham et al. 2019, section 4.2, weights 2, 2, 1, 1); what is found where the
    true nucleus has no class is in no class's score."""
    pred, true, extra, missed = (np.concatenate(column) for column in zip(*pairs, strict=True))
    parts = [f"detection F1 {2 * len(pred) / (2 * len(pred) + len(extra) + len(missed)):.3f}"]
    for number, name in enumerate(names[1:], start=1):
        tp = int(((pred == number) & (true == number)).sum())
        fp, fn = (
            int(((pred == number) & ~np.isin(true, (number, UNLABELLED))).sum()),
            int(((pred != number) & (true == number)).sum()),
        )
        alone = int((extra == number).sum() + (missed == number).sum())
        parts.append(f"{name} {2 * tp / max(2 * tp + 2 * fp + 2 * fn + alone, 1):.3f}")
    return ", ".join(parts)


def filled(predictor: Predictor, items: list[dict[str, Any]]) -> list[str]:
    """Nuclei on a half that holds nothing, by what the network alone says."""
    lines = []
    for grey in (0, 40, 80, 160, 255):
        shares = []
        for item in items:
            rgb = read_image(item[keys.IMAGE]).rgb.copy()
            half = np.s_[:, rgb.shape[1] // 2 :]
            rgb[half] = grey
            pred = predictor.postprocessing(predictor.infer(rgb))
            shares.append(((pred.instance_map[half] > 0).mean(), (pred.tissue_map[half] == 0).mean()))
        nuclei, empty = np.transpose(shares)
        worst = f"nuclei on {100 * nuclei.max():.2f} % of the worst"
        lines.append(f"grey {grey}: {worst}, empty {100 * empty.mean():.1f} %")
    return lines


if __name__ == "__main__":
    main()

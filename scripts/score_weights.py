"""Scores weights on the validation images of a datalist, set by set, as `coseg predict` gives them.

python scripts/score_weights.py DATALIST [--weights FILE] [--precision fp32]

Nuclei: PQ, AJI and Dice, means over images. Classes, where the labels have some: detection F1 within 3 um (12 px at
0.25 mpp) and the F1 of each class as Graham et al. 2019 count them, over all images of the set. Tissue: Dice of each
class, means over images, and the share of "gland" where no pixel is one, in place of its Dice. Which id is which class
is told as by `coseg evaluate`, which also says what is not scored. --fill lays black, grey and white halves over the
tiles instead, and says how much of them the network alone takes for nuclei. --jpeg compresses the tiles once more,
colours at half resolution, as a conversion does.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, place_of
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.images import read_image
from coseg_bundle.evaluation.counts import count_nuclei
from coseg_bundle.evaluation.scored import Scored, scored_items
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import centroids_xy, dice
from coseg_bundle.metrics.contingency import contingency
from coseg_bundle.metrics.matching import match_points
from coseg_bundle.networks.about import About
from coseg_bundle.transforms import LoadHistologyd

RADIUS_UM = 3.0


def main() -> None:
    """Scores set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--jpeg", type=int, metavar="QUALITY")
    given = parser.parse_args()
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        predictor = Predictor.from_bundle(None, given.weights, "cpu", precision=given.precision)
        scorable = None if given.fill else scorable_of(predictor, given.datalist)
        every = load_datalist(given.datalist, "validation") if scorable is None else scorable.items
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    for item in every:
        sets[str(item.get(keys.DATASET) or given.datalist.stem)].append(item)
    if unknown := sorted({*(given.sets or sets)} - {*sets}):
        raise SystemExit(f"No validation image is of {', '.join(unknown)}; expected some of {', '.join(sorted(sets))}.")
    for note in () if scorable is None else scorable.notes:
        print(note)
    for name in given.sets or sets:
        items = sets[name]
        for line in filled(predictor, items) if scorable is None else scored(predictor, items, scorable, given.jpeg):
            print(f"{name} ({len(items)}): {line}", flush=True)


def scorable_of(predictor: Predictor, datalist: Path) -> Scored:
    """Which labels of the validation images the network has an answer to, and which of its classes each id is."""
    about = About.of_file(predictor.weights) if predictor.weights else None
    names = predictor.tissue_classes.names, predictor.nuclei_classes.names
    training = None if about is None else about.training
    return scored_items(str(datalist), "validation", *names, untrained=predictor.untrained, training=training)


def scored(
    predictor: Predictor, items: list[dict[str, Any]], scorable: Scored, quality: int | None = None
) -> list[str]:
    """Lines on one set, its tiles compressed once more where a quality is given."""
    nuclei, tissue, pairs = [], [], []
    load = LoadHistologyd(
        len(predictor.tissue_classes),
        len(predictor.nuclei_classes) - 1,
        tissue_merge=scorable.tissue_merge,
        nuclei_merge=scorable.nuclei_merge,
    )
    for item in items:
        mpp = item.get(keys.MPP)
        truth = {key: value[0].numpy() for key, value in load(item).items() if key in keys.LABELS and key in item}
        rgb = read_image(item[keys.IMAGE]).rgb
        found = predictor.predict(rgb if quality is None else compressed(rgb, quality), mpp)
        if keys.INSTANCES in truth:
            scores = count_nuclei(found.instance_map, truth[keys.INSTANCES]).scores()
            nuclei.append([scores[key] for key in ("nuclei_pq", "nuclei_aji", "nuclei_dice")])
            if keys.TYPES in truth:
                radius_px = RADIUS_UM / (mpp or predictor.mpp)
                pairs.append(paired(found, truth[keys.INSTANCES], truth[keys.TYPES], radius_px))
        if keys.TISSUE in truth:
            unknown = np.isin(found.tissue_map, scorable.tissue_unknown)
            tissue.append((np.where(unknown, 0, found.tissue_map), truth[keys.TISSUE]))
    lines = []
    if nuclei:
        lines.append("PQ {:.3f}, AJI {:.3f}, Dice {:.3f}".format(*np.mean(nuclei, axis=0)))
    if pairs:
        lines.append(class_f1(pairs, predictor.nuclei_classes.names, scorable.types_unknown))
    return lines + tissue_lines(tissue, predictor.tissue_classes.names, scorable.tissue_unknown)


def compressed(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """A tile after JPEG."""
    with io.BytesIO() as file:
        Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=2)
        return np.asarray(Image.open(file))


def tissue_lines(
    maps: list[tuple[NDArray[Any], NDArray[Any]]], names: tuple[str, ...], unknown: tuple[int, ...] = ()
) -> list[str]:
    """Dice of each class that the labels know, from predicted and true maps; of glands in images that have some."""
    gland = place_of("gland", names)
    scores, shares = [], []
    for pred, label in maps:
        scores.append(dice(pred, label, range(len(names))))
        known = label != UNLABELLED
        if gland is not None and known.any() and not (label == gland).any():
            scores[-1][gland] = np.nan
            shares.append((pred[known] == gland).mean())
    columns = [column[~np.isnan(column)] for column in np.transpose(scores)]
    listed = [
        (name, column.mean()) for i, name, column in zip(count(), names, columns) if i not in unknown and len(column)
    ]
    lines = ["tissue Dice " + ", ".join(f"{name} {value:.3f}" for name, value in listed)] if listed else []
    if shares and gland not in unknown:
        worst, mean = 100 * max(shares), 100 * np.mean(shares)
        lines.append(f"called gland without any: {mean:.2f} %, worst tile {worst:.1f} % ({len(shares)} tiles)")
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


def class_f1(pairs: list[tuple[NDArray[Any], ...]], names: tuple[str, ...], unknown: tuple[int, ...] = ()) -> str:
    """F1 of detection and of each class that the labels know (Graham et al. 2019, section 4.2, weights 2, 2, 1, 1);
    what is found where the true nucleus has no class is in no class's score."""
    pred, true, extra, missed = (np.concatenate(column) for column in zip(*pairs, strict=True))
    parts = [f"detection F1 {2 * len(pred) / max(2 * len(pred) + len(extra) + len(missed), 1):.3f}"]
    for number, name in enumerate(names):
        if number in (0, *unknown):
            continue
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

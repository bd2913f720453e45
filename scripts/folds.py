"""Trains in folds with and without prompts, so that every labelled image is scored by networks that never saw it.

Each dataset that the datalist validates is dealt out to the folds, training and validation images alike; the others
are always trained on. A fold is validated once, at the end, so that its images choose nothing. Prints the comparison of
`coseg compare`: A without prompts, B with them, over the images of all folds.

python scripts/folds.py DATALIST OUTPUT --preset configs/presets/mini_open.yaml      goes on where it was
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from coseg_bundle import keys
from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.commands.training.settings import parse_settings
from coseg_bundle.data.datalist import SECTIONS, load_datalist, read_class_tables, write_datalist
from coseg_bundle.data.images import stem_of
from coseg_bundle.evaluation.ablation import Run, check_settings, plan, run_ladder
from coseg_bundle.evaluation.compare import compare, format_differences, read_report

PAIR = {"without": "+ C", "with": "+ P + D + C"}
"""Rung of the ablation without prompts and with them."""

SCORES = ("nuclei_pq", "nuclei_aji", "nuclei_dice", "tissue_dice")


def deal(datalist: dict[str, list[dict[str, Any]]], folds: int) -> list[dict[str, list[dict[str, Any]]]]:
    """Datalists of the folds: in turn, by file name, each image of the validated datasets is validated once.

    Raises:
        ValueError: There are fewer than two folds, more than images, or two images of one name.
    """
    if folds < 2:
        raise ValueError(f"Expected at least 2 folds, got {folds}.")
    validated = {item.get(keys.DATASET) for item in datalist["validation"]}
    every = sorted(datalist["training"] + datalist["validation"], key=lambda item: Path(item[keys.IMAGE]).name)
    dealt = [item for item in every if item.get(keys.DATASET) in validated]
    if repeated := [name for name, times in Counter(stem_of(item[keys.IMAGE]) for item in dealt).items() if times > 1]:
        raise ValueError(f"Reports know images by their names, and several are called {repeated[0]}; rename them.")
    held_out: list[list[dict[str, Any]]] = [[] for _ in range(folds)]
    for name in sorted(validated, key=str):
        for number, item in enumerate(item for item in dealt if item.get(keys.DATASET) == name):
            held_out[number % folds].append(item)
    if not all(held_out):
        raise ValueError(f"Expected at least {folds} images in a validated dataset, one for each fold.")
    return [{"training": [i for i in every if i not in fold], "validation": fold} for fold in held_out]


def write_folds(datalist_file: Path, output: Path, folds: int) -> list[Path]:
    """Writes the datalist of each fold into a folder of its own; classes have the names that the whole list gives."""
    datalist = {section: load_datalist(datalist_file, section) for section in SECTIONS[:2]}
    classes = read_class_tables(datalist_file)
    files = []
    for number, fold in enumerate(deal(datalist, folds)):
        files.append(output / f"fold{number}" / "datalist.json")
        write_datalist(files[-1], fold, classes)
    return files


def pool(runs: Sequence[Run], folder: Path) -> Path:
    """One report of the images of all folds."""
    reports = [read_report(run.folder) for run in runs]
    images = {image: scores for report in reports for image, scores in report.scores.items()}
    labels = {image: checksums for report in reports for image, checksums in report.labels.items()}
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"per_image": images, "labels": labels}, indent=2) + "\n"
    (folder / "report.json").write_text(content, encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path, metavar="DATALIST")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--folds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: 1)")
    parser.add_argument("--preset", type=Path, help="overlay over configs/train.yaml")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="values of configs/train.yaml"
    )
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the trainings end with this process
    preset = yaml.safe_load(arguments.preset.read_text(encoding="utf-8")) if arguments.preset else None
    overrides = (preset or {}) | parse_settings(arguments.set) | {"val_interval": "@max_epochs"}
    runs: list[Run] = []
    for number, file in enumerate(write_folds(arguments.datalist, arguments.output, arguments.folds)):
        runs += plan(file.parent, file, [number], list(PAIR.values()))
    check_settings(runs, find_bundle_root(), overrides)
    list(tqdm(run_ladder(runs, find_bundle_root(), overrides, arguments.jobs), total=len(runs), unit="training"))
    folders = [pool([r for r in runs if r.rung == rung], arguments.output / name) for name, rung in PAIR.items()]
    without, with_prompts = map(read_report, folders)
    print(format_differences([line for line in compare(without, with_prompts) if line.name in SCORES]))
    print(f"A: {arguments.output / 'without'}, B: {arguments.output / 'with'}")


if __name__ == "__main__":
    main()

"""Trains on two half-labelled sets together and on each alone, the same steps, and compares on generated tissue.

One half of the training images has nuclei only, the other one tissue only; the validation images have both.

python scripts/half_labels.py OUTPUT --set crop_size=128 max_epochs=8      goes on where it was
"""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

from coseg_bundle import keys
from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.commands.training.settings import parse_settings
from coseg_bundle.data.datalist import read_datalist, write_datalist
from coseg_bundle.data.synthetic import write_dataset
from coseg_bundle.evaluation.ablation import LADDER, Run, check_settings, run_ladder
from coseg_bundle.evaluation.compare import read_report
from coseg_bundle.evaluation.counts import mean_over_images

SETS = {"nuclei": keys.INSTANCES, "tissue": keys.TISSUE}
"""Name of each half-labelled set, and the only label that it has."""

SCORES = {
    "nuclei": ("nuclei_pq", "nuclei_aji", "nuclei_dice"),
    "tissue": ("tissue_dice", "tissue_miou"),
}


def write_datalists(folder: Path, count: int, size: int) -> dict[str, Path]:
    """Generates tissue and writes the datalists of each half alone and of both."""
    datalist = read_datalist(write_dataset(folder / f"images_{size}px", count, size))
    images = datalist["training"]
    halves = {
        name: [{keys.IMAGE: item[keys.IMAGE], label: item[label], keys.DATASET: name} for item in images[part::2]]
        for part, (name, label) in enumerate(SETS.items())
    }
    paths = {}
    for name, training in {**halves, "both": [item for half in halves.values() for item in half]}.items():
        paths[name] = folder / f"{name}.json"
        write_datalist(paths[name], {"training": training, "validation": datalist["validation"]})
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--count", type=int, default=32, help="images, a quarter for validation (default: 32)")
    parser.add_argument("--size", type=int, default=256, help="side of an image, px (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="values of configs/train.yaml"
    )
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the trainings end with this process
    overrides = parse_settings(arguments.set)
    datalists = write_datalists(arguments.output, arguments.count, arguments.size)
    rung = list(LADDER)[-1]
    runs = {name: Run(rung, arguments.seed, path, arguments.output / name) for name, path in datalists.items()}
    check_settings(list(runs.values()), find_bundle_root(), overrides)
    list(run_ladder(list(runs.values()), find_bundle_root(), overrides))
    scores = {name: mean_over_images(list(read_report(run.folder).scores.values())) for name, run in runs.items()}
    print("| score | that set alone | both sets, the same steps | share |\n|---|---:|---:|---:|")
    for task, names in SCORES.items():
        for score in names:
            alone, both = scores[task][score], scores["both"][score]
            print(f"| {score} | {100 * alone:.2f} | {100 * both:.2f} | {100 * both / alone:.1f} % |")


if __name__ == "__main__":
    main()

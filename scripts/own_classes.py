"""What a training on one's own classes gives for how long: the quick profile beside the full one, over CPU minutes.

Both start from the shipped weights and take as many steps: the quick one its whole schedule of the learning rate, the
full one the beginning of its own. Prints a table: nuclei PQ (mean over the kept images) and F1 (mean of the classes,
pooled) after each validation, of each seed, and the shipped weights' PQ on the same images.

python scripts/own_classes.py DATA OUTPUT --kept STEM ...      DATA: images/ nuclei/ nuclei_type/; goes on where it was
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tifffile

from coseg_bundle import keys
from coseg_bundle.bundle_root import WEIGHTS, find_bundle_root
from coseg_bundle.data.datalist import scan_folder, write_datalist
from coseg_bundle.data.images import read_image, read_label
from coseg_bundle.handlers.progress_page import HISTORY

RECIPES = {"quick": ["--profile", "quick"], "full": ["iterations=4000"]}
"""Options by recipe; 4,000 steps are those of `configs/train.yaml`."""

_F1 = "nuclei_f1_"


def commands(
    datalist: Path,
    output: Path,
    weights: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    validations: int,
    recipes: Sequence[str] = tuple(RECIPES),
) -> dict[tuple[str, int], list[str]]:
    """The trainings, by recipe and seed.

    Args:
        datalist: With training and validation.
        output: Gets a folder for each.
        weights: To start from.
        names: Nuclei classes, as `--nuclei-classes` takes them.
        seeds: One training each.
        steps: Of a training; batches of four.
        validations: How many there are on the way.
        recipes: Of `RECIPES`.
    """
    length = [f"epoch_length={4 * max(steps // validations, 1)}", f"max_epochs={validations}", "val_interval=1"]
    return {
        (recipe, seed): [
            *("train", str(datalist), *RECIPES[recipe], "--start-weights", str(weights)),
            *("--output", str(output / f"{recipe}_{seed}")),
            *("--nuclei-classes", *names, *length, "num_workers=0", f"seed={seed}"),
        ]
        for seed in seeds
        for recipe in recipes
    }


def middles(items: Sequence[Mapping[str, Any]], size: int, folder: Path) -> list[dict[str, Any]]:
    """Items of the middle of each image and label, so that a validation costs less.

    Args:
        items: Of a datalist, with absolute paths.
        size: Side of what is cut out, px.
        folder: Where it is written.
    """
    cut = []
    for item in items:
        new = dict(item)
        for key in {keys.IMAGE, *keys.LABELS} & item.keys():
            array = read_image(item[key]).rgb if key == keys.IMAGE else read_label(item[key])
            top, left = ((side - size) // 2 for side in array.shape[:2])
            path = folder / key / f"{Path(item[key]).stem}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array[top : top + size, left : left + size])
            new[key] = str(path)
        cut.append(new)
    return cut


def table(curves: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]], shipped: float) -> str:
    """The curves as Markdown."""
    lines = [f"The weights that they start from: nuclei PQ {shipped:.3f}.", ""]
    lines += [
        "| recipe | seed | step | CPU minutes | nuclei PQ | F1, mean of classes | F1 of each |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for (recipe, seed), rows in curves.items():
        for row in rows:
            of = {k.removeprefix(_F1): v or 0.0 for k, v in row["pooled"].items() if k.startswith(_F1)}
            f1 = f"{sum(of.values()) / len(of):.3f}" if of else "-"
            each = ", ".join(f"{name} {value:.2f}" for name, value in of.items())
            minutes, pq = row["cpu_seconds"] / 60, row["mean"]["nuclei_pq"]
            lines.append(f"| {recipe} | {seed} | {row['step']} | {minutes:.1f} | {pq:.3f} | {f1} | {each} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with images/, nuclei/ and nuclei_type/")
    parser.add_argument("output", type=Path, help="folder for the trainings")
    parser.add_argument("--kept", nargs="+", required=True, metavar="STEM", help="images for validation")
    parser.add_argument("--middle", type=int, metavar="PX", help="validate on the middle of the kept images only")
    parser.add_argument(
        "--weights", type=Path, default=find_bundle_root() / WEIGHTS, help="to start from (the shipped)"
    )
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: both")
    parser.add_argument("--classes", nargs="+", default=["1=other", "2=inflammatory", "3=epithelial", "4=spindle"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200, help="of each training (default: 200)")
    parser.add_argument("--validations", type=int, default=4, help="on the way (default: 4)")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    datalist = output / "datalist.json"
    listed = scan_folder(arguments.data.resolve(), holdout=arguments.kept)
    if arguments.middle:
        listed["validation"] = middles(listed["validation"], arguments.middle, output / "middles")
    write_datalist(datalist, listed)
    weights = arguments.weights.resolve()
    _run(["evaluate", str(datalist), "--weights", str(weights), "--output", str(output / "shipped")])
    shipped = json.loads((output / "shipped" / "report.json").read_text(encoding="utf-8"))["mean"]["nuclei_pq"]
    steps = arguments.steps, arguments.validations
    runs = commands(datalist, output, weights, arguments.classes, arguments.seeds, *steps, arguments.recipes)
    for command in runs.values():
        _run(command)
    curves = {run: json.loads((output / f"{run[0]}_{run[1]}" / HISTORY).read_text(encoding="utf-8")) for run in runs}
    print(table(curves, shipped))


def _run(command: Sequence[str]) -> None:
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # so that CPU seconds are seconds of a core
    subprocess.run([sys.executable, "-m", "coseg_bundle.cli", *command], env={**os.environ, **one_thread}, check=True)


if __name__ == "__main__":
    main()

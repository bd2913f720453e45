"""The paper's Table 4: what the prompts (P), the mutual decoder (D) and co-segmentation (C) are worth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.cores import available_cores
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.image_io import read_image, stem_of
from coseg_bundle.evaluation.compare import read_per_image
from coseg_bundle.evaluation.counts import mean_over_images
from coseg_bundle.evaluation.report import evaluate, write_report

_SEPARATE = {"network_def::paradigm": "separate"}
_UNPROMPTED = {"network_def::prompting": "none", "network_def::rp_encoder": None, "layout::disagreement": False}
LADDER: dict[str, dict[str, Any]] = {
    "baseline": {**_SEPARATE, **_UNPROMPTED},
    "+ P": {**_SEPARATE, "network_def::prompting": "own"},
    "+ P + D": {**_SEPARATE, "network_def::prompting": "crossed"},
    "+ P + D + C": {"network_def::paradigm": "joint", "network_def::prompting": "crossed"},
}
"""Configuration of each rung of the paper's table; the last one is Co-Seg."""

RUNGS = LADDER | {"+ C": {"network_def::paradigm": "joint", **_UNPROMPTED}}
"""Those, and one that the paper leaves out: what the prompts alone are worth is the last rung's lead over it."""

COLUMNS = {
    "Dice": "tissue_dice",
    "mIoU": "tissue_miou",
    "HD": "tissue_hd",
    "F1": "nuclei_f1",
    "Prec.": "nuclei_precision",
    "Rec.": "nuclei_recall",
    "AJI": "nuclei_aji",
    "PQ": "nuclei_pq",
}
_IN_PIXELS = ("tissue_hd",)


@dataclass(frozen=True)
class Run:
    """One training of the ladder.

    Attributes:
        rung: Name in `RUNGS`.
        seed: Its seed.
        folder: Its results.
    """

    rung: str
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it is trained and scored."""
        return (self.folder / "report.json").is_file()


def plan(output: Path, seeds: Sequence[int], rungs: Sequence[str] = tuple(LADDER)) -> list[Run]:
    """All runs, seed by seed, so that an interrupted ablation has whole ladders.

    Raises:
        ValueError: A rung is unknown.
    """
    if unknown := set(rungs) - set(RUNGS):
        raise ValueError(f"Unknown rungs {sorted(unknown)}; expected some of {list(RUNGS)}.")
    names = {rung: rung.replace("+", "").replace("  ", "_").strip().replace(" ", "_") or rung for rung in rungs}
    return [Run(rung, seed, output / f"{names[rung]}_seed{seed}") for seed in seeds for rung in rungs]


def run_ladder(
    runs: Sequence[Run], bundle_root: Path, datalist: Path, overrides: Mapping[str, Any], jobs: int = 1
) -> Iterator[Run]:
    """Trains and scores what is not done yet; a training that was cut goes on.

    Args:
        runs: Of `plan`.
        bundle_root: The bundle's folder.
        datalist: Datalist with `training` and `validation`.
        overrides: Values of `configs/train.yaml` for all runs, by id.
        jobs: Trainings at a time; they share the cores.

    Yields:
        Each run when it is done.

    Raises:
        ChildProcessError: A training failed; the message names its log. Those that run beside it end first.
    """
    yield from (run for run in runs if run.done)
    todo = [run for run in dict.fromkeys(runs) if not run.done]
    jobs = max(1, min(jobs, len(todo)))
    threads = max(1, available_cores() // jobs)
    children: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(jobs) as pool:
        started = [pool.submit(_complete, run, bundle_root, datalist, overrides, threads, children) for run in todo]
        try:
            for finished in as_completed(started):
                yield finished.result()
        except (GeneratorExit, KeyboardInterrupt):
            for child in children:
                child.terminate()  # whoever stops the ladder does not wait for what runs; it goes on where it was
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _complete(
    run: Run,
    bundle_root: Path,
    datalist: Path,
    overrides: Mapping[str, Any],
    threads: int,
    children: list[subprocess.Popen[bytes]],
) -> Run:
    """Trains and scores one rung with one seed, each in a process of its own."""
    run.folder.mkdir(parents=True, exist_ok=True)
    config = [str(bundle_root / "configs" / "train.yaml"), str(run.folder / "overlay.json")]
    values = {**overrides, **RUNGS[run.rung], "seed": run.seed, "output_dir": str(run.folder)}
    values |= {"dataset_file": str(datalist.resolve()), "bundle_root": str(bundle_root)}
    (run.folder / "overlay.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    logging = ["--logging_file", str(bundle_root / "configs" / "logging.conf")]
    train = ["-m", "monai.bundle", "run", "training", "--config_file", str(config), *logging]
    for arguments in (train, ["-c", _SCORE, *config, run.rung, str(run.seed), str(run.folder)]):
        _call(arguments, run.folder / "log.txt", threads, children)
    return run


_SCORE = (
    "import sys; from pathlib import Path; from coseg_bundle.evaluation.ablation import Run, score;"
    "*config, rung, seed, folder = sys.argv[1:]; score(config, Run(rung, int(seed), Path(folder)))"
)


def _call(arguments: list[str], log: Path, threads: int, children: list[subprocess.Popen[bytes]]) -> None:
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    with log.open("a", encoding="utf-8") as file:
        command = [sys.executable, *arguments]
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment) as child:
            children.append(child)
            code = child.wait()
            children.remove(child)
    if code:
        raise ChildProcessError(f"A training failed with exit code {code}; its log is {log}.")


def score(config: list[str], run: Run) -> None:
    """Predicts the validation images with a run's released weights and writes its report."""
    import tifffile
    import torch
    from monai.bundle import ConfigParser

    from coseg_bundle.networks import load_weights

    parser = ConfigParser()
    parser.read_config(config)
    parser["network_def::image_encoder::lora_rank"] = 0  # released weights have LoRA merged away
    network = parser.get_parsed_content("network").eval()
    load_weights(network, run.folder / "model.pt")
    inferer, segmentation = parser.get_parsed_content("validate::inferer"), parser.get_parsed_content("segmentation")
    items = load_datalist(parser.get_parsed_content("dataset_file"), "validation")
    for item in items:
        rgb = torch.from_numpy(read_image(item[keys.IMAGE]).rgb).permute(2, 0, 1)[None]
        with torch.inference_mode():
            pred = inferer(rgb.to(next(network.parameters()).device).float() / 255, network)
        instance_map, tissue_map = segmentation.maps(pred[0].float().cpu().numpy())
        folder = run.folder / "predictions" / stem_of(item[keys.IMAGE])
        folder.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / "instances.tif", instance_map.astype(np.uint32), compression="deflate")
        tifffile.imwrite(folder / "tissue.tif", tissue_map, compression="deflate")
    classes = parser.get_parsed_content("tissue_classes"), parser.get_parsed_content("nuclei_classes")
    *_, report = evaluate(items, run.folder / "predictions", *classes)
    write_report(report, run.folder, f"{run.rung}, seed {run.seed}")


def table(runs: Sequence[Run]) -> str:
    """The paper's Table 4 as Markdown: mean over images, then mean and standard deviation over seeds."""
    lines = [f"| | seeds | {' | '.join(COLUMNS)} |", "|---|---:|" + "---:|" * len(COLUMNS)]
    for rung in dict.fromkeys(run.rung for run in runs):
        means = [
            mean_over_images(list(read_per_image(run.folder).values())) for run in runs if run.rung == rung and run.done
        ]
        cells = [_cell(name, [scores[name] for scores in means if name in scores]) for name in COLUMNS.values()]
        lines.append(f"| {rung} | {len(means)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, values: list[float]) -> str:
    values = [value for value in values if not np.isnan(value)]
    if not values:
        return "-"
    factor = 1 if name in _IN_PIXELS else 100
    spread = f" ± {factor * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{factor * np.mean(values):.2f}{spread}"


def write_table(runs: Sequence[Run], path: Path) -> None:
    """Writes the table of what is done."""
    with whole_file(path) as partial:
        partial.write_text("# Ablation (the paper's Table 4)\n\n" + table(runs), encoding="utf-8")

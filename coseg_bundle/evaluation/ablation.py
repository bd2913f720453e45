"""The paper's Table 4: what the prompts (P), the mutual decoder (D) and co-segmentation (C) are worth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.atomic import not_replaced, whole_file
from coseg_bundle.data.datalist import contents, read_class_tables, read_datalist
from coseg_bundle.engine.cores import available_cores
from coseg_bundle.evaluation.compare import read_report
from coseg_bundle.evaluation.counts import DISTANCES, UNIT, mean_over_images

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
_TITLE = "# Ablation (the paper's Table 4)"
_OVERLAY, _IMAGES = "overlay.json", "images.json"  # in a run's folder: its values of train.yaml, and its datalist
_CONTENT = "content of images and labels"  # in what `check_same_run` writes


@dataclass(frozen=True)
class Run:
    """One training of the ladder.

    Attributes:
        rung: Name in `RUNGS`.
        seed: Its seed.
        datalist: Its `training` and `validation` images.
        folder: Its results.
    """

    rung: str
    seed: int
    datalist: Path
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it is trained and scored."""
        return (self.folder / "report.json").is_file()


def plan(output: Path, datalist: Path, seeds: Sequence[int], rungs: Sequence[str] = tuple(LADDER)) -> list[Run]:
    """All runs of one datalist, seed by seed, so that an interrupted ablation has whole ladders.

    Raises:
        ValueError: A rung is unknown.
    """
    if unknown := set(rungs) - set(RUNGS):
        raise ValueError(f"Unknown rungs {sorted(unknown)}; expected some of {list(RUNGS)}.")
    names = {rung: rung.replace("+", "").replace("  ", "_").strip().replace(" ", "_") or rung for rung in rungs}
    return [Run(rung, seed, datalist, output / f"{names[rung]}_seed{seed}") for seed in seeds for rung in rungs]


def run_ladder(runs: Sequence[Run], bundle_root: Path, overrides: Mapping[str, Any], jobs: int = 1) -> Iterator[Run]:
    """Trains and scores what is not done yet; a training that was cut goes on.

    Args:
        runs: Of `plan`.
        bundle_root: The bundle's folder.
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
    children = _Children(threads)
    with ThreadPoolExecutor(jobs) as pool:
        started = [pool.submit(_complete, run, bundle_root, overrides, children) for run in todo]
        try:
            for finished in as_completed(started):
                yield finished.result()
        except (GeneratorExit, KeyboardInterrupt):
            children.end()  # whoever stops the ladder does not wait for what runs; it goes on where it was
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _complete(run: Run, bundle_root: Path, overrides: Mapping[str, Any], children: _Children) -> Run:
    """Trains and scores one rung with one seed, each in a process of its own."""
    begin(run, bundle_root, overrides)
    config = [str(bundle_root / "configs" / "train.yaml"), str(run.folder / _OVERLAY)]
    logging = ["--logging_file", str(bundle_root / "configs" / "logging.conf")]
    train = ["-m", "monai.bundle", "run", "training", "--config_file", str(config), *logging]
    for arguments in (train, ["-c", _SCORE, *config, str(run.folder), f"{run.rung}, seed {run.seed}"]):
        children.call(arguments, run.folder / "log.txt")
    return run


def begin(run: Run, bundle_root: Path, overrides: Mapping[str, Any]) -> None:
    """Writes down what a run is trained with and on, for its configuration and for `check_settings`."""
    run.folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((_OVERLAY, _values(run, bundle_root, overrides)), (_IMAGES, _data(run.datalist))):
        with whole_file(run.folder / name) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _values(run: Run, bundle_root: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's configuration has in place of `train.yaml`'s values."""
    values = {**overrides, **RUNGS[run.rung], "seed": run.seed, "output_dir": str(run.folder)}
    return values | {"dataset_file": str(run.datalist.resolve()), "bundle_root": str(bundle_root)}


def check_settings(runs: Sequence[Run], bundle_root: Path, overrides: Mapping[str, Any]) -> None:
    """Refuses what would mix two ablations in one table.

    Raises:
        ValueError: A folder holds a run with other settings, images, labels or names of classes; or a setting is one
            that the ablation gives its runs.
    """
    if own := sorted({name for run in runs for name in _values(run, bundle_root, {})} & overrides.keys()):
        raise ValueError(
            f"--set has {', '.join(own)}, which the ablation sets itself; leave it out: --seeds, --rungs, --datalist, "
            "--output and --bundle say it."
        )
    content = cache(contents)  # one datalist for all runs, most often
    for run in runs:
        if not (run.folder / _OVERLAY).is_file():
            continue
        before, now = _read(run.folder / _OVERLAY), _values(run, bundle_root, overrides)
        now = json.loads(json.dumps(now))
        places = {"bundle_root", "output_dir", "dataset_file"}  # where things lie, however they are spelled
        if changed := sorted(name for name in {*before, *now} - places if before.get(name) != now.get(name)):
            raise ValueError(
                f"{run.folder} was begun with another value of {', '.join(changed)}; give the same --set, or another "
                "output folder."
            )
        if _has_other_data(run, content):
            raise ValueError(
                f"{run.folder} was begun with other images, labels or names of classes than {run.datalist} has now; "
                "give the same, or another output folder."
            )


def _data(datalist: Path) -> dict[str, Any]:
    """What a datalist says: its images and labels by section, and the names of classes."""
    return {**read_datalist(datalist), "classes": read_class_tables(datalist)}


def _has_other_data(run: Run, content: Callable[[Path], str]) -> bool:
    """Whether a datalist, or what is in its files, was another when a run began; former runs do not say all of it."""
    listed, record, now = run.folder / _IMAGES, run.folder / "checkpoints" / "run.json", _data(run.datalist)
    if listed.is_file() and any(now[name] != value for name, value in _read(listed).items()):
        return True
    trained_on = _read(record).get(_CONTENT) if record.is_file() else None
    return trained_on is not None and trained_on != content(run.datalist)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class _Children:
    """The processes of a ladder, which end together.

    Args:
        threads: Threads of each.
    """

    def __init__(self, threads: int) -> None:
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def call(self, arguments: list[str], log: Path) -> None:
        """Runs Python with arguments to its end; what it prints is appended to a log.

        Raises:
            ChildProcessError: It failed, or all were ended.
        """
        with log.open("a", encoding="utf-8") as file:
            with self._lock:
                if self._ended:
                    raise ChildProcessError("The ladder was stopped.")
                child = subprocess.Popen(
                    [sys.executable, *arguments], stdout=file, stderr=subprocess.STDOUT, env=self.environment
                )
                self._running.add(child)
            code = child.wait()
            with self._lock:
                self._running.discard(child)
        if code:
            raise ChildProcessError(f"A training failed with exit code {code}; its log is {log}.")

    def end(self) -> None:
        """Ends what runs; nothing starts any more."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()


_SCORE = (
    "import sys; from pathlib import Path; from coseg_bundle.evaluation.ablation import score;"
    "*config, folder, title = sys.argv[1:]; score(config, Path(folder), title)"
)


def score(config: list[str], folder: Path, title: str) -> None:
    """Validates a folder's released weights as their training does, and writes the report there."""
    from monai.bundle import ConfigParser

    from coseg_bundle.networks import load_weights

    parser = ConfigParser()
    parser.read_config(config)
    parser["network_def::image_encoder::lora_rank"] = 0  # released weights have LoRA merged away
    parser["start"] = []  # the folder's weights take the place of those that its training started from
    parser["validate::evaluator::network"] = "@network"
    parser["validate::postprocessing::table"] = "$@nuclei_types > 0"
    parser["validate::handlers"] = [
        {
            "_target_": "coseg_bundle.handlers.ReportHandler",
            "output_dir": str(folder),
            "tissue_classes": "@tissue_classes",
            "nuclei_classes": "@nuclei_classes",
            "labels": {
                "_target_": "coseg_bundle.evaluation.scored.label_checksums",
                "items": "@validate::dataset::data",
                "dataset_file": "@dataset_file",
            },
            "title": title,
        }
    ]
    load_weights(parser.get_parsed_content("network"), folder / "model.pt")
    parser.get_parsed_content("validate::evaluator").run()


def table(runs: Sequence[Run]) -> str:
    """The paper's Table 4 as Markdown: mean over images, then mean and standard deviation over seeds."""
    lines = [f"| | seeds | {' | '.join(COLUMNS)} |", "|---|---:|" + "---:|" * len(COLUMNS)]
    for rung in dict.fromkeys(run.rung for run in runs):
        means = [
            mean_over_images(list(read_report(run.folder).scores.values()))
            for run in runs
            if run.rung == rung and run.done
        ]
        cells = [_cell(name, [scores[name] for scores in means if name in scores]) for name in COLUMNS.values()]
        lines.append(f"| {rung} | {len(means)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, values: list[float]) -> str:
    values = [value for value in values if not np.isnan(value)]
    if not values:
        return "-"
    factor = 1 if name in DISTANCES else 100
    spread = f" ± {factor * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{factor * np.mean(values):.2f}{spread}"


def check_table(path: Path) -> None:
    """Keeps the table from taking the place of another file.

    Raises:
        ValueError: There is one.
    """
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(_TITLE):
        raise ValueError(not_replaced(path, "ablation"))


def write_table(runs: Sequence[Run], path: Path) -> None:
    """Writes the table of what is done; `check_table` has let it pass."""
    with whole_file(path) as partial:
        partial.write_text(f"{_TITLE}\n\nPercent; distances in {UNIT}.\n\n{table(runs)}", encoding="utf-8")

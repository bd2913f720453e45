"""Train and score the ladder of the paper's Table 4: baseline, + P, + P + D, + P + D + C.

A further rung, + C, shares the encoder without any prompts. Every rung is trained with every seed by configs/train.yaml
and scored on the datalist's validation images. An interrupted ablation goes on where it was. Values of the training go
in with --set, for example --set max_epochs=10.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

_LADDER = ("baseline", "+ P", "+ P + D", "+ P + D + C")
_RUNGS = (*_LADDER, "+ C")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "--datalist", type=Path, required=True, metavar="FILE", help="datalist: training and validation"
    )
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="DIR", help="folder for runs and table")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="N",
        help="a training of each rung with each (default: 0 1 2)",
    )
    parser.add_argument(
        "--rungs",
        nargs="+",
        default=list(_LADDER),
        choices=_RUNGS,
        metavar="RUNG",
        help=f"some of {', '.join(_RUNGS)} (default: the first four)",
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings of configs/train.yaml"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="trainings at a time; the cores of this job by default, 1 with a GPU"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Runs what is not done and prints the table."""
    import torch
    from monai.bundle import ConfigParser
    from tqdm import tqdm

    from coseg_bundle.bundle_root import find_bundle_root
    from coseg_bundle.commands.training import settings
    from coseg_bundle.data.datalist import load_datalist
    from coseg_bundle.engine.cores import available_cores
    from coseg_bundle.evaluation.ablation import check_settings, check_table, plan, run_ladder, table, write_table

    if arguments.jobs is not None and arguments.jobs < 1:
        raise ValueError(f"Expected --jobs of at least 1, got {arguments.jobs}.")
    check_table(arguments.output / "table.md")
    overrides = settings.parse_settings(arguments.set)
    for section in ("training", "validation"):
        load_datalist(arguments.datalist, section)
    runs = plan(arguments.output, arguments.datalist, arguments.seeds, arguments.rungs)
    jobs = arguments.jobs or (1 if torch.cuda.is_available() else available_cores())
    bundle = find_bundle_root(arguments.bundle)
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "train.yaml"))
    settings.check_settings(parser.config, overrides)
    check_settings(runs, bundle, overrides)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the trainings end with this process
    with tqdm(total=len(runs), unit="training", desc="Ablation") as progress:
        for done in run_ladder(runs, bundle, overrides, jobs):
            check_settings(runs, bundle, overrides)  # a label may have been edited while they were trained
            write_table(runs, arguments.output / "table.md")
            progress.set_postfix_str(f"{done.rung}, seed {done.seed}")
            progress.update()
    print(table(runs))
    print(f"Written to {arguments.output / 'table.md'}")
    return 0

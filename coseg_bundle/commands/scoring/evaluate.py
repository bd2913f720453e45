"""Score a network, or a folder of predictions, on the labels of a datalist, with the paper's tables.

A network: --weights FILE segments the images at the network's resolution and scores that; it prints the command of
MONAI that does the same. Predictions: --predictions DIR. They are found by the stem of their image, FOLDER_STEM where
two have the same: the folders that `coseg predict` writes (STEM/instances.tif, STEM/tissue.tif), nuclei/STEM.* and
tissue/STEM.*, or STEM_inst.*, STEM_cp_masks.* and STEM_tissue.*; TIFF, PNG, NPY, NIfTI, MAT (inst_map), GeoJSON
(QuPath, CellViT, packed too), HoVer-Net's JSON, COCO and labelme. Writes report.json, per_image.csv and report.md, of
predictions also plots. The exit code is 1 if a prediction was missing or an image could not be scored; it is named, and
the others are scored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from coseg_bundle.commands.arguments import add_class_names, add_precision

_OF_PREDICTIONS = ("tissue_classes", "nuclei_classes", "min_tissue_area_px", "no_plots")
_OF_WEIGHTS = ("device", "precision")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("datalist", nargs="?", type=Path, metavar="DATALIST", help="datalist with labels")
    parser.add_argument("--truth", type=Path, metavar="DATALIST", help="DATALIST, as an option")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", type=Path, metavar="FILE", help="the network to score")
    what.add_argument("--predictions", type=Path, metavar="DIR", help="folder of predictions to score")
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="DIR", help="folder for the report")
    parser.add_argument(
        "--section",
        default="validation",
        choices=["training", "validation", "testing"],
        help="which images of the datalist to score (default: validation)",
    )
    add_class_names(parser, "of --predictions; the datalist's by default, then those of the bundle's weights")
    parser.add_argument(
        "--min-tissue-area-px",
        type=int,
        metavar="PX",
        help="of predictions: smaller regions leave the tissue's panoptic scores (default: 0)",
    )
    parser.add_argument("--no-plots", action="store_true", help="write no pictures")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    parser.add_argument("--device", help="of --weights: cpu, cuda, cuda:1, ...; the GPU if there is one")
    add_precision(parser)


def run(arguments: argparse.Namespace) -> int:
    """Scores and prints the tables."""
    from coseg_bundle.evaluation.report import check_report

    if (arguments.datalist is None) == (arguments.truth is None):
        raise ValueError("Expected one DATALIST: coseg evaluate DATALIST --weights FILE (or --predictions DIR).")
    arguments.truth = arguments.truth or arguments.datalist
    foreign = _OF_PREDICTIONS if arguments.weights else _OF_WEIGHTS
    if given := [name for name in foreign if getattr(arguments, name)]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{flags}: only for {'--predictions' if arguments.weights else '--weights'}.")
    check_report(arguments.output)
    return _score_network(arguments) if arguments.weights else _score_predictions(arguments)


def _score_network(arguments: argparse.Namespace) -> int:
    from coseg_bundle.bundle_root import find_bundle_root
    from coseg_bundle.commands.workflow import monai_command, run_workflow
    from coseg_bundle.data.datalist import load_datalist
    from coseg_bundle.inferers.predictor import usable_device
    from coseg_bundle.networks.checkpoints import read_weights
    from coseg_bundle.networks.weights_file import check_sum

    load_datalist(arguments.truth, arguments.section)
    weights = arguments.weights.expanduser().resolve()
    if weights.suffix.lower() == ".onnx":
        raise ValueError(
            f"{weights}: an ONNX file cannot be scored; give the model.pt that it was exported from, or segment the "
            "images with coseg predict and score those results with --predictions."
        )
    read_weights(weights)  # here, where an error is one sentence
    check_sum(weights)
    root = find_bundle_root(arguments.bundle)
    settings: dict[str, Any] = {
        "dataset_file": str(arguments.truth.expanduser().resolve()),
        "section": arguments.section,
        "weights": str(weights),
        "output_dir": str(arguments.output.expanduser().resolve()),
        "bundle_root": str(root),
    }
    settings |= {name: str(getattr(arguments, name)) for name in _OF_WEIGHTS if getattr(arguments, name)}
    if arguments.device:
        settings["device"] = str(usable_device(arguments.device))
    configs = [root / "configs" / "evaluate.yaml"]
    print(monai_command("evaluating", configs, settings), flush=True)
    run_workflow("evaluating", configs, settings)
    print((arguments.output / "report.md").read_text(encoding="utf-8"))
    print(f"Written to {arguments.output}")
    return 1 if json.loads((arguments.output / "report.json").read_text(encoding="utf-8"))["failed"] else 0


def _score_predictions(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from coseg_bundle.data.classes import KINDS
    from coseg_bundle.data.datalist import load_datalist
    from coseg_bundle.evaluation.prediction_files import names_of
    from coseg_bundle.evaluation.report import evaluate, markdown, write_report
    from coseg_bundle.evaluation.scored import label_checksums
    from coseg_bundle.inferers.configuration import class_names

    if not arguments.predictions.is_dir():
        raise ValueError(f"{arguments.predictions} is no folder; give the folder of predictions.")
    items = load_datalist(arguments.truth, arguments.section)
    named = {kind: _names(arguments, kind) for kind in KINDS}
    classes = {kind: names or list(class_names(kind, arguments.bundle)) for kind, names in named.items()}
    smallest, by_name = arguments.min_tissue_area_px or 0, bool(named["tissue_classes"])
    reports = evaluate(items, arguments.predictions, **classes, min_tissue_area_px=smallest, tissue_by_name=by_name)
    *_, report = tqdm(reports, total=len(items), unit="image", desc="Scoring")
    scored = {name: item for name, item in zip(names_of(items), items, strict=True) if name in report.per_image}
    report.labels = dict(zip(scored, label_checksums(scored.values(), arguments.truth).values(), strict=True))
    for kind, key in KINDS.items():
        if not named[kind] and any(key in item for item in items):
            counted = ", ".join(f"{number} {name}" for number, name in enumerate(classes[kind]))
            what, option = kind.removesuffix("_classes"), kind.replace("_", "-")
            report.notes.append(f"the datalist names no classes of {what}: ids count as {counted} (--{option})")
    title = f"{arguments.predictions} against {arguments.truth} ({arguments.section})"
    write_report(report, arguments.output, title)
    if not arguments.no_plots:
        from coseg_bundle.evaluation.plots import write_plots

        write_plots(report, items, arguments.predictions, arguments.output, **classes)
    print(markdown(report, title))
    print(f"Written to {arguments.output}")
    return 1 if report.missing or report.failed else 0


def _names(arguments: argparse.Namespace, kind: str) -> list[str]:
    """Class names by label id, of the command or the datalist; none where nobody gives any.

    Raises:
        ValueError: Both do, and give a class another id.
    """
    from coseg_bundle.data.classes import class_names_of, names_by_id, told_by_name

    of_list = class_names_of(arguments.truth, kind, ())
    given = names_by_id(texts, kind) if (texts := getattr(arguments, kind)) else []
    told = told_by_name(of_list, given) if given and of_list else None
    if told is not None and told != list(range(len(told))):
        raise ValueError(
            f"{arguments.truth} names the {kind} {', '.join(of_list)}, and the command {', '.join(given)}: leave the "
            "option out, or change the names in the datalist."
        )
    return given or of_list

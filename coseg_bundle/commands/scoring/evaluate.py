"""Score predictions against a datalist, with the paper's tables.

Predictions are found by the stem of their image: the folders that `coseg predict` writes (STEM/instances.tif,
STEM/tissue.tif), nuclei/STEM.* and tissue/STEM.*, or STEM_inst.*, STEM_cp_masks.* and STEM_tissue.*; TIFF, PNG, NPY,
NIfTI, MAT (inst_map), GeoJSON (QuPath, CellViT, packed too), HoVer-Net's JSON, COCO and labelme. Writes report.json,
per_image.csv, report.md and plots. The exit code is 1 if a prediction was missing or an image could not be scored; it
is named, and the others are scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--predictions", type=Path, required=True, metavar="DIR", help="folder of predictions")
    parser.add_argument("--truth", type=Path, required=True, metavar="DATALIST", help="datalist with labels")
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="DIR", help="folder for the report")
    parser.add_argument("--section", default="validation", choices=["training", "validation", "testing"])
    parser.add_argument("--tissue-classes", nargs="+", metavar="NAME", help="background first; the bundle's by default")
    parser.add_argument("--nuclei-classes", nargs="+", metavar="NAME", help="background first; the bundle's by default")
    parser.add_argument(
        "--min-tissue-area-px",
        type=int,
        default=0,
        metavar="PX",
        help="smaller regions leave the tissue's panoptic scores",
    )
    parser.add_argument("--no-plots", action="store_true", help="write no pictures")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Scores and prints the tables."""
    from tqdm import tqdm

    from coseg_bundle.bundle_root import class_names
    from coseg_bundle.data.datalist import load_datalist
    from coseg_bundle.evaluation.report import evaluate, markdown, write_report

    if not arguments.predictions.is_dir():
        raise ValueError(f"{arguments.predictions} is no folder; give the folder of predictions.")
    items = load_datalist(arguments.truth, arguments.section)
    classes = {
        kind: getattr(arguments, kind) or class_names(kind, arguments.bundle)
        for kind in ("tissue_classes", "nuclei_classes")
    }
    reports = evaluate(items, arguments.predictions, **classes, min_tissue_area_px=arguments.min_tissue_area_px)
    *_, report = tqdm(reports, total=len(items), unit="image", desc="Scoring")
    title = f"{arguments.predictions} against {arguments.truth} ({arguments.section})"
    write_report(report, arguments.output, title)
    if not arguments.no_plots:
        from coseg_bundle.evaluation.plots import write_plots

        write_plots(report, items, arguments.predictions, arguments.output, **classes)
    print(markdown(report, title))
    print(f"Written to {arguments.output}")
    return 1 if report.missing or report.failed else 0

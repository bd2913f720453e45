"""Segment images into tissue regions and nuclei.

Writes for each image DIR/<name>/ (DIR/a.png/ for a.png): instances.tif (uint32), tissue.tif (uint8), nuclei.geojson
and tissue.geojson (for QuPath), nuclei.csv, overlay.png and summary.json. A file that cannot be used does not stop the
others; it is listed at the end and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coseg_bundle.commands.arguments import add_engine, add_precision, positive_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, TIFF or NIfTI files, or folders of them")
    parser.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--mpp",
        type=positive_number,
        help="microns per pixel of the images (0.25 at 40x, 0.5 at 20x); without it what the file says, and where it "
        "says nothing the network's own resolution",
    )
    parser.add_argument(
        "--flips", action="store_true", help="average over four mirrored copies: four times slower, a little better"
    )
    parser.add_argument("--nifti", action="store_true", help="write NIfTI volumes too, for 3D Slicer")
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave images alone that have results already, made from the same image and settings",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="with --skip-existing: make results anew that were made from another image or with other settings; "
        "without it they are refused",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights (or ONNX file) instead of the bundle's")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    add_engine(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    add_precision(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predicts; 1 if any file failed."""
    from tqdm import tqdm

    from coseg_bundle.inferers import Predictor
    from coseg_bundle.inferers.predict_files import collect_images, failures, predict_files

    files = collect_images(arguments.images)
    predictor = Predictor.from_bundle(
        arguments.bundle,
        arguments.weights,
        arguments.device,
        arguments.engine,
        arguments.precision,
        flips=arguments.flips,
    )
    results = predict_files(
        predictor,
        files,
        arguments.output,
        mpp=arguments.mpp,
        nifti=arguments.nifti,
        skip_existing=arguments.skip_existing,
        overwrite=arguments.overwrite,
    )
    done = []
    with tqdm(results, total=len(files), unit="image", desc="Segmenting", disable=len(files) < 2) as progress:
        for result in progress:
            done.append(result)
            progress.write(describe(result), file=sys.stdout)
    failed = failures(done)
    if failed:
        print(f"\n{len(failed)} of {len(files)} images failed:", file=sys.stderr)
        for result in failed:
            print(f"  {result.error}", file=sys.stderr)
    return 1 if failed else 0


def describe(result) -> str:  # type: ignore[no-untyped-def]  # FileResult would import much
    """One line about a file."""
    from coseg_bundle.writers.summary import listed_doubts

    if result.error:
        return f"{result.path}: failed"
    summary = result.summary
    doubted = "".join(f"; {doubt} (--mpp)" for doubt in listed_doubts(summary))
    if result.skipped:
        return f"{result.path}: results are in {result.folder} already{doubted}"
    unknown = "" if summary["mpp"] else f"; resolution unknown, taken as {summary['network_mpp']} um/px (see --mpp)"
    unknown += "".join(f"; {note}" for note in summary.get("read_as", ()))
    if summary.get("unscanned_px"):
        unknown += f"; {summary['unscanned_px']} px not in the file"
    unknown += doubted
    if summary.get("untrained"):
        unknown += f"; left out, the weights were trained without labels for it: {', '.join(summary['untrained'])}"
    return (
        f"{result.path}: {summary['nuclei']} nuclei -> {result.folder} ({summary['seconds']['predict']:.1f} s{unknown})"
    )

"""Segment whole slides into tissue regions and nuclei.

Writes for each slide DIR/<name>/ (DIR/a.svs/ for a.svs): nuclei.parquet (GeoParquet, one row per nucleus),
nuclei.geojson and tissue.geojson (for QuPath), tissue.ome.tif (pyramid), overview.png, foreground.png, foreground.tif,
summary.json. A run that was stopped, by whatever, goes on with --resume and gives the same files. Of several slides
DIR/cohort.csv says how each ended, what is in it, and how long it took. With --regions only what is inside them is read
and segmented, and regions.geojson is written too.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from coseg_bundle.commands.arguments import add_engine, add_precision, positive_number, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "slides",
        nargs="+",
        type=Path,
        metavar="SLIDE",
        help="SVS, NDPI, MRXS, OME-TIFF, TIFF, PNG, ..., a folder of a slide's DICOM files, OME-Zarr",
    )
    parser.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--mpp", type=positive_number, help="microns per pixel of the slides; what they say otherwise")
    parser.add_argument(
        "--origin",
        choices=("bounds", "canvas"),
        default="bounds",
        help="where pixel (0, 0) lies in slides that say which part of the glass was scanned (SCN, MRXS, BIF): at the "
        "corner of that part, as in QuPath, or of the glass, as in OpenSlide (bounds)",
    )
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="FILE",
        help="read and segment only what is inside these regions of one slide: GeoJSON of QuPath, ASAP's XML, or a "
        "label image over the slide. Names and classes are kept; a nucleus is inside where its centroid is; "
        "`coseg measure` has a row for each region",
    )
    parser.add_argument("--resume", action="store_true", help="go on with runs that were stopped")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew where other results are in the way: made from another file or with other settings, stopped, "
        "or with tiles that could not be read",
    )
    parser.add_argument("--run-on", choices=("local", "ray"), default="local", help="processes of this machine, or Ray")
    parser.add_argument("--address", help="address of a Ray cluster (auto: the one that this machine belongs to)")
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="worker processes at most; as many as this job has cores, and 1.2 GB of memory for each",
    )
    parser.add_argument(
        "--tile-size",
        type=_tile_side,
        default=1088,
        metavar="PX",
        help="side of a tile, with its halo, a multiple of 32 (1088)",
    )
    parser.add_argument(
        "--halo",
        type=whole_number,
        default=32,
        metavar="PX",
        help="overlap with its neighbours on each side, a multiple of 4 (32)",
    )
    parser.add_argument("--batch-size", type=whole_number, default=4, metavar="N", help="tiles at a time (4)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights (or ONNX file) instead of the bundle's")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    add_engine(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    add_precision(parser)


def _tile_side(text: str) -> int:
    if not text.isdecimal() or int(text) < 32 or int(text) % 32:
        raise argparse.ArgumentTypeError(f"expected a multiple of 32 from 32 on, got {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Segments; 1 if any slide failed or has parts that could not be read."""
    from coseg_bundle.writers.folders import result_folders
    from coseg_bundle.wsi.pipeline import run_slides
    from coseg_bundle.wsi.results.cohort import COHORT, add_to_cohort

    slides = list(dict.fromkeys(path if path.name not in ("", "..") else path.resolve() for path in arguments.slides))
    if arguments.address and arguments.run_on != "ray":
        raise ValueError("--address is for --run-on ray.")
    if arguments.regions and len(slides) > 1:
        raise ValueError("--regions is for one slide.")
    settings, workers = _segmenting(arguments)
    with_table = len(slides) > 1 or (arguments.output / COHORT).exists()
    failed = 0
    progress = _Bar(len(slides))
    try:
        for result in run_slides(
            slides,
            result_folders(slides, arguments.output),
            workers,
            settings,
            mpp=arguments.mpp,
            origin=arguments.origin,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            tile_px=arguments.tile_size,
            halo_px=arguments.halo,
            batch_size=arguments.batch_size,
            regions=arguments.regions,
            progress=progress,
        ):
            progress.close()
            failed += bool(result.error or result.refused or result.summary.get("unreadable_tiles"))
            if with_table:
                total = result.seconds.get("total")
                add_to_cohort(arguments.output, result.slide, result.folder, result.summary, result.error, total)
            for line in describe(result):
                print(line, file=sys.stderr if result.error else sys.stdout, flush=True)
            for sentence in result.refused:
                print(f"coseg: {sentence}", file=sys.stderr)
    finally:
        progress.close()
        workers.close()
    return 1 if failed else 0


def describe(result: Any) -> list[str]:
    """Lines about a slide."""
    from coseg_bundle.writers.summary import gaps_in, listed_doubts

    if result.error:
        return [f"coseg: {result.error}"]
    summary = result.summary
    doubts = [*gaps_in(summary), *(f"{doubt} (--mpp)" for doubt in listed_doubts(summary))]
    if result.skipped:
        said = "".join(f"; {doubt}" for doubt in doubts)
        return [f"{result.slide}: finished before, {summary['nuclei']} nuclei in {result.folder}{said}; nothing to do"]
    total = result.seconds["total"]
    lines = [f"{result.slide}: {summary['nuclei']} nuclei -> {result.folder} ({total:.1f} s)"]
    parts = {part: seconds for part, seconds in result.seconds.items() if part != "total"}
    if (work := sum(parts.values())) > 0:
        lines.append(
            "  " + ", ".join(f"{part} {seconds / work:.0%}" for part, seconds in parts.items()) + " of the work"
        )
    if summary.get("untrained"):
        lines.append(f"  left out, the weights were trained without labels for it: {', '.join(summary['untrained'])}")
    for region in summary.get("regions", ()):
        lines.append(f"  {region['name']}: {region['nuclei']} nuclei")
    if notes := [note for note in summary.get("read_as", ()) if note not in doubts]:
        lines.append(f"  read as: {'; '.join(notes)}")
    if missing := summary.get("unscanned", {}).get("missing_tiles"):
        lines.append(f"  {missing} tiles are missing from the file and count as not scanned")
    lines += [f"  {doubt}" for doubt in doubts]
    return lines


class _Bar:
    """A progress bar for each slide: tiles, nuclei, time left."""

    def __init__(self, slides: int) -> None:
        self._slides, self._number, self._nuclei = slides, 0, 0
        self._bar: Any = None

    def start(self, slide: Path, tiles: int, done: int) -> None:
        """A slide begins."""
        from tqdm import tqdm

        self.close()
        self._number, self._nuclei = self._number + 1, 0
        title = f"[{self._number}/{self._slides}] {slide.name}"
        self._bar = tqdm(total=tiles, initial=done, unit="tile", desc=title)

    def advance(self, tiles: int, nuclei: int) -> None:
        """More is done."""
        self._nuclei += nuclei
        self._bar.set_postfix_str(f"{self._nuclei} nuclei", refresh=False)
        self._bar.update(tiles)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _segmenting(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The settings of the segmentation, and who does it."""
    from coseg_bundle.bundle_root import setting
    from coseg_bundle.engine.choice import choose_engine
    from coseg_bundle.inferers.predictor import onnx_precision, usable_device, usable_onnx_device
    from coseg_bundle.precision import resolve
    from coseg_bundle.wsi.run.worker import BundlePredictor
    from coseg_bundle.wsi.run.workers import WorkerError

    engine = choose_engine(arguments.engine, arguments.weights)
    asked = arguments.precision or setting("precision", arguments.bundle)
    if engine == "onnx":
        device, precision = usable_onnx_device(arguments.device), onnx_precision(asked)
    else:
        if arguments.device and arguments.run_on == "local":
            usable_device(arguments.device)  # before a journal is begun; a cluster's devices are elsewhere
        device = arguments.device or _device()
        precision = resolve(asked, device)
    make = partial(
        BundlePredictor,
        arguments.bundle,
        arguments.weights,
        tile_px=arguments.tile_size,
        batch_size=arguments.batch_size,
        engine=engine,
    )
    settings = make(device="cpu")(precision)
    try:
        return settings, _workers(arguments, make(device=device), gpu=device != "cpu")
    except WorkerError as error:
        raise ValueError(str(error)) from error


def _workers(arguments: argparse.Namespace, make: Any, gpu: bool) -> Any:
    from coseg_bundle.engine.cores import available_cores
    from coseg_bundle.wsi.run.workers import LocalWorkers, roles, team_size

    count = arguments.workers if arguments.address else team_size(arguments.workers)  # a cluster has its own machines
    if arguments.run_on == "ray":
        from coseg_bundle.wsi.run.ray_workers import RayWorkers

        return RayWorkers(make, count, arguments.address, gpu)
    return LocalWorkers(make, roles(count, available_cores(), gpu))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

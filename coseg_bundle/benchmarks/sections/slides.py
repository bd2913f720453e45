"""Whole slides: memory against their size and number of nuclei; the time of merging."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from coseg_bundle.benchmarks.generated import colour_reader, write_slide
from coseg_bundle.benchmarks.timing import in_own_process, row
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.wsi.pipeline import run_slides, run_steps
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.results.writing import write_slide_results
from coseg_bundle.wsi.run.journal import Journal, Plan
from coseg_bundle.wsi.run.pieces import read_piece, write_piece
from coseg_bundle.wsi.run.worker import BundlePredictor
from coseg_bundle.wsi.run.workers import InlineWorkers
from coseg_bundle.wsi.segment.foreground import TISSUE
from coseg_bundle.wsi.segment.maps import MapLayout, TileMaps
from coseg_bundle.wsi.segment.nuclei import PIECE_PX, NucleiSettings, find_nuclei
from coseg_bundle.wsi.segment.tiles import BATCH_SIZE, HALO_PX, TILE_PX, TileImage, infer_tiles
from coseg_bundle.wsi.segment.tiling import Box, TileGrid


def lines(sides: tuple[int, int] = (20_000, 40_000), nuclei: tuple[int, int] = (100_000, 1_000_000)) -> Iterator[str]:
    """The section, for slides of two sizes with the same tissue, and about so many nuclei."""
    yield "\nWhole slides: generated, with a stand-in network that reads one pixel at a time; one process"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = [write_slide(folder / f"{side}.tif", side, tissue=2048) for side in sides]
        runs = [in_own_process(run_generated_slide, slide, slide.with_suffix("")) for slide in slides]
        for side, run in zip(sides, runs, strict=True):
            yield row(f"{side} px square: nuclei, peak memory", f"{run['nuclei']:.0f}", f"{run['peak']:.0f} MB")
        yield row("ratio (below 1.10)", f"{runs[1]['peak'] / runs[0]['peak']:.3f}")
        one = in_own_process(merge_copies, slides[1], folder / "one", 1)["nuclei"]
        merges = [
            in_own_process(merge_copies, slides[1], folder / str(count), max(1, round(count / one))) for count in nuclei
        ]
        for run in merges:
            yield row(
                f"merging {run['nuclei']:.0f} nuclei (1 million: below 60 s): clock, CPU",
                f"{run['seconds']:.1f} s",
                f"{run['cpu']:.1f} s",
                f"{run['peak']:.0f} MB",
            )
        yield row("ratio of the memory (below 1.10)", f"{merges[1]['peak'] / merges[0]['peak']:.3f}")
    for precision in ("fp32", "auto"):
        peak = in_own_process(released_network_on_tiles, precision)["peak"]
        yield row(f"peak memory of a worker, released weights, {precision} (at most 1,200)", f"{peak:.0f} MB")


def released_network_on_tiles(precision: str, batches: int = 2) -> dict[str, float]:
    """What a worker of a CPU does, reading and writing aside: batches of tiles, then a piece of their nuclei."""
    torch.set_num_threads(1)
    predictor = BundlePredictor(None, None, "cpu", TILE_PX, BATCH_SIZE)(precision)
    core = TILE_PX - 2 * HALO_PX
    grid = TileGrid(batches * core, BATCH_SIZE * core, core, HALO_PX)
    layout = MapLayout.of(predictor.postprocessing.layout, grid)
    maps: list[TileMaps] = []
    for number in range(batches):
        tissue = synthetic_tissue(size=TILE_PX, seed=number).rgb
        images = [TileImage(tissue, np.zeros(tissue.shape[:2], bool))] * BATCH_SIZE
        with resolution_known():
            maps += infer_tiles(predictor, images, layout)
    settings = NucleiSettings.of(predictor.postprocessing)
    piece = Box(0, 0, PIECE_PX, PIECE_PX)
    return {"nuclei": len(find_nuclei(layout, maps.__getitem__, piece, settings)[0])}


def run_generated_slide(slide: Path, folder: Path) -> dict[str, float]:
    """Segments a generated slide in this process, from the first read to the last file."""
    [result] = run_slides([slide], [folder], InlineWorkers(colour_reader), colour_reader())
    if result.error:
        raise RuntimeError(result.error)
    return {"nuclei": result.summary["nuclei"], **result.seconds}


def merge_copies(slide: Path, folder: Path, copies: int) -> dict[str, float]:
    """Merges a journal whose every piece holds the nuclei of one piece, `copies` pieces in all."""
    with open_slide(slide) as reader:
        plan = Plan.of(reader, colour_reader(), 512, 64, 4)
        journal = Journal(folder, plan, ())
        side = journal.pieces.core_px // journal.grid.core_px
        tiles = [row * journal.grid.columns + column for row in range(side) for column in range(side)]
        journal = Journal(folder, plan, tiles)
        journal.save(np.full((8, 8), TISSUE, np.uint8))
        run_steps(journal, InlineWorkers(colour_reader))
        nuclei = read_piece(journal.piece_file(0))
        for piece in range(len(journal.pieces)):
            journal.piece_file(piece).unlink(missing_ok=True)
            if piece < copies:
                write_piece(journal.piece_file(piece), nuclei)
        start, busy = time.perf_counter(), time.process_time()
        summary = write_slide_results(journal, reader)
        return {
            "nuclei": summary["nuclei"],
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - busy,
        }

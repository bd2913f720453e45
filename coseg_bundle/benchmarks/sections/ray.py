"""Two Ray workers against one on a slide, and what the network takes of a run on a CPU."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch

from coseg_bundle.benchmarks.generated import colour_reader, write_slide
from coseg_bundle.benchmarks.timing import in_own_process, row
from coseg_bundle.data.images import read_image
from coseg_bundle.demo import DEMO_IMAGE, DEMO_MPP
from coseg_bundle.inferers import Predictor
from coseg_bundle.precision import resolve
from coseg_bundle.wsi.pipeline import begin_journal, run_slides
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.run.journal import WORK, Plan
from coseg_bundle.wsi.run.ray_workers import RayWorkers
from coseg_bundle.wsi.run.steps import run_steps
from coseg_bundle.wsi.run.workers import InlineWorkers
from coseg_bundle.wsi.segment.tiles import BATCH_SIZE, HALO_PX, TILE_PX, window_settings


def lines(side: int = 6144, rounds: int = 3) -> Iterator[str]:
    """The section, for a slide of one size."""
    yield f"\nRay: a generated slide of {side} px, a stand-in network; reading, post-processing, the journal's files"
    yield "  (from the first task to the last answer; the start of Ray, its workers and their imports is left out)"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slide = write_slide(folder / "slide.tif", side, tissue=side, tile=256)
        warming = write_slide(folder / "warming.tif", 3072, tissue=3072, tile=256)
        runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for number in range(rounds):
            for workers, results in runs.items():
                output = folder / f"{workers} {number}"
                results.append(in_own_process(run_on_ray, slide, warming, output, workers))
        seconds = {workers: statistics.median(run["clock"] for run in results) for workers, results in runs.items()}
        for workers, results in runs.items():
            busy = statistics.median(run["busy"] / run["clock"] for run in results)
            yield row(
                f"workers: {workers}; clock, cores that they kept busy", f"{seconds[workers]:.1f} s", f"{busy:.2f}"
            )
        yield row("one worker / two (at least 1.6, on two idle cores)", f"{seconds[1] / seconds[2]:.2f}")
        share = in_own_process(run_released_weights, folder)
    yield "\nThe released weights on a slide made of a real section, one process, one thread, from start to last file"
    yield row("precision", str(resolve("auto", "cpu")))
    yield row("tiles, nuclei", f"{share['tiles']:.0f}", f"{share['nuclei']:.0f}")
    yield row(
        "CPU: network, all the rest, rest / network (below 1)",
        f"{share['network']:.1f} s",
        f"{share['rest']:.1f} s",
        f"{share['rest'] / share['network']:.2f}",
    )


def run_on_ray(slide: Path, warming: Path, folder: Path, count: int) -> dict[str, float]:
    """Runs a slide's steps on a local Ray cluster, after those of a small slide that keeps every worker busy.

    Returns:
        `clock`, seconds from the first task to the last answer; `busy`, seconds of the workers' processors.
    """
    workers = RayWorkers(colour_reader, count)
    try:
        _steps(warming, folder / "warming", workers)
        return _steps(slide, folder / "slide", workers)
    finally:
        workers.close()


def _steps(slide: Path, folder: Path, workers: RayWorkers) -> dict[str, float]:
    (folder / WORK).mkdir(parents=True)
    with open_slide(slide) as reader:
        journal = begin_journal(folder, Plan.of(reader, colour_reader(), TILE_PX, HALO_PX, BATCH_SIZE), reader)
    start = time.perf_counter()
    seconds = run_steps(journal, workers)
    return {"clock": time.perf_counter() - start, "busy": sum(seconds.values())}


def run_released_weights(folder: Path) -> dict[str, float]:
    """Segments the demonstration's image, mirrored to twice its size, with the released weights.

    Returns:
        Seconds of the processor: `network`, and `rest`, which is everything else that the process did.
    """
    rgb = read_image(DEMO_IMAGE).rgb
    rgb = np.concatenate([rgb, rgb[:, ::-1]], axis=1)
    rgb = np.concatenate([rgb, rgb[::-1]])
    slide, resolution = folder / "breast.tif", 1e4 / DEMO_MPP
    options = {"resolution": (resolution, resolution), "resolutionunit": "CENTIMETER", "compression": "jpeg"}
    tifffile.imwrite(slide, rgb, tile=(256, 256), photometric="rgb", **options)
    torch.set_num_threads(1)
    predictor = Predictor.from_bundle(device="cpu", precision="auto", **window_settings())
    start = time.process_time()
    [result] = run_slides([slide], [folder / "breast"], InlineWorkers(lambda precision: predictor), predictor)
    if result.error:
        raise RuntimeError(result.error)
    network = result.seconds["network"]
    summary = result.summary
    return {
        "tiles": summary["tiles_with_tissue"],
        "nuclei": summary["nuclei"],
        "network": network,
        "rest": time.process_time() - start - network,
    }

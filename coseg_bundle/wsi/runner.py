"""A run over slides: plan, tiles and nuclei by an engine, results. Any run can be stopped and resumed at any moment."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from coseg_bundle.atomic import whole_file
from coseg_bundle.precision import ASKED
from coseg_bundle.wsi.engines import Engine, WorkerError
from coseg_bundle.wsi.foreground import THUMBNAIL_PX, draw_foreground, find_foreground, foreground_tiles, without_holes
from coseg_bundle.wsi.job import SUMMARY, WORK, Job, Plan, in_order, read_plan
from coseg_bundle.wsi.merge import Merger
from coseg_bundle.wsi.reader import SlideReader, open_slide
from coseg_bundle.wsi.tiles import BATCH_SIZE, HALO_PX, TILE_PX
from coseg_bundle.wsi.worker import Task

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor

logger = logging.getLogger(__name__)

RUN = "run.json"
"""Timings of the run that finished a slide: the one file that differs from run to run."""


class SlideRunError(ValueError):
    """A slide's run that cannot start or go on; the message names the folder and the remedy."""


@dataclass(frozen=True)
class SlideResult:
    """What became of a slide.

    Attributes:
        slide: The file.
        folder: Its folder of results.
        summary: Content of its `summary.json`; empty after an error.
        seconds: Time by part (`read`, `network`, `postprocess`, `write`, `merge`, `total`), of this run.
        error: Why it failed, in one sentence.
        skipped: Whether its results were complete already.
    """

    slide: Path
    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    skipped: bool = False


class Progress(Protocol):
    """Is told how far a slide's run is."""

    def start(self, slide: Path, tiles: int, done: int) -> None:
        """A slide begins: its tiles with tissue, and how many of them are done."""

    def advance(self, tiles: int, nuclei: int) -> None:
        """So many more tiles and nuclei are done."""


def run_slides(
    slides: Sequence[Path],
    folders: Sequence[Path],
    engine: Engine,
    predictor: Predictor,
    *,
    mpp: float | None = None,
    resume: bool = False,
    tile_px: int = TILE_PX,
    halo_px: int = HALO_PX,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Iterator[SlideResult]:
    """Segments slides one after the other; one that fails does not stop the others.

    Args:
        slides: The files.
        folders: A folder of results for each.
        engine: Does the work.
        predictor: The network as the workers make it; only its settings are used here.
        mpp: Microns per pixel of the slides' level 0; what the files say when not given.
        resume: Whether to go on with unfinished runs.
        tile_px: Side of a tile with its halo.
        halo_px: Width of the halo.
        batch_size: Tiles that go through the network together.
        progress: Is told how far the run is.

    Yields:
        One result per slide, errors included.
    """
    sizes = (tile_px, halo_px, batch_size)
    for slide, folder in zip(slides, folders, strict=True):
        try:
            yield _run_slide(slide, folder, engine, predictor, mpp, resume, sizes, progress)
        except (ValueError, OSError, WorkerError, MemoryError) as error:
            logger.debug("%s failed", slide, exc_info=True)
            reason = " ".join(str(error).split()) or type(error).__name__
            if (folder / WORK / "plan.json").is_file() and "--resume" not in reason:
                reason += "; what is done is kept: run again with --resume."
            yield SlideResult(slide, folder, error=reason if str(slide) in reason else f"{slide}: {reason}")
            _drain(engine)


def _run_slide(
    slide: Path,
    folder: Path,
    engine: Engine,
    predictor: Predictor,
    mpp: float | None,
    resume: bool,
    sizes: tuple[int, int, int],
    progress: Progress | None,
) -> SlideResult:
    start = time.perf_counter()
    if (folder / SUMMARY).is_file():
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        shutil.rmtree(folder / WORK, ignore_errors=True)  # where a run was killed after its last result
        return SlideResult(slide, folder, summary, skipped=True)
    with open_slide(slide, mpp) as reader:
        plan = Plan.of(reader, predictor, *sizes)
        _make_folder(folder)
        with _alone(folder):
            job = _unfinished(folder, plan, resume) or begin_job(folder, plan, reader)
            if progress:
                progress.start(slide, len(job.tiles), len(job.done()[0]))
            seconds = run_steps(job, engine, progress)
            if job.tiles and all(job.failure(tile) for tile in job.tiles):
                reason = job.failure(job.tiles[0])
                raise SlideRunError(f"{slide}: none of its {len(job.tiles)} tiles with tissue can be read ({reason})")
            merging = time.perf_counter()
            merger = Merger(job, reader)
            seconds["merge"] = 0.0
            summary = merger.run()
            seconds["merge"] = time.perf_counter() - merging
    seconds["total"] = time.perf_counter() - start
    with whole_file(folder / RUN) as partial:
        rounded = {part: round(value, 3) for part, value in seconds.items()}
        partial.write_text(json.dumps({"seconds": rounded, "resumed": resume}, indent=2) + "\n", encoding="utf-8")
    return SlideResult(slide, folder, summary, seconds)


def begin_job(folder: Path, plan: Plan, reader: SlideReader) -> Job:
    """Looks for tissue and begins the journal; what was taken for tissue is drawn into `foreground.png`."""
    thumbnail = reader.thumbnail(THUMBNAIL_PX)
    mask = find_foreground(thumbnail)
    with whole_file(folder / "foreground.png") as partial:
        Image.fromarray(draw_foreground(thumbnail, mask)).save(partial)
    job = Job(folder, plan, ())
    side = job.pieces.core_px // job.grid.core_px
    job = Job(folder, plan, in_order(foreground_tiles(mask, job.grid), job.grid, side))
    job.save(without_holes(mask))
    return job


def run_steps(job: Job, engine: Engine, progress: Progress | None = None) -> dict[str, float]:
    """Has every missing step of a job done, nuclei as soon as their tiles are there; returns the time by part."""
    tiles, pieces = job.done()
    batches = deque(batch for batch in job.batches if not tiles.issuperset(batch))
    owners: dict[int, list[int]] = {}
    missing: dict[int, int] = {}
    for piece in range(len(job.pieces)):
        needed = job.tiles_of(piece)
        if needed and piece not in pieces:
            missing[piece] = len(open_tiles := [tile for tile in needed if tile not in tiles])
            for tile in open_tiles:
                owners.setdefault(tile, []).append(piece)
    ready = deque(piece for piece, count in missing.items() if not count)
    postponed: list[int] = []
    seconds = dict.fromkeys(("read", "network", "postprocess", "write"), 0.0)
    running, batches_running = 0, 0
    while batches or ready or postponed or running:
        if not batches and not batches_running:
            ready.extend(postponed)
            postponed = []
        while ready and engine.free("piece"):
            engine.submit(Task(job.folder, "piece", (ready.popleft(),)))
            running += 1
        while batches and engine.free("tiles"):
            engine.submit(Task(job.folder, "tiles", batches.popleft()))
            running, batches_running = running + 1, batches_running + 1
        for task, done in engine.wait() if running else ():
            running -= 1
            for part, value in done.seconds.items():
                seconds[part] += value
            if task.kind == "tiles":
                batches_running -= 1
                new = [tile for tile in task.numbers if tile not in tiles]
                for piece in (piece for tile in new for piece in owners.get(tile, ())):
                    missing[piece] -= 1
                    if not missing[piece]:
                        ready.append(piece)
            elif done.postponed:
                postponed.append(task.numbers[0])
            if progress:
                progress.advance(len(new) if task.kind == "tiles" else 0, done.nuclei)
    return seconds


def _drain(engine: Engine) -> None:
    """Lets the tasks of a slide that failed come to their ends, before those of the next one begin."""
    while engine.busy:
        with suppress(WorkerError):
            engine.wait()


def _unfinished(folder: Path, plan: Plan, resume: bool) -> Job | None:
    """The unfinished run to go on with, if there is one."""
    if not (folder / WORK / "plan.json").is_file():
        return None
    if not resume:
        raise SlideRunError(f"{folder} holds an unfinished run: go on with --resume, or remove the folder.")
    old, new = _settings(read_plan(folder)), _settings(plan.to_json())
    wanted, begun = new["precision"], old.get("precision", {})
    if wanted["reason"] != ASKED or wanted["name"] == begun.get("name"):
        new["precision"] = begun  # `auto` is what it was when the run began, whatever processor this is
    if different := sorted(name for name in {*old, *new} - {"tiles"} if old.get(name) != new.get(name)):
        raise SlideRunError(
            f"{folder} was begun with other settings ({', '.join(different)}); give the same ones to --resume, or "
            "remove the folder."
        )
    return Job.load(folder)


def _settings(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan's values, those of `inference` among the others, so that a message can name each."""
    return {name: value for name, value in plan.items() if name != "inference"} | plan.get("inference", {})


def _make_folder(folder: Path) -> None:
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SlideRunError(f"{folder}: the results cannot be written there ({error.strerror}).") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder, as long as this process lives."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    with (folder / WORK / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SlideRunError(f"{folder}: another run is at work there.") from error
        yield

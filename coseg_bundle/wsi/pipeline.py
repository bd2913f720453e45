"""A run over slides: read, segment, run, results. Any run can be stopped and resumed at any moment."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images.files import spares_others
from coseg_bundle.data.labels.regions import read_regions
from coseg_bundle.writers.converted import CONVERTED, NUCLEI_DICOM, SPATIALDATA, TISSUE_DICOM, check_converted
from coseg_bundle.writers.folders import MEASURES, ResultsFolderError, claimed, finished, is_own, remove_measures
from coseg_bundle.writers.summary import SUMMARY, BrokenRecordError, differences
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.reader import SlideReader, open_slide
from coseg_bundle.wsi.results.regions_file import REGIONS, is_of_a_run
from coseg_bundle.wsi.results.writing import write_slide_results
from coseg_bundle.wsi.run.journal import WORK, Journal, in_order, read_plan
from coseg_bundle.wsi.run.plan import Plan
from coseg_bundle.wsi.run.regions import tiles_near_regions
from coseg_bundle.wsi.run.steps import Progress, drain, run_steps
from coseg_bundle.wsi.run.workers import WorkerError, Workers
from coseg_bundle.wsi.segment.foreground import (
    TISSUE,
    draw_foreground,
    foreground_tiles,
    look_for_tissue,
    with_missing,
    without_holes,
)
from coseg_bundle.wsi.segment.tiles import BATCH_SIZE, HALO_PX, TILE_PX

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor

logger = logging.getLogger(__name__)

RUN = "run.json"
"""Timings of the run that finished a slide: the one file that differs from run to run."""


class SlideRunError(ValueError):
    """A slide that cannot be segmented; the message names it and the reason."""


@dataclass(frozen=True)
class SlideResult:
    """What became of a slide.

    Attributes:
        slide: The file.
        folder: Its folder of results.
        summary: Content of its `summary.json`; empty after an error.
        seconds: Time by part (`read`, `network`, `postprocess`, `write`, `merge`, `total`), of this run; after an error
            only `total`.
        error: Why it failed, in one sentence.
        skipped: Whether its results were complete already.
        refused: A sentence for each region of interest that could not be used.
    """

    slide: Path
    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    skipped: bool = False
    refused: tuple[str, ...] = ()


def run_slides(
    slides: Sequence[Path],
    folders: Sequence[Path],
    workers: Workers,
    predictor: Predictor,
    *,
    mpp: float | None = None,
    origin: Origin = "bounds",
    resume: bool = False,
    overwrite: bool = False,
    tile_px: int = TILE_PX,
    halo_px: int = HALO_PX,
    batch_size: int = BATCH_SIZE,
    regions: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[SlideResult]:
    """Segments slides one after the other; one that fails does not stop the others.

    Args:
        slides: The files.
        folders: A folder of results for each.
        workers: Do the work.
        predictor: The network as the workers make it; only its settings are used here.
        mpp: Microns per pixel of the slides' level 0; what the files say when not given.
        origin: Where pixel (0, 0) lies in slides that say which part of the glass was scanned.
        resume: Whether to go on with unfinished runs.
        overwrite: Whether to begin anew where results, finished or not, are in the way: those that are finished and
            made from the same stay, unless some of their tiles could not be read.
        tile_px: Side of a tile with its halo.
        halo_px: Width of the halo.
        batch_size: Tiles that go through the network together.
        regions: A file of regions of interest (`read_regions`): only what is inside is read and segmented.
        progress: Is told how far the run is.

    Yields:
        One result per slide, errors included.
    """
    sizes = (tile_px, halo_px, batch_size)
    for slide, folder in zip(slides, folders, strict=True):
        start = time.perf_counter()
        try:
            yield _run_slide(
                slide, folder, workers, predictor, mpp, origin, (resume, overwrite), sizes, regions, progress
            )
        except Exception as error:
            if not spares_others(error, WorkerError):
                raise
            logger.debug("%s failed", slide, exc_info=True)
            reason = " ".join(str(error).split()) or type(error).__name__
            begun = (folder / WORK / "plan.json").is_file() and not isinstance(error, ResultsFolderError)
            if begun and "--resume" not in reason:
                reason = reason.rstrip(".") + "; what is done is kept: run again with --resume."
            seconds = {"total": time.perf_counter() - start}
            reason = reason if str(slide) in reason else f"{slide}: {reason}"
            yield SlideResult(slide, folder, seconds=seconds, error=reason)
            drain(workers)


def _run_slide(
    slide: Path,
    folder: Path,
    workers: Workers,
    predictor: Predictor,
    mpp: float | None,
    origin: Origin,
    resume_overwrite: tuple[bool, bool],
    sizes: tuple[int, int, int],
    regions: Path | None,
    progress: Progress | None,
) -> SlideResult:
    start = time.perf_counter()
    with open_slide(slide, mpp, origin) as reader:
        drawn = None if regions is None else read_regions(regions, reader.size_xy, reader.origin_xy)
        refused = () if drawn is None else drawn.refused
        for note in () if drawn is None else drawn.notes:
            logger.warning("%s", note)
        plan = Plan.of(reader, predictor, *sizes, regions=None if drawn is None else drawn.regions)
        with claimed(folder, "slide"):
            summary, journal = _what_is_there(folder, plan, *resume_overwrite)
            if summary is not None:
                shutil.rmtree(folder / WORK, ignore_errors=True)  # where a run was killed after its last result
                return SlideResult(slide, folder, summary, skipped=True, refused=refused)
            if journal is None:
                check_converted(folder, *CONVERTED)  # before anything is removed
            _make_room_for_regions(folder, regions)
            if journal is None:
                _make_room(folder)
                journal = begin_journal(folder, plan, reader)
            if progress:
                progress.start(slide, len(journal.tiles), len(journal.done()[0]))
            seconds = run_steps(journal, workers, progress)
            if journal.tiles and all(journal.failure(tile) for tile in journal.tiles):
                reason = journal.failure(journal.tiles[0])
                shutil.rmtree(folder / WORK)  # nothing to go on with: the next run tries them again
                raise SlideRunError(
                    f"{slide}: none of its {len(journal.tiles)} tiles with tissue can be read ({reason})"
                )
            merging = time.perf_counter()
            summary = write_slide_results(journal, reader)
            seconds["merge"] = time.perf_counter() - merging
            seconds["total"] = time.perf_counter() - start
            with whole_file(folder / RUN) as partial:
                said = {"seconds": {part: round(v, 3) for part, v in seconds.items()}, "resumed": resume_overwrite[0]}
                partial.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return SlideResult(slide, folder, summary, seconds, refused=refused)


def begin_journal(folder: Path, plan: Plan, reader: SlideReader) -> Journal:
    """Looks for tissue and begins the journal; `foreground.png` shows it, and what the rest was taken for."""
    thumbnail, kinds = look_for_tissue(reader)
    with whole_file(folder / "foreground.png") as partial:
        Image.fromarray(draw_foreground(thumbnail, with_missing(kinds, reader))).save(partial)
    journal = Journal(folder, plan, ())
    side = journal.pieces.core_px // journal.grid.core_px
    tiles = tiles_near_regions(journal, foreground_tiles(kinds == TISSUE, journal.grid))
    journal = Journal(folder, plan, in_order(tiles, journal.grid, side))
    journal.save(without_holes(kinds))
    return journal


def _what_is_there(
    folder: Path, plan: Plan, resume: bool, overwrite: bool
) -> tuple[dict[str, Any] | None, Journal | None]:
    """The summary of finished results, or the journal of a run to go on with, or neither."""
    try:
        summary = finished(folder, plan.record())
        if summary is None:
            return None, _unfinished(folder, plan, resume)
        again = overwrite and summary.get("unreadable_tiles")  # what kept them from being read may have passed
        return None if again else summary, None
    except ResultsFolderError:
        if not overwrite:
            raise
    return None, None


def _make_room_for_regions(folder: Path, given: Path | None) -> None:
    """Removes the regions of a former run, before the summary, which tells them from those of a person.

    Args:
        folder: The folder of results.
        given: The file that limits the run, which then writes its own. Where it is that of the former run it stays
            until then: a run that is killed needs it again.

    Raises:
        ResultsFolderError: A person drew regions where those of the run go.
    """
    file = folder / REGIONS
    if is_own(folder, REGIONS) if (folder / SUMMARY).is_file() else is_of_a_run(file):
        if given is None or not file.samefile(given):
            file.unlink()
    elif given is not None and file.exists():
        raise ResultsFolderError(
            f"{file} was not written by the run before, and the regions of this run go there; move it elsewhere, or "
            "give another --output."
        )


def _make_room(folder: Path) -> None:
    """Removes former results and what `coseg convert` and `coseg measure` made of them, and nothing else."""
    (folder / SUMMARY).unlink(missing_ok=True)
    for name in (WORK, SPATIALDATA):
        shutil.rmtree(folder / name, ignore_errors=True)
    remove_measures(folder / MEASURES)
    for name in (NUCLEI_DICOM, TISSUE_DICOM):
        (folder / name).unlink(missing_ok=True)


def _unfinished(folder: Path, plan: Plan, resume: bool) -> Journal | None:
    """The unfinished run to go on with, if there is one."""
    if not (folder / WORK / "plan.json").is_file():
        return None
    if not resume:
        raise ResultsFolderError(
            f"{folder} holds an unfinished run: go on with --resume, or begin anew with --overwrite."
        )
    try:
        old = read_plan(folder)
        if "content" not in old:
            raise LookupError("it does not say what it was made from")
        if different := differences(old, plan.to_json()):
            raise ResultsFolderError(
                f"{folder} was begun with other settings: {', '.join(different)}; give the same ones to --resume, or "
                "begin anew with --overwrite."
            )
        precision = old["inference"]["precision"]  # of the processor that the run began on
        plan = replace(plan, inference={**plan.inference, "precision": precision})
        journal = Journal(folder, plan, _tiles(old["tiles"]))
        journal.save(journal.kinds)  # the slide may lie elsewhere now
    except (BrokenRecordError, LookupError, TypeError, EOFError, OSError) as error:
        raise ResultsFolderError(
            f"{folder}: its unfinished run cannot be read ({error}); begin anew with --overwrite, or remove the folder."
        ) from error
    return journal


def _tiles(found: Any) -> list[int]:
    if not isinstance(found, list) or not all(type(tile) is int and tile >= 0 for tile in found):
        raise TypeError("its tiles are no list of whole numbers")
    return found

"""Many slides, measured one after the other: one that fails does not stop the others, each is a row of one table."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import whole_file, whole_folder
from coseg_bundle.data.images.files import sentence_of, spares_others
from coseg_bundle.measures.files import RECORD, read_rows, write_rows
from coseg_bundle.measures.measuring import Measured, Wanted, measure
from coseg_bundle.measures.opening import open_source
from coseg_bundle.measures.report.cohort_page import write_cohort_page
from coseg_bundle.measures.report.slide_page import write_slide_page
from coseg_bundle.measures.source import content_of
from coseg_bundle.writers.folders import MEASURES, ResultsFolderError
from coseg_bundle.writers.summary import BrokenRecordError, doubts_in, read_record

logger = logging.getLogger(__name__)

SLIDES = "slides.csv"
"""The cohort's table, a row for each slide."""

COHORT = "cohort.json"
_TABLES = ("tissue", "classes", "regions", "grid")


@dataclass(frozen=True)
class Outcome:
    """What became of a slide.

    Attributes:
        path: The folder of results or the file.
        folder: Where its measures are.
        measured: What was measured; None after an error.
        error: Why it failed, in one sentence.
    """

    path: Path
    folder: Path
    measured: Measured | None = None
    error: str | None = None


def measure_folders(paths: Sequence[Path], output: Path | None) -> list[Path]:
    """Where the measures of each path go.

    Args:
        paths: Folders of results, and files of nuclei.
        output: A folder that gets one for each; `measures` in each folder of results when not given.

    Raises:
        ResultsFolderError: A file has no folder of its own.
    """
    if output is None:
        if files := [path for path in paths if not path.is_dir() and path.exists()]:
            raise ResultsFolderError(f"{files[0]}: measures of a file need a place; give a folder with --output.")
        return [path / MEASURES for path in paths]
    names = Counter(path.resolve().name.casefold() for path in paths)
    return [output / _name(path, alone=names[path.resolve().name.casefold()] == 1) for path in paths]


def _name(path: Path, *, alone: bool) -> str:
    name = path.resolve().name
    return name if alone else f"{name}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"


def measure_all(
    paths: Sequence[Path], folders: Sequence[Path], wanted: Wanted, image: Path | None = None, mpp: float | None = None
) -> Iterator[Outcome]:
    """Measures one path after the other; the report is made too.

    Args:
        paths: Folders of results, and files of nuclei.
        folders: Where the measures of each go; older ones are replaced as a whole.
        wanted: What to measure.
        image: The slide of a single path, where it is not where it was.
        mpp: Microns per pixel, where nothing says them.
    """
    for path, folder in zip(paths, folders, strict=True):
        try:
            yield Outcome(path, folder, _measured(path, folder, wanted, image, mpp))
        except Exception as error:
            if not spares_others(error):
                raise
            logger.debug("%s failed", path, exc_info=True)
            yield Outcome(path, folder, error=sentence_of(path, error))


def _measured(path: Path, folder: Path, wanted: Wanted, image: Path | None, mpp: float | None) -> Measured:
    if folder.exists() and not (folder / RECORD).is_file() and any(folder.iterdir()):
        raise ResultsFolderError(f"{folder} holds something else than measures; give another --output.")
    with open_source(path, image, mpp) as source:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with whole_folder(folder) as partial:
                partial.mkdir()
                measured = measure(source, partial, wanted)
                write_slide_page(partial, source)
        except PermissionError as error:
            raise ResultsFolderError(f"{folder}: cannot be written to ({error.strerror}); give --output.") from error
    return measured


def report(path: Path, image: Path | None = None, mpp: float | None = None) -> Outcome:
    """Writes the page of a folder of results, or of a cohort; measures first what is not measured, or has changed.

    Args:
        path: A folder that `coseg slide` or `coseg predict` wrote, or a cohort.
        image: The slide, where it is not where it was.
        mpp: Microns per pixel, where nothing says them.
    """
    if (path / COHORT).is_file():
        write_cohort_page(path)
        return Outcome(path, path)
    if path.is_file():
        return Outcome(path, path, error=f"{path}: expected a folder of results; measure a file with coseg measure.")
    folder = path / MEASURES
    if image is None and _is_measured(path, folder):
        try:
            with open_source(path, None, mpp) as source:
                write_slide_page(folder, source)
            return Outcome(path, folder)
        except (ValueError, OSError) as error:
            return Outcome(path, folder, error=" ".join(str(error).split()))
    [outcome] = measure_all([path], [folder], Wanted(), image, mpp)
    return outcome


def _is_measured(path: Path, folder: Path) -> bool:
    """Whether a folder's measures are those of the results that are there."""
    try:
        return bool(read_record(folder / RECORD).get("content") == content_of(path))
    except (OSError, BrokenRecordError):
        return False


def write_cohort(output: Path, outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Writes `slides.csv`, the tables of all slides one below the other, and what failed; returns its rows."""
    output.mkdir(parents=True, exist_ok=True)
    for name in _TABLES:
        rows = [{"slide": outcome.folder.name, **row} for outcome in outcomes for row in _rows(outcome, name)]
        if rows:
            write_rows(output / f"{name}.csv", _columns(rows), rows)
        else:
            (output / f"{name}.csv").unlink(missing_ok=True)  # of an earlier run
    slides = []
    for outcome in outcomes:
        found = (_rows(outcome, "slide") or [{}])[0]
        slides.append(
            {
                "name": outcome.folder.name,
                "results": str(outcome.path),
                "error": outcome.error or "",
                "doubts": "; ".join(doubts_in(outcome.measured.record["results"])) if outcome.measured else "",
                **{k: v for k, v in found.items() if k != "name"},
            }
        )
    write_rows(output / SLIDES, _columns(slides), slides)
    record = {
        "slides": [{"name": o.folder.name, "results": str(o.path), "error": o.error} for o in outcomes],
        "refused": [sentence for o in outcomes if o.measured for sentence in o.measured.refused],
    }
    with whole_file(output / COHORT) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return slides


def _rows(outcome: Outcome, table: str) -> list[dict[str, str]]:
    file = outcome.folder / f"{table}.csv"
    return read_rows(file) if outcome.error is None and file.is_file() else []


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All columns of all rows: those that some lack stand behind those before them where they are."""
    columns: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name in columns:
                place = columns.index(name) + 1
            else:
                columns.insert(place, name)
                place += 1
    return columns

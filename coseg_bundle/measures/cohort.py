"""Many slides, measured one after the other: one that fails does not stop the others, each is a row of one table."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from coseg_bundle.atomic import carry_over, not_replaced, whole_file, whole_folder
from coseg_bundle.data.images.files import sentence_of, spares_others
from coseg_bundle.measures.files import RECORD, REPORT, read_rows, write_rows
from coseg_bundle.measures.foreign.ground import NO_CLASS
from coseg_bundle.measures.groups.columns import count_columns
from coseg_bundle.measures.measuring import Measured, Wanted, measure
from coseg_bundle.measures.opening import image_in, is_folder_of_slides, open_source
from coseg_bundle.measures.remembered import changes, other_regions, slide_in, wanted_in
from coseg_bundle.measures.report.cohort_page import doubts_in_row, write_cohort_page
from coseg_bundle.measures.report.slide_page import write_slide_page
from coseg_bundle.measures.source import content_of, place_of
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.folders import MEASURES, ResultsFolderError, is_measures, is_of_measures, result_folders
from coseg_bundle.writers.summary import BrokenRecordError, listed_doubts, read_record
from coseg_bundle.wsi.read.backend import Origin

logger = logging.getLogger(__name__)

SLIDES = "slides.csv"
"""The cohort's table, a row for each slide."""

COHORT = "cohort.json"
_TABLES = ("tissue", "classes", "regions", "grid")
_FILES = (COHORT, SLIDES, REPORT, *(f"{name}.csv" for name in _TABLES))


class Given(NamedTuple):
    """What a user says of a path that it does not say itself.

    Attributes:
        image: Its slide or image, where it is not where it was, or a folder that holds it (and those of other paths).
        mpp: Microns per pixel.
        origin: Where (0, 0) of nuclei as GeoJSON lies.
    """

    image: Path | None = None
    mpp: float | None = None
    origin: Origin | None = None


NOTHING = Given()
"""What is given of paths that say all themselves."""


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
        output: A folder that gets one for each, called as it is; eight characters follow where the name is another's.
            `measures` in each folder of results when not given.

    Raises:
        ResultsFolderError: A file has no folder of its own, or `output` holds tables of somebody else.
    """
    if output is None:
        if files := [path for path in paths if not path.is_dir() and path.exists()]:
            raise ResultsFolderError(f"{files[0]}: measures of a file need a place; give a folder with --output.")
        return [path / MEASURES for path in paths]
    check_cohort(output)
    return result_folders([place_of(path) for path in paths], output, _is_of)


def _is_of(folder: Path, path: Path) -> bool | None:
    """Whether measures are those of a path; None where they do not say, or are none."""
    if not folder.is_dir():
        return False
    try:
        record = read_record(folder / RECORD)
        then = Path(record["source"])
        return then == path or (not then.exists() and record.get("content") == content_of(path))
    except (OSError, LookupError, TypeError, BrokenRecordError):
        return None


def measure_all(
    paths: Sequence[Path], folders: Sequence[Path], wanted: Wanted, given: Given = NOTHING
) -> Iterator[Outcome]:
    """Measures one path after the other; the report is made too.

    Args:
        paths: Folders of results, and files of nuclei.
        folders: Where the measures of each go; older ones are replaced as a whole, and what a person put there stays.
        wanted: What to measure.
        given: What the paths do not say.
    """
    for path, folder in zip(paths, folders, strict=True):
        yield _outcome(path, folder, wanted, given)


def _outcome(path: Path, folder: Path, wanted: Wanted, given: Given, then: str | None = None) -> Outcome:
    """Measures a path; not without an image where it was measured with one `then`."""
    try:
        if given.image is not None and is_folder_of_slides(given.image):
            given = given._replace(image=image_in(given.image, path))
        return Outcome(path, folder, _measured(path, folder, wanted, given, then))
    except Exception as error:
        if not spares_others(error):
            raise
        logger.debug("%s failed", path, exc_info=True)
        return Outcome(path, folder, error=sentence_of(path, error))


def _measured(path: Path, folder: Path, wanted: Wanted, given: Given, then: str | None) -> Measured:
    if folder.exists() and not is_measures(folder):
        raise ResultsFolderError(f"{folder} holds something else than measures; give another --output.")
    with open_source(path, *given) as source:
        if then and source.image is None:
            raise ResultsFolderError(f"{then} is no longer there to measure {path} anew; give it with --slide.")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with whole_folder(folder) as partial:
                partial.mkdir()
                measured = measure(source, partial, wanted)
                write_slide_page(partial, source)
                carry_over(folder, partial, is_of_measures)
        except PermissionError as error:
            raise ResultsFolderError(f"{folder}: cannot be written to ({error.strerror}); give --output.") from error
    return measured


def report(path: Path, image: Path | None = None, mpp: float | None = None) -> Outcome:
    """Writes the page of a folder of results, or of a cohort; measures first what is not measured, or has changed.

    Args:
        path: A folder that `coseg slide` or `coseg predict` wrote, or a cohort.
        image: The slide, where it is not where it was; of a folder.
        mpp: Microns per pixel, where the results do not say them; those measured with when not given. Of a folder.
    """
    if _own_files(path):
        return _report_cohort(path) if image is mpp is None else Outcome(path, path, error=_OF_ONE.format(path))
    if path.is_file():
        return Outcome(path, path, error=f"{path}: expected a folder of results; measure a file with coseg measure.")
    outcome = Outcome(path, path / MEASURES)
    try:
        record = _record_of(outcome) if (outcome.folder / RECORD).is_file() else {}
        if image is None and "columns" in record and not changes(path, record):  # those of former versions lack some
            with open_source(path, slide_in(path, record), mpp or record.get("mpp")) as source:
                if source.mpp == record.get("mpp"):  # else tables and pictures would be of two resolutions
                    write_slide_page(outcome.folder, source)
                    return outcome
    except BrokenRecordError as error:
        return replace(outcome, error=f"{error}; measure {path} again with coseg measure.")
    except (ValueError, OSError) as error:
        return replace(outcome, error=" ".join(str(error).split()))
    return _measured_anew(outcome, record, Given(image, mpp))


_OF_ONE = (
    "{0}: --slide and --mpp are of one slide, and this is a cohort; give them to `coseg measure RESULTS --output {0}`, "
    "or leave them away."
)


def _report_cohort(path: Path) -> Outcome:
    """A slide that cannot be measured anew keeps its row, which is in doubt."""
    before = [(outcome, _record_of(outcome)) for outcome in _before(path, ()) if outcome.error is None]
    changed = [(outcome, record) for outcome, record in before if changes(outcome.path, record)]
    outcomes = [_measured_anew(outcome, record) for outcome, record in changed]
    if changed:
        write_cohort(path, [outcome for outcome in outcomes if outcome.error is None])
    write_cohort_page(path)
    if failed := [outcome.error for outcome in outcomes if outcome.error is not None]:
        said = f"{len(failed)} slides could not be measured anew, and their rows are in doubt. First: {failed[0]}"
        return Outcome(path, path, error=f"{path}: {said}")
    return Outcome(path, path)


def _measured_anew(outcome: Outcome, record: Mapping[str, Any], given: Given = NOTHING) -> Outcome:
    """A slide, with what it was measured with where nothing else is given; not without an image that it was measured
    with, nor with other regions of the same name."""
    path, folder = outcome.path, outcome.folder
    if other := other_regions(record):
        unknown = f"{folder} is of a former version and does not say where its {other} lies"
        return replace(outcome, error=f"{unknown}; measure {path} with coseg measure --regions.")
    wanted = wanted_in(record)
    if wanted.regions and not wanted.regions.exists():
        gone = f"{folder} was measured with {wanted.regions}, which is not there any more"
        return replace(outcome, error=f"{gone}; measure {path} with coseg measure, with its --regions or without.")
    origin = record.get("origin") if path.is_file() else None
    given = Given(given.image or slide_in(path, record), given.mpp or record.get("mpp"), given.origin or origin)
    return _outcome(path, folder, wanted, given, record.get("image"))


def doubts_of(path: Path) -> list[str]:
    """What makes measures doubtful, a sentence for each folder of results and doubt.

    Args:
        path: A folder of results that was measured, or a cohort.
    """
    if _own_files(path):
        rows = (row for row in read_rows(path / SLIDES) if not row["error"])
        return [f"{row['results']}: {sentence}" for row in rows for sentence in doubts_in_row(row)]
    return [f"{path}: {sentence}" for sentence in _doubts(Outcome(path, path / MEASURES))]


def check_cohort(output: Path) -> None:
    """Keeps the tables of a cohort from taking the place of others.

    Raises:
        ResultsFolderError: A file has the name of one of them, and `cohort.json` does not say that it is one.
    """
    own = _own_files(output)
    if others := [name for name in _FILES if name not in own and os.path.lexists(output / name)]:
        raise ResultsFolderError(not_replaced(output / others[0], "measure"))


def _own_files(output: Path) -> Collection[str]:
    """The files that `cohort.json` says are those of a cohort; cohorts of before do not name them."""
    try:
        record = read_record(output / COHORT)
    except (OSError, BrokenRecordError):
        return ()
    named = record.get("files", _FILES) if {"slides", "refused"} <= record.keys() else ()
    return [name for name in _FILES if isinstance(named, list | tuple) and name in named]


def write_cohort(output: Path, outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Writes `slides.csv`, the tables of all slides one below the other, and what failed; returns its rows.

    Slides that were measured into the same folder before stand first, and those that failed, until they are measured.

    Args:
        output: The cohort; `check_cohort` has let it pass.
        outcomes: What became of the slides of now.
    """
    output.mkdir(parents=True, exist_ok=True)
    before = _before(output, outcomes)
    _say_other_options(before, outcomes)
    outcomes = [*before, *outcomes]
    tables = {
        f"{name}.csv": [{"slide": outcome.folder.name, **row} for outcome in outcomes for row in _rows(outcome, name)]
        for name in _TABLES
    }
    tables = {name: rows for name, rows in tables.items() if rows} | {SLIDES: [_slide_row(o) for o in outcomes]}
    _count_absent_classes(tables, {o.folder.name: _record_of(o) for o in outcomes if o.error is None})
    files = (COHORT, REPORT, *tables)
    for name in set(_own_files(output)).difference(files):  # of an earlier run
        (output / name).unlink(missing_ok=True)
    record = {
        "slides": [{"name": o.folder.name, "results": str(place_of(o.path)), "error": o.error} for o in outcomes],
        "refused": [sentence for o in outcomes if o.error is None for sentence in _record_of(o).get("refused", ())],
        "files": files,
    }
    with whole_file(output / COHORT) as partial:  # before the others, which are somebody else's without it
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, rows in tables.items():
        write_rows(output / name, _columns(rows), rows)
    return tables[SLIDES]


def _count_absent_classes(tables: Mapping[str, list[dict[str, str]]], records: Mapping[str, Mapping[str, Any]]) -> None:
    """Fills in counts of classes that nuclei of other programs have on other slides alone: 0, and not unknown.

    Such files name the classes that they have nuclei of. One that has a single class has its count as that of all.
    """
    foreign = {name: record for name, record in records.items() if record.get("kind") == "geojson"}
    classes = {name: [c for c in record["nuclei_classes"] if c != NO_CLASS] for name, record in foreign.items()}
    named = sorted(set().union(*classes.values()))
    columns = dict(zip(named, count_columns(named), strict=True))
    for row in (row for name, rows in tables.items() if name != "classes.csv" for row in rows):
        own = classes.get(row.get("slide") or row["name"])
        for of_class, column in columns.items() if own else ():
            if column not in row:
                alone = own == [of_class]
                row[column] = row["nuclei"] if alone else "0"
                row[f"{column}_per_mm2"] = row["nuclei_per_mm2"] if alone or not row["nuclei_per_mm2"] else "0"


def _before(output: Path, now: Sequence[Outcome]) -> list[Outcome]:
    """The slides of a cohort but for those of now: those that have measures there, and those that failed.

    A slide that failed after it was measured keeps its folder, and its measures are not those of its results.
    """
    folders = {outcome.folder for outcome in now}
    failed = {outcome.folder: outcome for outcome in _failed_before(output, now)}
    found = dict(failed)
    for file in output.glob(f"*/{RECORD}"):
        folder = file.parent
        if folder in folders or folder in failed or folder.name.startswith("."):  # what another run has not finished
            continue
        try:
            found[folder] = Outcome(Path(read_record(file)["source"]), folder)
        except (LookupError, TypeError, BrokenRecordError):
            error = f"{file} is no record of coseg measure; measure that slide again, or move its folder elsewhere."
            found[folder] = Outcome(folder, folder, error=error)
    return [found[folder] for folder in sorted(found)]


def _failed_before(output: Path, now: Sequence[Outcome]) -> Iterator[Outcome]:
    """The slides that `cohort.json` says have failed, and that are still there and not measured."""
    try:
        slides = read_record(output / COHORT)["slides"]
        said = [(output / str(s["name"]), Path(s["results"]), str(s["error"])) for s in slides if s["error"]]
    except (OSError, LookupError, TypeError, BrokenRecordError):
        return
    names = {outcome.folder: place_of(outcome.path) for outcome in now}
    for folder, path, error in said:
        if place_of(path) in names.values() or not path.exists():
            continue
        if path.resolve() == folder.resolve():  # its record is looked at again
            continue
        if folder in names:  # another slide has the name now
            folder = result_folders([path, names[folder]], output, _is_of)[0]
        yield Outcome(path, folder, error=error)


def _say_other_options(before: Sequence[Outcome], now: Sequence[Outcome]) -> None:
    """Warns where rows of one table would differ in more than their slides."""
    options = [_options(outcome) for outcome in now if outcome.error is None]
    others = [o.folder.name for o in before if options and o.error is None and _options(o) not in options]
    if others:
        logger.warning("measured with other options or versions before, and not again now: %s", ", ".join(others))


def _options(outcome: Outcome) -> list[Any]:
    """What rows depend on beside their slide: what was to be measured, what named the columns, how colours
    and perimeters are read."""
    record = _record_of(outcome)
    settings = record.get("settings", {})
    version = record.get("versions", {}).get("coseg-bundle")
    wanted = [settings.get(name) for name in ("by_region", "grid_um", "stains")]
    named = ("columns", "stains_mpp", "outline_px")  # what former versions did not measure in this way
    roles = settings.get("roles") or {}
    return [*wanted, roles, record.get("regions_content") is not None, version, *(name in record for name in named)]


def _record_of(outcome: Outcome) -> Mapping[str, Any]:
    return outcome.measured.record if outcome.measured else read_record(outcome.folder / RECORD)


def _slide_row(outcome: Outcome) -> dict[str, str]:
    found = (_rows(outcome, "slide") or [{}])[0]
    return {
        "name": outcome.folder.name,
        "results": str(place_of(outcome.path)),
        "error": outcome.error or "",
        "doubts": "; ".join(_doubts(outcome)) if outcome.error is None else "",
        **{k: v for k, v in found.items() if k != "name"},
    }


def _doubts(outcome: Outcome) -> list[str]:
    record = _record_of(outcome)
    return [*doubts_about(outcome.path, listed_doubts(record.get("results", {}))), *changes(outcome.path, record)]


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

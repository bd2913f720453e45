"""`cohort.csv`: a row for each slide of a run over many, so that a table says at once which are done, and what is in them.

A later run over some of the slides replaces their rows and leaves the others.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import whole_file
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.summary import doubts_in

logger = logging.getLogger(__name__)

COHORT = "cohort.csv"
FIRST = ("slide", "folder", "state", "reason", "seconds", "nuclei")
"""Columns that there always are; those of classes follow: `nuclei NAME`, and `NAME um2` of tissue."""


def add_to_cohort(
    output: Path, slide: Path, folder: Path, summary: dict[str, Any], error: str | None, seconds: float | None
) -> None:
    """Adds what became of a slide to `cohort.csv`, in place of what it says of the slide, or of its folder, so far.

    `state` is `done`, `incomplete` (some tiles could not be read), or `failed`; `reason` says why in the last two, and
    what makes its results doubtful.

    Args:
        output: The folder that has a folder for each slide.
        slide: The file.
        folder: Its results.
        summary: Content of its `summary.json`; empty where it failed.
        error: Why it failed.
        seconds: How long that took; of the run that finished the slide where it was done before and this is None.
    """
    row = {"slide": str(slide), "folder": os.path.relpath(folder, output), **_said(folder, summary, error)}
    row["seconds"] = "" if (known := _seconds(folder) if seconds is None else seconds) is None else f"{known:.1f}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(output):
            rows = _rows(output / COHORT)
            if rows is None:
                logger.warning("%s is no table of slides; it is left as it is, and none is written.", output / COHORT)
                return
            kept = [old for old in rows if old["slide"] != row["slide"] and old["folder"] != row["folder"]]
            _write(output / COHORT, [*kept, row])
    except OSError as problem:  # the slides' own results do not depend on it
        logger.warning("%s was not written (%s).", output / COHORT, problem)


def _said(folder: Path, summary: dict[str, Any], error: str | None) -> dict[str, str]:
    """State, reason and counts as cells; of what nobody taught the network there are none."""
    if error or not summary:
        return {"state": "failed", "reason": error or ""}
    reasons = doubts_about(folder, doubts_in(summary))
    said = {"state": "incomplete" if summary.get("unreadable_tiles") else "done", "reason": "; ".join(reasons)}
    untrained = summary.get("untrained", ())
    if "nuclei" not in untrained:
        said["nuclei"] = str(summary["nuclei"])
        said |= {f"nuclei {name}": str(count) for name, count in summary["nuclei_by_class"].items()}
    if "tissue" not in untrained:
        said |= {f"{name} um2": str(area) for name, area in summary["tissue_area_um2"].items()}
    return said


def _seconds(folder: Path) -> float | None:
    """What `run.json` says."""
    try:
        return float(json.loads((folder / "run.json").read_text(encoding="utf-8"))["seconds"]["total"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _rows(path: Path) -> list[dict[str, str]] | None:
    """The rows that are there; None where the file is something else."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            ours = tuple(reader.fieldnames or ())[: len(FIRST)] == FIRST
            return [{name: text for name, text in row.items() if name} for row in reader] if ours else None
    except (UnicodeDecodeError, csv.Error):
        return None


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["slide"]))
    with whole_file(path) as partial:
        partial.write_bytes(text.getvalue().encode())


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keeps other runs waiting that add to the same table; where the system has no locks, the last one counts."""
    handle = None
    with suppress(ImportError, OSError):
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)

"""What measures remember of how they were made, and whether what they were made of is still the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.measures.measuring import Wanted
from coseg_bundle.measures.source import at_hand, content_of
from coseg_bundle.writers.summary import MADE_FROM, SUMMARY, BrokenRecordError, read_record

CHANGED = "the results have changed since they were measured: measure them again"
"""What is said of measures that are of other results than those that are there."""

OTHER_REGIONS = "the regions have changed since they were measured: measure them again"
"""The same where their file holds others."""


OTHER_IMAGE = "the image is another one than was measured with: measure them again"
"""The same of nuclei of other programs, which do not say what they are of."""


def changes(path: Path, record: Mapping[str, Any]) -> list[str]:
    """What is there and other than what was measured, in sentences: results, regions, image.

    Args:
        path: The folder of results, or the file of nuclei.
        record: What its measures say, `measures.json`.
    """
    found = [CHANGED] if _is_other(path, record.get("content"), content_of) else []
    regions = wanted_in(record).regions
    if regions and regions.is_absolute() and _is_other(regions, record.get("regions_content")):
        found.append(OTHER_REGIONS)
    if record.get("image_content") and _is_other(Path(record["image"]), record["image_content"]):
        found.append(OTHER_IMAGE)
    return found


def wanted_in(record: Mapping[str, Any]) -> Wanted:
    """What was measured, to measure it anew."""
    settings = record.get("settings", {})
    wanted = {field.name: settings[field.name] for field in fields(Wanted) if field.name in settings}
    return Wanted(**wanted | {"regions": Path(wanted["regions"])} if wanted.get("regions") else wanted)


def slide_in(path: Path, record: Mapping[str, Any]) -> Path | None:
    """The slide that was measured with, if it is still there and that of the results; these may know another place.

    Args:
        path: The folder of results, or the file of nuclei.
        record: What its measures say.
    """
    image = Path(record.get("image") or "")
    if not record.get("image") or not image.exists():
        return None
    if not path.is_dir():  # a file does not say whose nuclei it holds
        return image
    try:
        return at_hand(image, read_record(path / SUMMARY).get(MADE_FROM, {}).get("content"))[0]
    except (OSError, BrokenRecordError):
        return None


def other_regions(record: Mapping[str, Any]) -> Path | None:
    """A file that is called as the one of the regions that were measured, and need not be it.

    Former versions kept its path as it was typed: from another folder it is another file.
    """
    regions = wanted_in(record).regions
    typed = regions is not None and not regions.is_absolute()
    return regions if typed and regions and _is_other(regions, record.get("regions_content")) else None


def _is_other(path: Path, content: str | None, of: Callable[[Path], str] = fingerprint) -> bool:
    """Whether something is there, and other than it was."""
    try:
        return of(path) != content
    except OSError:
        return path.exists()

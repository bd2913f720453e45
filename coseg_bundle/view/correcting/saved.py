"""The folder of saved corrections: what is written into it, and what a person changed or put there."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import rename_aside, whole_file
from coseg_bundle.fingerprint import is_junk
from coseg_bundle.view.correcting.patches import Patch
from coseg_bundle.writers.corrections import CORRECTIONS, OF_RESULTS

logger = logging.getLogger(__name__)

FOLDER, PATCHES = CORRECTIONS.parent.name, CORRECTIONS.name
"""Where corrections are saved in a folder of results, and what the page shows again."""

LABEL, TRAINING, DATALIST = "label.geojson", "training", "datalist.json"
"""The corrections as objects, and as training data."""

_USED = Path(LABEL), Path(TRAINING, DATALIST)
"""What people use, and may change, in other programs."""

_WRITTEN, _SUMMARY = "written", "summary"
_UNSAID = (
    "The saved corrections are applied, but do not say of which results they are, as a former version wrote them; "
    f"where the results were made anew since, move the folder {FOLDER} elsewhere."
)


def read_saved(folder: Path) -> tuple[list[Patch], list[str]]:
    """Saved corrections, and a sentence where they do not say what they are of: a list, of former versions.

    Raises:
        FileNotFoundError: There are none.
        ValueError: They are none.
        TypeError: The same.
    """
    content = _content(folder)
    if isinstance(content, dict):
        return [Patch.of_json(patch) for patch in content.get("patches", ())], []
    return [Patch.of_json(patch) for patch in content], [_UNSAID]


def write_saved(folder: Path, results: str, patches: Sequence[Patch], summary: Any = None) -> None:
    """Writes corrections, after the label and the training data, and by which it knows those again.

    Args:
        folder: The folder of corrections.
        results: The content of the results that were corrected.
        patches: The corrections, in order.
        summary: What the results' summary says, for programs that cannot compute the content.
    """
    written = {str(name): content_of(folder / name) for name in _USED}
    content = {OF_RESULTS: results, _SUMMARY: summary, _WRITTEN: written}
    content["patches"] = [patch.to_json() for patch in patches]
    with whole_file(folder / PATCHES) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def put_changed_aside(folder: Path) -> list[Path]:
    """Renames the label and the datalist where a person changed them since they were written; returns their names.

    Files of former versions, of which nothing says how they were written, are none of them.
    """
    try:
        written = _content(folder)[_WRITTEN]
        changed = [folder / name for name in _USED if _differs(folder / name, written[str(name)])]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    aside = [rename_aside(path) for path in changed]
    for path, former in zip(changed, aside, strict=True):
        logger.warning("%s was changed since it was saved, and is %s now.", path, former.name)
    return aside


def is_of_training(place: Path) -> bool:
    """Whether a file of the training data, by its path in their folder, was written with them."""
    first = place.parts[0]
    return place == Path(DATALIST) or first.split(".")[0].isdecimal() or is_junk(place.name)


def remove_saved(folder: Path) -> None:
    """Removes what was saved, and nothing that a person put there."""
    (folder / PATCHES).unlink()
    (folder / LABEL).unlink(missing_ok=True)
    training = folder / TRAINING
    for path in sorted(training.rglob("*"), reverse=True):  # what lies in a folder comes before it
        if path.is_dir() and not path.is_symlink():
            _remove_empty(path)
        elif is_of_training(path.relative_to(training)):
            path.unlink()
    _remove_empty(training)


def content_of(path: Path) -> str | None:
    """SHA-256, in hexadecimal, of what a file holds; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _differs(path: Path, written: str | None) -> bool:
    return content_of(path) not in (None, written)


def _content(folder: Path) -> Any:
    return json.loads((folder / PATCHES).read_text(encoding="utf-8"))


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

"""One folder, one run: a resumed training is the one that was begun there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import whole_file
from coseg_bundle.fingerprint import fingerprint


def check_same_run(checkpoint: str, settings: Mapping[str, Any], resume: bool = True) -> None:
    """Refuses to go on from the checkpoint of another run, and writes down which run this is, beside it.

    Args:
        checkpoint: The last checkpoint, which may not be there yet.
        settings: Plain values, by name, that a resumed run must have in common with the one before.
        resume: False begins anew: the checkpoint goes, so that nobody takes it for one of this run.

    Raises:
        ValueError: Data, classes or settings differ.
    """
    record = Path(checkpoint).with_name("run.json")
    now = json.loads(json.dumps(settings))
    if resume and Path(checkpoint).is_file() and record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        names = [name for name in {**before, **now} if not _alike(before.get(name), now.get(name))]
        if names:
            differing = "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in names)
            raise ValueError(
                f"{record.parent.parent} holds another run ({differing}): give the same to go on with it, another "
                "output_dir (--output), or resume false (--fresh) to begin anew there."
            )
    record.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        Path(checkpoint).unlink(missing_ok=True)
    with whole_file(record) as partial:
        partial.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def weights_named(path: str | PathLike[str] | None) -> str:
    """Name and content of a weights file, wherever it lies: most are called `model.pt`.

    Example:
        >>> weights_named(None)
        ''
    """
    if not path:
        return ""
    path = Path(path)
    return f"{path.name} ({fingerprint(path)[:8]})" if path.is_file() else path.name


def _alike(before: Any, now: Any) -> bool:
    """Whether values are the same; weights are, too, if only one of them has its content beside its name."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return all(map(_alike, before, now))
    names = isinstance(before, str) and isinstance(now, str) and before and now
    return bool(before == now or (names and (now.startswith(f"{before} (") or before.startswith(f"{now} ("))))

"""One folder, one run: a resumed training is the one that was begun there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import whole_file


def check_same_run(checkpoint: str, settings: Mapping[str, Any], resume: bool = True) -> None:
    """Refuses to go on from the checkpoint of another run, and writes down which run this is, beside it.

    Args:
        checkpoint: The last checkpoint, which may not be there yet.
        settings: Plain values, by name, that a resumed run must have in common with the one before.
        resume: False begins anew.

    Raises:
        ValueError: Data, classes or settings differ.
    """
    record = Path(checkpoint).with_name("run.json")
    now = json.loads(json.dumps(settings))
    if resume and Path(checkpoint).is_file() and record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            differing = "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in names)
            raise ValueError(
                f"{record.parent.parent} holds another run ({differing}): give what it had to go on, another "
                "output_dir (--output), or resume false (--fresh) to begin anew there."
            )
    record.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(record) as partial:
        partial.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")

"""Tries inputs one after the other, in one process, and says of each what came of it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

MEMORY = 3 * 2**30
"""Bytes that an input may take beside what the program has: more is no memory."""

MEGABYTES_WRITTEN = 512


def work(seed: int, first: int, only: int | None, doors: list[str] | None, kept: Path) -> int:
    """Tries inputs from `first` on, without end, or one alone; a line of JSON about each goes to the standard output.

    Args:
        seed: Of all that is drawn.
        first: Number of the first input.
        only: The one to try, with its traceback.
        doors: Names of the doors; all of them where not given.
        kept: Folder for what fails.
    """
    import pytest
    import torch

    from tests.cases.stand_in import stand_in

    from .targets import all_targets

    torch.set_num_threads(1)
    logging.getLogger("coseg_bundle").addHandler(logging.NullHandler())
    os.environ.setdefault("COSEG_BUNDLE", str(Path(__file__).parents[2]))
    told = os.fdopen(os.dup(1), "w")  # ours alone: whatever else prints goes to the standard error
    os.dup2(2, 1)
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory(prefix="coseg-fuzz-") as name:
        with stand_in(patch):
            targets = all_targets(Path(name))
        targets = [target for target in targets if not doors or target.door in doors]
        _limit()
        for number in [only] if only is not None else iter(range(first, 2**62)):
            rng = random.Random(f"{seed} {number}")
            [target] = rng.choices(targets, [target.weight for target in targets])
            context: Any = contextlib.nullcontext() if target.real else stand_in(patch)
            with context:
                done = tried(target, rng, Path(name) / "in")
            done |= {"number": number, "door": target.door}
            if done["outcome"] not in ("answer", "sentence") or only is not None:
                _keep(done, Path(name) / "in", kept / f"{seed}-{number}")
            print(json.dumps(done), file=told, flush=True)
            if only is not None:
                print(done["said"], done.get("traceback", ""), sep="\n", file=sys.stderr)
    return 0


def _limit() -> None:
    """No input takes more memory, or writes larger files, than any valid one would."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTES_WRITTEN * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tried(target: Any, rng: random.Random, folder: Path) -> dict[str, Any]:
    """Makes an input in an empty folder and has it read: `outcome` and what was `said`."""
    from tests.cases.case import snapshot
    from tests.cases.stand_in import write

    from .targets import damaged

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    write(*damaged(target, rng).items())(folder)
    before, outside = snapshot(folder), set(folder.parent.iterdir())
    code, said, trace = _run(target, folder)
    after = snapshot(folder)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)} - {"out.json"}
    outcome = {0: "answer", 1: "sentence"}.get(code, "traceback" if trace else f"exit code {code}")
    if changed or set(folder.parent.iterdir()) != outside:
        outcome, said = "files outside", f"{sorted(changed)} {said}"
    elif outcome == "sentence" and not said.strip():
        outcome = "no sentence"
    return {"outcome": outcome, "said": said[-1000:], "traceback": trace}


def _run(target: Any, folder: Path) -> tuple[int, str, str]:
    """Exit code, what was said, and a traceback where there should be none."""
    from coseg_bundle.cli import main

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            if isinstance(target.do, str):
                return main(target.do.split()), said.getvalue(), ""
            target.do(folder)
            return 0, said.getvalue(), ""
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue(), ""
    except (ValueError, OSError) as error:
        if isinstance(target.do, str):  # `main` makes sentences of these
            return -1, f"{type(error).__name__}: {error}", traceback.format_exc()
        return 1, str(error) or type(error).__name__, ""
    except BaseException as error:
        return -1, f"{type(error).__name__}: {error}", traceback.format_exc()


def _keep(done: dict[str, Any], folder: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept / "in", symlinks=True)
    (kept / "done.json").write_text(
        json.dumps({k: v for k, v in done.items() if k != "traceback"}, indent=2), encoding="utf-8"
    )
    (kept / "traceback.txt").write_text(done.get("traceback", ""), encoding="utf-8")

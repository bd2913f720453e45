"""Kills a run at a write: in a copy of this process, which ends without a word when a file is to take its place."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

KILLED = 77

MOMENTS = ("before", "half", "after")
"""Before a file takes its place, before it is written whole, after it took its place."""


def killed_at(write: int, moment: str, work: Callable[[], Any]) -> bool:
    """Does the work in a copy of this process; returns whether it was killed at its write of a number.

    Args:
        write: Number of the file, from 1, that takes its place by `os.replace`.
        moment: One of `MOMENTS`.
        work: What is done.
    """
    process = os.fork()
    if process == 0:
        _become_mortal(write, moment)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the run ended with {code}"
    return code == KILLED


def _become_mortal(write: int, moment: str) -> None:
    replace, written = os.replace, 0

    def counted(source: Any, target: Any, **options: Any) -> None:
        nonlocal written
        written += 1
        if written == write and moment == "half" and os.path.isfile(source):
            os.truncate(source, os.path.getsize(source) // 2)
        if written == write and moment != "after":
            os._exit(KILLED)
        replace(source, target, **options)
        if written == write:
            os._exit(KILLED)

    os.replace = counted


def survives(folder: Path, work: Callable[[Path], Any], writes: int, kills: int = 20, seed: int = 0) -> list[Path]:
    """Runs work again and again, each time killed at a random write, until it is done; then anew, until it was killed
    so many times.

    Args:
        folder: Gets a folder for each of the results.
        work: Writes results into a folder, and goes on with those that are there.
        writes: How many files an undisturbed run writes.
        kills: Least number of kills.
        seed: Of the writes and moments.

    Returns:
        The folders with results.
    """
    rng, killed, done = random.Random(seed), 0, []
    while killed < kills:
        place = folder / f"killed-{len(done)}"
        place.mkdir(parents=True)
        while killed_at(rng.randint(1, writes + 2), rng.choice(MOMENTS), partial(work, place)):  # + 2: some live on
            killed += 1
            assert killed < 50 * kills, "it does not come forward"
        done.append(place)
    return done


def count_writes(folder: Path, work: Callable[[Path], Any]) -> int:
    """How many files an undisturbed run writes."""
    replace, written = os.replace, 0

    def counted(source: Any, target: Any, **options: Any) -> None:
        nonlocal written
        written += 1
        replace(source, target, **options)

    os.replace = counted
    try:
        work(folder)
    finally:
        os.replace = replace
    return written


def files_of(folder: Path, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by name."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

"""Taking times and writing them down."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def seconds(*actions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Median time of each action; they take turns, so that a slow moment of the machine meets all of them."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def row(what: str, *columns: str) -> str:
    """A line of a table."""
    return f"  {what:<64}" + "".join(f"{column:>14}" for column in columns)


def in_own_process(action: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """What a function returns in a process of its own, and that process's peak memory in MB, as `peak`."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak, action, arguments).result()


def _with_peak(action: Callable[..., dict[str, float]], arguments: tuple[object, ...]) -> dict[str, float]:
    return action(*arguments) | {"peak": _peak_mb()}


def _peak_mb() -> float:
    """Linux's word; NaN elsewhere. (`resource.getrusage` would count what the parent held when this process began.)"""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), float("nan"))

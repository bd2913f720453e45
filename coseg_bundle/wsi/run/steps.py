"""The steps of a run, given to workers in an order that lets nuclei be found as soon as their tiles are there."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.run.worker import Task
from coseg_bundle.wsi.run.workers import WorkerError, Workers


class Progress(Protocol):
    """Is told how far a slide's run is."""

    def start(self, slide: Path, tiles: int, done: int) -> None:
        """A slide begins: its tiles with tissue, and how many of them are done."""

    def advance(self, tiles: int, nuclei: int) -> None:
        """So many more tiles and nuclei are done."""


def run_steps(journal: Journal, workers: Workers, progress: Progress | None = None) -> dict[str, float]:
    """Has every missing step of a journal done, nuclei as soon as their tiles are there; returns the time by part."""
    tiles, pieces = journal.done()
    batches = deque(batch for batch in journal.batches if not tiles.issuperset(batch))
    owners: dict[int, list[int]] = {}
    missing: dict[int, int] = {}
    for piece in range(len(journal.pieces)):
        needed = journal.tiles_of(piece)
        if needed and piece not in pieces:
            missing[piece] = len(open_tiles := [tile for tile in needed if tile not in tiles])
            for tile in open_tiles:
                owners.setdefault(tile, []).append(piece)
    ready = deque(piece for piece, count in missing.items() if not count)
    postponed: list[int] = []
    seconds = dict.fromkeys(("read", "network", "postprocess", "write"), 0.0)
    running, batches_running = 0, 0
    while batches or ready or postponed or running:
        if not batches and not batches_running:
            ready.extend(postponed)
            postponed = []
        while ready and workers.free("piece"):
            workers.submit(Task(journal.folder, "piece", (ready.popleft(),)))
            running += 1
        while batches and workers.free("tiles"):
            workers.submit(Task(journal.folder, "tiles", batches.popleft()))
            running, batches_running = running + 1, batches_running + 1
        for task, done in workers.wait() if running else ():
            running -= 1
            for part, value in done.seconds.items():
                seconds[part] += value
            if task.kind == "tiles":
                batches_running -= 1
                new = [tile for tile in task.numbers if tile not in tiles]
                for piece in (piece for tile in new for piece in owners.get(tile, ())):
                    missing[piece] -= 1
                    if not missing[piece]:
                        ready.append(piece)
            elif done.postponed:
                postponed.append(task.numbers[0])
            if progress:
                progress.advance(len(new) if task.kind == "tiles" else 0, done.nuclei)
    return seconds


def drain(workers: Workers) -> None:
    """Lets the tasks of a slide that failed come to their ends, before those of the next one begin."""
    while workers.busy:
        with suppress(WorkerError):
            workers.wait()

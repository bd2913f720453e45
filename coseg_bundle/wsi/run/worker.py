"""What one worker does: tiles through the network, and pieces of the maps into nuclei. The same wherever it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coseg_bundle.atomic import whole_file
from coseg_bundle.engine.cores import forget_layers, keep_memory, keep_to
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.wsi.read.reader import SlideReader, SlideReadError, open_slide
from coseg_bundle.wsi.run.journal import Journal, TileNotReadyError
from coseg_bundle.wsi.run.pieces import write_piece
from coseg_bundle.wsi.segment.nuclei import NucleiTable, find_nuclei
from coseg_bundle.wsi.segment.tiles import TileImage, infer_tiles, read_tile, window_settings

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.precision import Precision


@dataclass(frozen=True)
class Task:
    """A step of a slide's run.

    Attributes:
        folder: The slide's folder of results.
        kind: `tiles` or `piece`.
        numbers: The tiles of a batch, or the one piece.
    """

    folder: Path
    kind: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """What a step brought.

    Attributes:
        nuclei: Number of nuclei found.
        seconds: Time by part: `read`, `network`, `postprocess`, `write`.
        postponed: Whether it needs tiles that are not done yet.
    """

    nuclei: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    postponed: bool = False


@dataclass(frozen=True)
class BundlePredictor:
    """Makes the predictor in the process that needs it.

    Args:
        bundle: The bundle's folder; found by itself when not given.
        weights: A weights file instead of the bundle's.
        device: For example `cpu` or `cuda`.
        tile_px: Side of the tiles, which is also the side of the windows that the network sees.
        batch_size: Tiles that go through the network together.
        engine: What computes the network.
    """

    bundle: Path | None
    weights: Path | None
    device: str | None
    tile_px: int
    batch_size: int
    engine: str = "torch"

    def __call__(self, precision: str | Precision) -> Predictor:
        """The predictor."""
        from coseg_bundle.inferers import Predictor

        return Predictor.from_bundle(
            self.bundle,
            self.weights,
            self.device,
            self.engine,
            precision,
            **window_settings(self.tile_px, self.batch_size),
        )


class Worker:
    """Does tasks, from several threads at a time if need be: one tile batch is read while another is in the network.

    Args:
        make_predictor: Makes the predictor for a `precision`; called when the first tiles come.
        threads: Threads of the network on a CPU, and of OpenCV.
        turns: Whether the network and the post-processing take turns, since they have one core between them; reading
            goes on beside them.
    """

    def __init__(self, make_predictor: Callable[..., Predictor], threads: int = 1, turns: bool = False) -> None:
        keep_memory(large=False)  # before there are threads, which would have heaps of their own
        forget_layers()
        self._make_predictor, self._threads = make_predictor, threads
        self._predictor: Predictor | None = None
        self._precision: str | None = None
        self._network = threading.Lock()
        self._core = self._network if turns else nullcontext()
        self._opening = threading.Lock()
        self._journal: Journal | None = None
        self._reader: SlideReader | None = None

    def do(self, task: Task) -> Done:
        """Does one step and files what it brought."""
        journal, reader = self._open(task.folder)
        return (
            self._tiles(journal, reader, task.numbers)
            if task.kind == "tiles"
            else self._piece(journal, task.numbers[0])
        )

    def _open(self, folder: Path) -> tuple[Journal, SlideReader]:
        with self._opening:
            if self._journal is None:
                _keep_to(self._threads)
            if self._journal is None or self._reader is None or self._journal.folder != folder:
                self._journal = Journal.load(folder)
                plan = self._journal.plan
                self._reader = open_slide(plan.slide, plan.mpp, plan.origin)
            return self._journal, self._reader

    def _tiles(self, journal: Journal, reader: SlideReader, tiles: tuple[int, ...]) -> Done:
        seconds: dict[str, float] = {}
        failures: dict[int, str] = {}
        with _timed(seconds, "read"):
            images = []
            for tile in tiles:
                part = journal.part(tile)
                try:
                    images.append(read_tile(reader, journal.grid, tile, journal.plan.network_mpp, part))
                except SlideReadError as error:  # a white one in its place keeps the batch as it would be
                    failures[tile] = str(error)
                    images.append(TileImage.blank(part))
        with self._network:
            predictor = self._ready(journal.plan.precision)
            elsewhere = getattr(predictor.device, "type", "cpu") != "cpu"
            with _timed(seconds, "network", wall=elsewhere or self._threads > 1), resolution_known():
                maps = infer_tiles(predictor, images, journal.layout)  # a slide of unknown resolution is not planned
        with _timed(seconds, "write"):
            for tile, found in zip(tiles, maps, strict=True):
                journal.save_maps(tile, failures.get(tile, found))
        return Done(seconds=seconds)

    def _piece(self, journal: Journal, piece: int) -> Done:
        seconds: dict[str, float] = {}
        try:
            with self._core, _timed(seconds, "postprocess"):
                table, corner = find_nuclei(journal.layout, journal.maps, journal.pieces[piece].core, journal.nuclei)
                plan = journal.plan
                nuclei = NucleiTable.of(table, *corner, journal.scale, plan.network_mpp, plan.size_xy)
        except TileNotReadyError:
            return Done(seconds=seconds, postponed=True)
        with _timed(seconds, "write"), whole_file(journal.piece_file(piece)) as partial:
            write_piece(partial, nuclei)
        return Done(len(nuclei), seconds)

    def _ready(self, precision: str) -> Predictor:
        """The predictor in the precision of the plan, whatever this processor would choose."""
        if self._predictor is None or self._precision != precision:
            keep_to(self._threads)
            self._predictor, self._precision = self._make_predictor(precision=precision), precision
        return self._predictor


def _keep_to(threads: int) -> None:
    """Limits OpenCV, which would take every core of the machine in each worker."""
    import cv2

    cv2.setNumThreads(threads)


@contextmanager
def _timed(seconds: dict[str, float], part: str, wall: bool = False) -> Iterator[Any]:
    """Adds the time of a block: of this thread's processor, or by the clock where others work for it."""
    clock = time.perf_counter if wall else time.thread_time
    start = clock()
    try:
        yield
    finally:
        seconds[part] = seconds.get(part, 0.0) + clock() - start

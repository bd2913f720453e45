"""A page that shows how a training goes: the curve, and the worst validation images with truth and prediction."""

from __future__ import annotations

import heapq
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.images import stem_of
from coseg_bundle.evaluation.report import Report, count_image
from coseg_bundle.handlers.page import Tile, page
from coseg_bundle.metrics.monai_metrics import plane

logger = logging.getLogger(__name__)

HISTORY, PAGE = "progress.json", "progress.html"

_CLOCKS = ("seconds", "cpu_seconds")
"""By the clock, and of the main process; those of earlier parts of a training count."""

_NOTHING = {keys.INSTANCES: UNLABELLED_INSTANCE, keys.TYPES: UNLABELLED, keys.TISSUE: UNLABELLED}
"""What pixels without a label have; a task without any is not shown."""


class ProgressPageHandler:
    """Writes `progress.html` and the numbers behind it, `progress.json`, after each validation.

    Args:
        output_dir: Folder of the training.
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first.
        epoch_steps: Steps of an epoch of the training.
        epochs: How many epochs it has; 0 where nobody knows.
        fresh: Whether this training begins anew; otherwise what an earlier part of it wrote stays.
        worst: How many images are shown.
    """

    def __init__(
        self,
        output_dir: str,
        tissue_classes: Sequence[str],
        nuclei_classes: Sequence[str],
        epoch_steps: int = 1,
        epochs: int = 0,
        fresh: bool = True,
        worst: int = 4,
    ) -> None:
        self.folder, self.epoch_steps, self.epochs, self.worst = Path(output_dir), epoch_steps, epochs, worst
        self.tissue_classes, self.nuclei_classes = list(tissue_classes), list(nuclei_classes)
        self.history: list[dict[str, Any]] = [] if fresh else _read(self.folder / HISTORY)
        self._before = {name: max((row.get(name, 0.0) for row in self.history), default=0.0) for name in _CLOCKS}
        self._started = time.monotonic()
        self._start()

    def attach(self, engine: Engine) -> None:
        """Registers the handler, on the evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._see)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self) -> None:
        self._report = Report()
        self._tiles: list[tuple[float, int, Tile]] = []

    def _see(self, engine: Engine) -> None:
        for item in engine.state.output:
            truth = {name: plane(label) for name, label in item[CommonKeys.LABEL].items() if name in keys.LABELS}
            predicted = {keys.INSTANCES: plane(item[keys.PRED_INSTANCES]), keys.TISSUE: plane(item[keys.PRED_TISSUE])}
            typed = keys.PRED_TYPES in item and len(self.nuclei_classes) > 2
            types = plane(item[keys.PRED_TYPES]) if typed else None
            instances, tissue = predicted[keys.INSTANCES], predicted[keys.TISSUE]
            counts = count_image(instances, tissue, types, truth, self.tissue_classes, self.nuclei_classes)
            name = self._name(item)
            self._report.add(name, *counts)
            scores = self._report.per_image[name]
            main = [scores[key] for key in ("nuclei_pq", "tissue_dice") if not math.isnan(scores.get(key, math.nan))]
            if main and self.worst:
                if types is not None:
                    predicted[keys.TYPES] = types
                shown = {key: label for key, label in truth.items() if (label != _NOTHING[key]).any()}
                found = {key: label for key, label in predicted.items() if key in shown}
                self._keep(float(np.mean(main)), Tile(name, _rgb(item), shown, found, scores))

    def _name(self, item: Mapping[str, Any]) -> str:
        name = stem_of(item[CommonKeys.IMAGE].meta["filename_or_obj"])
        number = sum(other.rsplit(" #")[0] == name for other in self._report.per_image)
        return f"{name} #{number + 1}" if number else name

    def _keep(self, score: float, tile: Tile) -> None:
        """The worst few stay; a tile is cut to its worst part, so that they stay small."""
        entry = (-score, len(self._report.per_image), tile)
        if len(self._tiles) < self.worst:
            heapq.heappush(self._tiles, (*entry[:2], tile.worst_part()))
        elif entry > self._tiles[0]:
            heapq.heapreplace(self._tiles, (*entry[:2], tile.worst_part()))

    def __call__(self, engine: Engine) -> None:
        """Writes both files."""
        if not self._report.per_image:
            return
        step = engine.state.epoch * self.epoch_steps  # an evaluator counts the trainer's epochs
        self.history = [row for row in self.history if row["step"] < step]
        self.history.append(
            {
                "step": step,
                "seconds": round(self._before["seconds"] + time.monotonic() - self._started, 1),
                "cpu_seconds": round(self._before["cpu_seconds"] + time.process_time(), 1),
                "mean": _plain(self._report.mean),
                "pooled": _plain(self._report.pooled),
                "none_found": self._report.none_found,
            }
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._report.none_found:
            many = len(self._report.none_found)
            logger.warning("Found no nuclei at all in %d of the validation images that have some.", many)
        with whole_file(self.folder / HISTORY) as path:
            path.write_text(json.dumps(self.history, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        tiles = [tile for _, _, tile in sorted(self._tiles, key=lambda entry: -entry[0])]
        with whole_file(self.folder / PAGE) as path:
            text = page(
                self.folder.name,
                self.history,
                self.epochs * self.epoch_steps,
                tiles,
                self.tissue_classes,
                self.nuclei_classes,
            )
            path.write_text(text, encoding="utf-8")
        self._tiles = []


def _read(path: Path) -> list[dict[str, Any]]:
    """What an earlier part of the training wrote; nothing where that cannot be read, since it is only for looking."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        plain = [all(isinstance(row.get(name, 0.0), int | float) for name in ("step", *_CLOCKS)) for row in rows]
        return [row for row, usable in zip(rows, plain, strict=True) if usable and "step" in row]
    except (OSError, ValueError, AttributeError):
        return []


def _rgb(item: Mapping[str, Any]) -> NDArray[np.uint8]:
    image = item[CommonKeys.IMAGE]
    image = image.as_tensor() if hasattr(image, "as_tensor") else image
    rgb: NDArray[np.uint8] = (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()  # (3, H, W) -> (H, W, 3)
    return np.ascontiguousarray(rgb)


def _plain(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(float(value), 5) for name, value in scores.items()}

"""Pictures of a report: how scores spread over images, and what the worst and the best look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images import read_image, read_instances_of, read_label_of
from coseg_bundle.engine.choice import is_installed
from coseg_bundle.evaluation.prediction_files import PredictedMaps, names_of, read_prediction
from coseg_bundle.evaluation.report import Report

_MAIN = ("nuclei_pq", "nuclei_aji", "nuclei_dice", "tissue_dice", "tissue_miou")
_TRUE, _PREDICTED = (255, 221, 0), (0, 200, 60)


def write_plots(
    report: Report,
    items: Sequence[dict[str, Any]],
    predictions: Path,
    folder: Path,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
) -> list[Path]:
    """Writes `scores.png` and, for each task, `worst_TASK.png` and `best_TASK.png`; returns what was written.

    Raises:
        ValueError: matplotlib is not installed.
    """
    if not is_installed("matplotlib"):
        raise ValueError("Plots need matplotlib, which is not installed; pip install matplotlib, or give --no-plots.")
    written = [_distributions(report, folder)]
    for task, name in ((keys.INSTANCES, "nuclei_pq"), (keys.TISSUE, "tissue_dice")):
        scored = {s: row[name] for s, row in report.per_image.items() if name in row and not np.isnan(row[name])}
        by_stem = dict(zip(names_of(items), items, strict=True))
        for which, choose in (("worst", min), ("best", max)):
            if scored:
                stem = choose(scored, key=lambda s: scored[s])
                path = folder / f"{which}_{name.split('_')[0]}.png"
                _picture(by_stem[stem], predictions, stem, task, nuclei_classes, path)
                written.append(path)
    return written


def _distributions(report: Report, folder: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = {
        name: [row[name] for row in report.per_image.values() if not np.isnan(row.get(name, np.nan))] for name in _MAIN
    }
    columns = {name: values for name, values in columns.items() if values}
    figure = Figure(figsize=(1.2 + 1.3 * len(columns), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for position, values in enumerate(columns.values()):
        spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(values))
        axes.plot(position + spread, values, "o", markersize=4, alpha=0.6)
        axes.hlines(np.mean(values), position - 0.25, position + 0.25, colors="black")
    axes.set_xticks(range(len(columns)), [name.replace("_", "\n") for name in columns])
    axes.set_ylim(0, 1)
    axes.set_title("Each image, and the mean")
    path = folder / "scores.png"
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)
    return path


def _picture(
    item: dict[str, Any], predictions: Path, stem: str, task: str, nuclei_classes: Sequence[str], path: Path
) -> None:
    """The image with the true outlines (yellow) and the predicted ones (green)."""
    from PIL import Image

    image = read_image(item[keys.IMAGE]).rgb
    canvas = image.copy()
    shape = image.shape[:2]
    found = read_prediction(predictions, stem, shape, nuclei_classes, [task], item[keys.IMAGE])
    if task == keys.INSTANCES:
        truth, _ = read_instances_of(item[keys.IMAGE], shape, item[task])
    else:
        truth = read_label_of(item[keys.IMAGE], shape, item[task])
    for label_map, colour in ((truth, _TRUE), (_map_of(found, task), _PREDICTED)):
        if label_map is not None:
            canvas[_outlines(label_map)] = colour
    with whole_file(path) as partial:
        Image.fromarray(canvas).save(partial)


def _map_of(found: PredictedMaps, task: str) -> NDArray[np.integer] | None:
    return found.instance_map if task == keys.INSTANCES else found.tissue_map


def _outlines(label_map: NDArray[np.integer]) -> NDArray[np.bool_]:
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(label_map, mode="inner"))


def plot_learning(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws score against annotated images, the mean over seeds and every seed, a line for each strategy.

    Args:
        rows: `strategy`, `seed`, `annotated`, `score`.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for strategy, colour in (("random", "0.5"), ("coseg_disagreement", "#00a087")):
        of_seed: dict[int, list[tuple[int, float]]] = {}
        for row in rows:
            if row["strategy"] == strategy:
                of_seed.setdefault(row["seed"], []).append((row["annotated"], row["score"]))
        curves = np.array(list(of_seed.values()))  # (seeds, rounds, 2)
        for curve in curves:
            axes.plot(*curve.T, color=colour, alpha=0.3, linewidth=1)
        axes.plot(*curves.mean(axis=0).T, color=colour, marker="o", label=strategy)
    axes.set_xlabel("annotated images")
    axes.set_ylabel("mean of nuclei PQ and gland Dice")
    axes.legend()
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)

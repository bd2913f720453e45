"""Ours against MONAI's panoptic quality and against masks, one by one; time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import torch
from monai.metrics import PanopticQualityMetric
from numpy.typing import NDArray

from coseg_bundle.benchmarks.generated import ellipses
from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.metrics import aggregated_jaccard_index, contingency, panoptic_quality


def lines() -> Iterator[str]:
    """The section."""
    truth = ellipses(1400)
    pred = np.roll(truth, (2, 1), (0, 1))
    yield "\nMetrics of 1024 x 1024"
    yield row("PQ: ours, MONAI", f"{ours(pred, truth)[0]:.6f}", f"{monai(pred, truth):.6f}")
    t_ours, t_monai = seconds(lambda: ours(pred, truth), lambda: monai(pred, truth), rounds=3)
    yield row(
        "1400 nuclei: PQ and AJI ours, PQ MONAI, MONAI / ours",
        f"{t_ours:.3f} s",
        f"{t_monai:.2f} s",
        f"x {t_monai / t_ours:.0f}",
    )
    start = time.perf_counter()
    values = masks_one_by_one(pred, truth)
    t_masks = time.perf_counter() - start
    yield row("PQ and AJI: ours, masks one by one", *(f"{a:.3f} {b:.3f}" for a, b in (ours(pred, truth), values)))
    yield row(
        "1400 nuclei: ours, masks one by one (once), ratio",
        f"{t_ours:.3f} s",
        f"{t_masks:.1f} s",
        f"x {t_masks / t_ours:.0f}",
    )
    tracemalloc.start()
    ours(pred, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield row("peak memory / the two maps (below 5)", f"{peak / (pred.nbytes + truth.nbytes):.2f}")
    maps = {count: ellipses(count) for count in (100, 1000, 10000)}
    taken = seconds(*(lambda m=m: ours(np.roll(m, 1, 1), m) for m in maps.values()))
    yield row("100, 1000, 10000 nuclei", *(f"{t:.3f} s" for t in taken))


def ours(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[float, float]:
    """PQ and AJI from one contingency table."""
    table = contingency(pred, truth)
    return panoptic_quality(pred, truth, table=table).pq, aggregated_jaccard_index(pred, truth, table=table)


def monai(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
    """PQ by MONAI."""
    metric = PanopticQualityMetric(num_classes=1, metric_name="pq", smooth_numerator=0.0)
    maps = [torch.from_numpy(np.stack([x, x > 0]).astype(np.int64))[None] for x in (pred, truth)]
    metric(maps[0], maps[1])
    return float(metric.aggregate())


def masks_one_by_one(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[float, float]:
    """PQ and AJI as they are usually written: whole-image masks, compared pair by pair."""
    pred_masks = {i: pred == i for i in np.unique(pred[pred > 0])}
    intersections = unions = ious = 0.0
    matched, used = 0, set()
    true_ids = np.unique(truth[truth > 0])
    for true_id in true_ids:
        mask = truth == true_id
        best_iou, best, best_pair = 0.0, None, (0.0, float(mask.sum()))
        for pred_id in np.unique(pred[mask]):
            if pred_id == 0:
                continue
            both, either = (mask & pred_masks[pred_id]).sum(), (mask | pred_masks[pred_id]).sum()
            if both / either > best_iou:
                best_iou, best, best_pair = both / either, pred_id, (both, either)
        intersections, unions = intersections + best_pair[0], unions + best_pair[1]
        if best is not None:
            used.add(best)
        if best_iou > 0.5:
            matched, ious = matched + 1, ious + best_iou
    unions += sum(mask.sum() for pred_id, mask in pred_masks.items() if pred_id not in used)
    return ious / (matched + (len(pred_masks) + len(true_ids) - 2 * matched) / 2), intersections / unions

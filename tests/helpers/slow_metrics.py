"""The metrics from their definitions, mask by mask."""

from __future__ import annotations

import numpy as np


def _masks(label_map: np.ndarray) -> list[np.ndarray]:
    return [label_map == i for i in np.unique(label_map) if i > 0]


def _labelled(pred: np.ndarray, truth: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Masks of truth and prediction on labelled pixels; of the latter only what can be judged."""
    known = truth >= 0
    truths, preds = _masks(np.where(known, truth, 0)), []
    for whole in _masks(pred):
        mask = whole & known
        matches = any((t & mask).sum() / (t | mask).sum() > 0.5 for t in truths)
        if mask.any() and (matches or 2 * (whole & ~known).sum() <= whole.sum()):
            preds.append(mask)
    return truths, preds


def slow_panoptic(pred: np.ndarray, truth: np.ndarray, threshold: float = 0.5) -> tuple[int, int, int, float]:
    truths, preds = _labelled(pred, truth)
    tp, iou_sum = 0, 0.0
    for t in truths:
        for p in preds:
            iou = (t & p).sum() / (t | p).sum()
            if iou > threshold:
                tp, iou_sum = tp + 1, iou_sum + iou
    return tp, len(preds) - tp, len(truths) - tp, iou_sum


def slow_aji(pred: np.ndarray, truth: np.ndarray) -> float:
    truths, preds = _labelled(pred, truth)
    overlap = union = 0
    used = set()
    for t in truths:
        ious = [(t & p).sum() / (t | p).sum() for p in preds]
        best = int(np.argmax(ious)) if ious else -1
        if best < 0 or ious[best] == 0:
            union += t.sum()
            continue
        used.add(best)
        overlap += (t & preds[best]).sum()
        union += (t | preds[best]).sum()
    union += sum(p.sum() for i, p in enumerate(preds) if i not in used)
    return overlap / union if union else float("nan")


def slow_aji_plus(pred: np.ndarray, truth: np.ndarray) -> float:
    """Every one-to-one matching is tried."""
    from itertools import permutations

    truths, preds = _labelled(pred, truth)
    iou = np.array([[(t & p).sum() / (t | p).sum() for p in preds] for t in truths]).reshape(len(truths), len(preds))
    size = max(iou.shape, default=0)
    padded = np.zeros((size, size))
    padded[: iou.shape[0], : iou.shape[1]] = iou
    best = max(permutations(range(size)), key=lambda p: padded[range(size), p].sum()) if size else ()
    pairs = [(t, p) for t, p in enumerate(best) if padded[t, p] > 0]
    overlap = sum((truths[t] & preds[p]).sum() for t, p in pairs)
    union = sum((truths[t] | preds[p]).sum() for t, p in pairs)
    union += sum(m.sum() for t, m in enumerate(truths) if t not in {t for t, _ in pairs})
    union += sum(m.sum() for p, m in enumerate(preds) if p not in {p for _, p in pairs})
    return overlap / union if union else float("nan")

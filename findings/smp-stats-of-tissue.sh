#!/usr/bin/env bash
# segmentation_models_pytorch's metrics of tissue classes: masks of more than 16.8 million px, and reduction="weighted-imagewise".
#
# Expected: get_stats(mode="multiclass") counts the pixels of each class, in images of any size: tp + fp + fn + tn is their number. A
# right answer has an IoU of 1 with every reduction; "weighted-imagewise" is a weighted average over the classes, then the mean over
# the images.
# Seen (segmentation-models-pytorch 0.6.0, torch 2.13.0, numpy 2.4.6, CPython 3.11): up to 4096 x 4096 the counts are right. Of a mask
# of 6000 x 6000 px, a slide at about 8 um a pixel, whose upper quarter is tumour, and whose lower half is taken for it besides, of the
# 18,000,000 px that are missed 7,777,216 are left, and its IoU is 0.536 for 0.333: counts are float32, and stop at 16,777,216 (2 **
# 24) for each thread of torch, here one. In 8192 x 8192 no missed px is left, and the IoU is 1 for 0.333. mode="multilabel" is right.
# "weighted-imagewise" gives a right answer 1 / (number of classes): 0.25 with four classes, whatever the weights, as it divides once
# more after the weights, which sum to 1. "weighted" is right. Nothing is said about either.
# What follows: cut masks into tiles and sum their counts; multiply "weighted-imagewise" by the number of classes.
# Installed without its dependencies: the module of the metrics needs torch alone, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "segmentation-models-pytorch==0.6.0"
cat > stats.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import torch

path = distribution("segmentation-models-pytorch").locate_file("segmentation_models_pytorch/metrics/functional.py")
spec = importlib.util.spec_from_file_location("metrics", path)
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)
torch.set_num_threads(1)


def counts(found, true):
    """tp, fp, fn and tn of the background, as said and by hand."""
    said = [int(count[0, 0]) for count in metrics.get_stats(found, true, mode="multiclass", num_classes=2)]
    one, other = found == 0, true == 0
    return said, [int(part.sum()) for part in (one & other, one & ~other, ~one & other, ~one & ~other)]


def iou(tp, fp, fn, tn):
    return tp / (tp + fp + fn)


print(*(f"{name} {version(name)}" for name in ("segmentation-models-pytorch", "torch", "numpy")))
ratios, right = {}, {}
for size in (2048, 4096, 6000, 8192):
    true = torch.zeros((1, size, size), dtype=torch.long)
    true[:, : size // 4] = 1
    found = true.clone()
    found[:, size // 2 :] = 1
    said, hand = counts(found, true)
    ratios[size], right[size] = iou(*said), iou(*hand)
    print(f"{size} x {size}: tp, fp, fn, tn {said}, by hand {hand}; IoU {ratios[size]:.3f}, by hand {right[size]:.3f}")
    as_layers = [metrics.get_stats((mask == 0)[:, None].long(), (other == 0)[:, None].long(), mode="multilabel")
                 for mask, other in [(found, true)]][0]
    if [int(count[0, 0]) for count in as_layers] != hand:
        sys.exit(1)
    del true, found
tissue = torch.randint(0, 4, (3, 64, 64), generator=torch.Generator().manual_seed(0))
stats = metrics.get_stats(tissue, tissue, mode="multiclass", num_classes=4)
scores = {}
for reduction in ("micro", "macro", "macro-imagewise", "weighted", "weighted-imagewise"):
    weights = [0.1, 0.2, 0.3, 0.4] if "weighted" in reduction else None
    scores[reduction] = round(metrics.iou_score(*stats, reduction=reduction, class_weights=weights).item(), 4)
print("IoU of a right answer, four classes:", scores)
as_seen = ratios[2048] == right[2048] and ratios[4096] == right[4096] and right[8192] == right[2048]
as_seen &= ratios[6000] > 1.05 * right[6000] and ratios[8192] > 0.9
as_seen &= scores["weighted-imagewise"] == 0.25 and all(score == 1 for name, score in scores.items() if name != "weighted-imagewise")
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stats.py

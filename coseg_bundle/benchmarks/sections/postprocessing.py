"""Ours against MONAI's and HoVer-Net's own post-processing, and against twice the nuclei.

The authors' code is no package: `COSEG_HOVER_NET` names a checkout of github.com/vqdang/hover_net.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from monai.apps.pathology.transforms.post.array import (
    HoVerNetInstanceMapPostProcessing,
    HoVerNetNuclearTypePostProcessing,
)

from coseg_bundle.benchmarks.generated import ellipses, network_output
from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing


def lines() -> Iterator[str]:
    """The section."""
    layout = HeadLayout(2, 5)
    ours = PostProcessing(layout, min_nucleus_area_px=10)
    preds = {count: network_output(ellipses(count)) for count in (400, 800, 1600)}
    parts = layout.split(preds[800], channel_dim=0)
    logit = parts["nuclei_logits"]
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (np.concatenate([-logit, logit]), parts["hv_map"])]
    type_logits = torch.from_numpy(np.ascontiguousarray(parts["type_logits"]))
    instances_of_monai = HoVerNetInstanceMapPostProcessing(sobel_kernel_size=21, min_object_size=10)
    types_of_monai = HoVerNetNuclearTypePostProcessing()

    def monai() -> dict[int, object]:
        info, instance_map = instances_of_monai(*tensors)
        return dict(types_of_monai(type_logits, info, instance_map)[0])

    yield "\nPost-processing of 1024 x 1024: instances, contours, classes, table"
    yield row("nuclei found, of 800: ours, MONAI", str(len(ours(preds[800]).instances)), str(len(monai())))
    t_ours, t_monai = seconds(lambda: ours(preds[800]), monai, rounds=3)
    yield row(
        "800 nuclei: ours, MONAI, ours / MONAI (at most 0.33)",
        f"{t_ours:.2f} s",
        f"{t_monai:.2f} s",
        f"{t_ours / t_monai:.3f}",
    )
    t_400, t_800, t_1600 = seconds(*(lambda pred=pred: ours(pred) for pred in preds.values()))
    if os.environ.get("COSEG_HOVER_NET"):
        yield from against_the_authors(ours, preds)
    yield row("400 to 800 and 800 to 1600 nuclei (below 2)", f"x {t_800 / t_400:.2f}", f"x {t_1600 / t_800:.2f}")


def against_the_authors(ours: PostProcessing, preds: Mapping[int, Any]) -> Iterator[str]:
    """Rows beside Graham et al.'s published function."""
    sys.path.insert(0, os.environ["COSEG_HOVER_NET"])
    process = import_module("models.hovernet.post_proc").process

    for count, most in ((800, 0.33), (1600, 0.25)):
        pred, maps = preds[count], as_hovernet(ours.layout, preds[count])

        def own(pred: Any = pred) -> object:
            return ours(pred)

        def theirs(maps: Any = maps) -> object:
            return process(maps, nr_types=6, return_centroids=True)

        t_ours, t_theirs = seconds(own, theirs, rounds=9)
        what = f"{count} nuclei: ours, HoVer-Net's own, ours / theirs (at most {most})"
        yield row(what, f"{t_ours:.2f} s", f"{t_theirs:.2f} s", f"{t_ours / t_theirs:.3f}")


def as_hovernet(layout: HeadLayout, pred: Any) -> Any:
    """Class, probability and hv map `(H, W, 4)` as HoVer-Net's function takes them."""
    parts = layout.split(pred, channel_dim=0)
    prob = 1 / (1 + np.exp(-parts["nuclei_logits"][0]))
    return np.stack([parts["type_logits"].argmax(0), prob, *parts["hv_map"]], axis=-1).astype(np.float32)

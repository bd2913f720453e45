"""An image through the released network: by precision, by part, beside what the processor can do; one thread."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from coseg_bundle.benchmarks.timing import in_own_process, row, seconds
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers import Predictor
from coseg_bundle.precision import Precision, resolve

PARTS = ("image_encoder.trunk", "image_encoder.neck", "image_encoder.pyramid", "image_encoder.detail")
DECODER = ("mp_decoder.tissue", "mp_decoder.nuclei", "rp_encoder.from_nuclei", "rp_encoder.from_tissue")


def lines(side: int = 1024, rounds: int = 3) -> Iterator[str]:
    """The section."""
    torch.set_num_threads(1)
    auto = resolve("auto", "cpu")
    yield f"\nInference of {side} x {side} px, one thread; auto is {auto}"
    rates = {p.name: matrix_rate(p) for p in (Precision("fp32"), auto)}
    for name, rate in rates.items():
        yield row(f"matrix product of 2048 x 2048, {name}", f"{rate / 1e9:.0f} GFLOP/s")
    rgb = synthetic_tissue(size=side, seed=0).rgb
    predictors = {name: Predictor.from_bundle(device="cpu", engine="torch", precision=name) for name in rates}
    for predictor in predictors.values():
        predictor.predict(rgb)
    taken = dict(
        zip(rates, seconds(*(lambda p=p: p.predict(rgb) for p in predictors.values()), rounds=rounds), strict=True)
    )
    work = operations(predictors["fp32"], rgb)
    yield row("operations, of which in windows and from afar", f"{work / 1e9:.0f} GFLOP")
    for name, spent in taken.items():
        share = work / spent / rates[name]
        yield row(f"predict, {name}; of the matrix product's rate", f"{spent:.2f} s", f"{share:.2f}")
    if len(taken) > 1:
        yield row(f"{auto.name} / fp32", f"{taken[auto.name] / taken['fp32']:.3f}")
    for part, spent in times_of_parts(predictors[auto.name].network, side, auto).items():
        yield row(f"part of one window, {auto.name}: {part}", f"{100 * spent:.0f} %")
    peak = in_own_process(predict_once, side)["peak"]
    yield row("peak memory of a process that predicts (at most 1,100)", f"{peak:.0f} MB")


def matrix_rate(precision: Precision, side: int = 2048) -> float:
    """Operations per second of a matrix product."""
    a = torch.rand(side, side).to(precision.dtype)
    a @ a
    (spent,) = seconds(lambda: a @ a)
    return 2 * side**3 / spent


def operations(predictor: Predictor, rgb: np.ndarray) -> float:
    """Multiplications and additions of matrix products and convolutions in one prediction."""
    predictor.network.requires_grad_(False)  # the counter hooks whatever may have a gradient
    with FlopCounterMode(display=False) as counter:  # without no_grad: it does not know oneDNN's fused layers
        predictor.inferer(predictor.to_tensor(rgb), predictor.network)
    return float(counter.get_total_flops())


def times_of_parts(network: nn.Module, side: int, precision: Precision) -> dict[str, float]:
    """Share of each part in the time of the network, by forward hooks."""
    spent: dict[str, float] = defaultdict(float)
    started: dict[str, float] = {}
    hooks = []
    for name in (*PARTS, *DECODER):
        part = network.get_submodule(name) if name in dict(network.named_modules()) else None
        if part is None:
            continue
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: started.update({name: time.perf_counter()})))
        hooks.append(
            part.register_forward_hook(
                lambda *_, name=name: spent.update({name: spent[name] + time.perf_counter() - started[name]})
            )
        )
    image = torch.rand(1, 3, side, side)
    with torch.inference_mode(), torch.autocast("cpu", precision.dtype, enabled=precision.name != "fp32"):
        network(image)
        spent.clear()
        start = time.perf_counter()
        network(image)
        whole = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    parts = {name: value / whole for name, value in spent.items()}
    return {**parts, "the rest": 1 - sum(parts.values())}


def predict_once(side: int) -> dict[str, float]:
    """Nuclei of a generated image, in a process whose memory is looked at."""
    torch.set_num_threads(1)
    predictor = Predictor.from_bundle(device="cpu", engine="torch")
    return {"nuclei": len(predictor.predict(synthetic_tissue(size=side, seed=0).rgb).instances)}

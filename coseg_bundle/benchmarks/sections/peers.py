"""Ours beside others on the same pixels: another engine, onnxruntime, and another network, StarDist's.

StarDist gives nuclei alone. TensorFlow does not share an environment with everything: `COSEG_STARDIST` names a Python
that has `stardist` and `tensorflow`; without it this one is asked. The network has StarDist's published sizes for H&E
(`2D_versatile_he`: Weigert et al. 2022) and random weights, since times do not depend on them, and is timed without
what follows it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from monai.inferers import SimpleInferer

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.bundle_root import GRAPH, WEIGHTS, find_bundle_root
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers import AutocastInferer, Predictor
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.networks.export.onnx_network import OnnxNetwork
from coseg_bundle.precision import Precision, resolve

ROUNDS = 5

_STARDIST = """
import os, sys, time
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
try:
    import numpy as np
    import tensorflow as tf
    from stardist.models import Config2D, StarDist2D
except ImportError as error:
    print("missing", error, flush=True)
    sys.exit()
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
sizes = Config2D(n_rays=32, grid=(2, 2), n_channel_in=3, unet_n_depth=3, unet_n_filter_base=32)
answers, sys.stdout = sys.stdout, sys.stderr
network = StarDist2D(sizes, name=None, basedir=None).keras_model
image = tf.constant(np.random.default_rng(0).random((1, *[int(sys.argv[1])] * 2, 3), np.float32))
network(image, training=False)
print("ready", tf.__version__, file=answers, flush=True)
for _ in sys.stdin:
    start = time.process_time()
    [value.numpy() for value in network(image, training=False)]
    print(time.process_time() - start, file=answers, flush=True)
"""


def lines(side: int = 1024) -> Iterator[str]:
    """The section."""
    yield from onnxruntime(side)
    yield from stardist(side)


def onnxruntime(side: int = 1024) -> Iterator[str]:
    """The released weights under onnxruntime against PyTorch, in full precision and in what `auto` takes.

    What limits oneDNN to older processors does not limit onnxruntime.
    """
    network = Predictor.from_bundle(device="cpu", engine="torch").network
    root = find_bundle_root()
    exported = OnnxNetwork(root / GRAPH, root / WEIGHTS, threads=torch.get_num_threads())
    tiles = torch.rand(1, 3, side, side)
    with torch.inference_mode():
        difference = float((torch.from_numpy(exported(tiles.numpy())) - network(tiles)).abs().max())

    precision = resolve("auto", "cpu")
    automatic = AutocastInferer(SimpleInferer(), precision)
    with torch.inference_mode():
        t_onnx, t_torch, t_auto = seconds(
            lambda: exported(tiles.numpy()), lambda: network(tiles), lambda: automatic(tiles, network), rounds=5
        )
    yield f"\nA tile of {side} x {side}, {torch.get_num_threads()} threads; auto is {precision}"
    yield row("largest difference from PyTorch (at most 0.001)", f"{difference:.1g}")
    yield row("onnxruntime, PyTorch in fp32, in auto", f"{t_onnx:.2f} s", f"{t_torch:.2f} s", f"{t_auto:.2f} s")
    yield row("onnxruntime / PyTorch in fp32, / in auto", f"{t_onnx / t_torch:.2f}", f"{t_onnx / t_auto:.2f}")


def stardist(side: int = 1024) -> Iterator[str]:
    """Times of StarDist's network and of ours, processor seconds of one thread, in turns."""
    torch.set_num_threads(1)
    auto = resolve("auto", "cpu")
    yield f"\n{side} x {side} px, one thread, processor seconds; auto is {auto}"
    python = os.environ.get("COSEG_STARDIST", sys.executable)
    command = [python, "-c", _STARDIST, str(side)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        state = peer.stdout.readline().strip()
        if not state.startswith("ready"):
            yield f"  StarDist was not measured ({state or 'it stopped'}): set COSEG_STARDIST to a Python that has it."
            return
        rgb = synthetic_tissue(size=side, seed=0).rgb
        names: dict[str, Precision] = {precision.name: precision for precision in (Precision("fp32"), auto)}
        ours = {name: Predictor.from_bundle(device="cpu", engine="torch", precision=name) for name in names}
        taken: dict[str, list[float]] = {name: [] for name in (*ours, "StarDist")}
        for number in range(ROUNDS + 1):  # the first one prepares
            times: dict[str, float] = {}
            for name, predictor in ours.items():
                start = time.process_time()
                with resolution_known():  # no nuclei are asked for it
                    predictor.infer(rgb)
                times[name] = time.process_time() - start
            print(file=peer.stdin, flush=True)
            times["StarDist"] = float(peer.stdout.readline())
            if number:
                for name, spent in times.items():
                    taken[name].append(spent)
        peer.stdin.close()
    median = {name: statistics.median(times) for name, times in taken.items()}
    yield row(f"StarDist's network (TensorFlow {state.split()[1]}): nuclei", f"{median['StarDist']:.2f} s")
    for name in ours:
        spent = median[name]
        what = f"ours, {name}: nuclei and tissue at two scales; of StarDist's (at most 1.2)"
        yield row(what, f"{spent:.2f} s", f"{spent / median['StarDist']:.2f}")

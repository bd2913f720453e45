"""The released weights under onnxruntime against PyTorch, in full precision and in what `auto` takes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.inferers import SimpleInferer

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.bundle_root import GRAPH, WEIGHTS, find_bundle_root
from coseg_bundle.inferers import AutocastInferer, Predictor
from coseg_bundle.networks.export.onnx_network import OnnxNetwork
from coseg_bundle.precision import resolve


def lines(tile_size: int = 256) -> Iterator[str]:
    """The section, for four tiles of one size."""
    network = Predictor.from_bundle(device="cpu", engine="torch").network
    root = find_bundle_root()
    exported = OnnxNetwork(root / GRAPH, root / WEIGHTS, threads=torch.get_num_threads())
    tiles = torch.rand(4, 3, tile_size, tile_size)
    with torch.inference_mode():
        difference = float((torch.from_numpy(exported(tiles.numpy())) - network(tiles)).abs().max())

    precision = resolve("auto", "cpu")
    automatic = AutocastInferer(SimpleInferer(), precision)
    with torch.inference_mode():
        t_onnx, t_torch, t_auto = seconds(
            lambda: exported(tiles.numpy()), lambda: network(tiles), lambda: automatic(tiles, network), rounds=5
        )
    yield f"\nFour tiles of {tile_size} x {tile_size}, {torch.get_num_threads()} threads; auto is {precision}"
    yield row("largest difference from PyTorch (at most 0.001)", f"{difference:.1g}")
    yield row("onnxruntime, PyTorch in fp32, in auto", f"{t_onnx:.2f} s", f"{t_torch:.2f} s", f"{t_auto:.2f} s")
    yield row("onnxruntime / PyTorch in fp32, / in auto", f"{t_onnx / t_torch:.2f}", f"{t_onnx / t_auto:.2f}")

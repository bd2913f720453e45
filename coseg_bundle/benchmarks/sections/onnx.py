"""The released weights under onnxruntime against PyTorch, in full precision and in what `auto` takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import torch
from monai.inferers import SimpleInferer

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.inferers import AutocastInferer, Predictor
from coseg_bundle.networks.export.onnx import OnnxNetwork, export_onnx
from coseg_bundle.precision import resolve


def lines(tile_size: int = 256) -> Iterator[str]:
    """The section, for four tiles of one size."""
    network = Predictor.from_bundle(device="cpu").network
    with tempfile.TemporaryDirectory() as folder:
        difference = export_onnx(network, f"{folder}/model.onnx", tile_size, "bench")
        exported = OnnxNetwork(f"{folder}/model.onnx")
    tiles = torch.rand(4, 3, tile_size, tile_size)

    precision = resolve("auto", "cpu")
    automatic = AutocastInferer(SimpleInferer(), precision)
    with torch.inference_mode():
        t_onnx, t_torch, t_auto = seconds(
            lambda: exported(tiles), lambda: network(tiles), lambda: automatic(tiles, network), rounds=5
        )
    yield f"\nFour tiles of {tile_size} x {tile_size}, {torch.get_num_threads()} threads; auto is {precision}"
    yield row("largest difference from PyTorch (at most 0.001)", f"{difference:.1g}")
    yield row("onnxruntime, PyTorch in fp32, in auto", f"{t_onnx:.2f} s", f"{t_torch:.2f} s", f"{t_auto:.2f} s")
    yield row("onnxruntime / PyTorch in fp32, / in auto", f"{t_onnx / t_torch:.2f}", f"{t_onnx / t_auto:.2f}")

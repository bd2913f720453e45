"""The released weights under onnxruntime against PyTorch, in full precision and in bf16."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import torch

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks.export.onnx import OnnxNetwork, export_onnx


def lines(tile_size: int = 256) -> Iterator[str]:
    """The section, for four tiles of one size."""
    network = Predictor.from_bundle(device="cpu").network
    with tempfile.TemporaryDirectory() as folder:
        difference = export_onnx(network, f"{folder}/model.onnx", tile_size, "bench")
        exported = OnnxNetwork(f"{folder}/model.onnx")
    tiles = torch.rand(4, 3, tile_size, tile_size)

    def bf16() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(tiles)

    with torch.inference_mode():
        t_onnx, t_torch, t_bf16 = seconds(lambda: exported(tiles), lambda: network(tiles), bf16, rounds=5)
    yield f"\nFour tiles of {tile_size} x {tile_size}, {torch.get_num_threads()} threads"
    yield row("largest difference from PyTorch (at most 0.001)", f"{difference:.1g}")
    yield row("onnxruntime, PyTorch, PyTorch in bf16", f"{t_onnx:.2f} s", f"{t_torch:.2f} s", f"{t_bf16:.2f} s")
    yield row("onnxruntime / PyTorch, / PyTorch in bf16", f"{t_onnx / t_torch:.2f}", f"{t_onnx / t_bf16:.2f}")

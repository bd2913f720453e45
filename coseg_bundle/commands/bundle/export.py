"""Write the network as ONNX, for `coseg predict --engine onnx` and other runtimes.

The file takes RGB tiles (B, 3, T, T) in [0, 1] of one size T and any batch B, and returns `pred` as
configs/metadata.json describes it. It is written only if onnxruntime's answer is PyTorch's. TorchScript:
python -m monai.bundle ckpt_export (docs/README.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="models/model.onnx of the bundle by default")
    parser.add_argument("--tile-size", type=int, metavar="T", help="side of the tiles; the configuration's by default")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights instead of the bundle's models/model.pt")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Exports."""
    import yaml

    from coseg_bundle.bundle_root import CONFIG, ONNX, find_bundle_root
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.inferers.two_scales import TwoScaleNetwork
    from coseg_bundle.networks.export.onnx import export_onnx

    root = find_bundle_root(arguments.bundle)
    settings = yaml.safe_load((root / CONFIG).read_text(encoding="utf-8"))
    tile_size = arguments.tile_size or settings["tile_size"]
    predictor = Predictor.from_bundle(root, arguments.weights, "cpu", tile_size=tile_size)
    path = arguments.output or root / ONNX
    network = predictor.network
    if two_scales := predictor.settings["two_scales"]:
        network = TwoScaleNetwork(network, predictor.postprocessing.layout)
    difference = export_onnx(network, path, tile_size, str(predictor.weights_sha256), two_scales)
    size = path.stat().st_size / 1e6
    print(f"{path}: {size:.1f} MB, tiles of {tile_size} px, differs from PyTorch by at most {difference:.1g}")
    return 0

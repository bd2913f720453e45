"""Write the network as ONNX, for `coseg predict --engine onnx` and other runtimes.

The file takes RGB tiles (B, 3, T, T) in [0, 1] of one size T and any batch B, and returns `pred` as
configs/metadata.json describes it. It is written only if onnxruntime's answer is PyTorch's. TorchScript:
python -m monai.bundle ckpt_export (docs/README.md).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import cast

from coseg_bundle.commands.arguments import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="models/model.onnx of the bundle by default")
    parser.add_argument("--tile-size", type=whole_number, metavar="T", default=512, help="side of the tiles (512)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights instead of the bundle's models/model.pt")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Exports."""
    from coseg_bundle.bundle_root import ONNX, WEIGHTS, find_bundle_root
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.inferers.tiled import check_tile_size
    from coseg_bundle.inferers.two_scales import TwoScaleNetwork
    from coseg_bundle.networks import CoSeg
    from coseg_bundle.networks.about import About
    from coseg_bundle.networks.export.onnx import export_onnx

    root = find_bundle_root(arguments.bundle)
    tile_size = arguments.tile_size
    path = arguments.output or root / ONNX
    check_tile_size(tile_size)  # both before the network is built, which takes a while
    _check_target(path)
    predictor = Predictor.from_bundle(root, arguments.weights, "cpu")
    network = predictor.network
    if two_scales := predictor.settings["two_scales"]:
        network = TwoScaleNetwork(network, cast(CoSeg, network).layout)
    about = About.of_file(arguments.weights or root / WEIGHTS)
    difference = export_onnx(network, path, tile_size, str(predictor.weights_sha256), two_scales, about)
    size = path.stat().st_size / 1e6
    print(f"{path}: {size:.1f} MB, tiles of {tile_size} px, differs from PyTorch by at most {difference:.1g}")
    return 0


def _check_target(path: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"{path}: its folder does not exist; make it, or name another file with --output.")
    try:
        if path.is_dir():
            raise IsADirectoryError
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{path}: no file can be written there; name another file with --output.") from error

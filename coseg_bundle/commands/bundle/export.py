"""Write the network as ONNX, for `coseg predict --engine onnx` and other runtimes.

The file takes RGB images (B, 3, H, W) in [0, 1] with sides that are multiples of 32, and returns `pred` as
configs/metadata.json and its own metadata describe it. It is written only if onnxruntime's answer is PyTorch's.
TorchScript: python -m monai.bundle ckpt_export (docs/README.md).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="models/model.onnx of the bundle by default")
    parser.add_argument(
        "--graph-only",
        action="store_true",
        help="write the graph without its weights, as the bundle's models/graph.onnx; models/model.pt fills it",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights instead of the bundle's models/model.pt")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Exports."""
    from coseg_bundle.bundle_root import GRAPH, ONNX, find_bundle_root
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.networks.about import About
    from coseg_bundle.networks.export.onnx import export_onnx

    root = find_bundle_root(arguments.bundle)
    path = arguments.output or root / (GRAPH if arguments.graph_only else ONNX)
    _check_target(path)  # before the network is built, which takes a while
    predictor = Predictor.from_bundle(root, arguments.weights, "cpu", "torch", "fp32")
    file = predictor.weights
    about = (About.of_file(file) if file else None) or About.of(
        predictor.network,
        tissue_classes=predictor.tissue_classes.names,
        nuclei_classes=predictor.nuclei_classes.names,
        mpp=predictor.mpp,
    )
    alone = file if arguments.graph_only else None
    difference = export_onnx(predictor.network, path, about, str(predictor.weights_sha256), alone)
    size = path.stat().st_size / 1e6
    print(f"{path}: {size:.1f} MB, differs from PyTorch by at most {difference:.1g}")
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
    if path.suffix.lower() != ".onnx":  # by which `--weights` knows it, and nothing else is written over
        raise ValueError(f"{path}: expected a name that ends in .onnx; name another file with --output.")

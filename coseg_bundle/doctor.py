"""An examination of the installation."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Literal

from coseg_bundle import __version__
from coseg_bundle.bundle_root import WEIGHTS, BundleNotFoundError, find_bundle_root
from coseg_bundle.precision import resolve

_NEEDED = (
    "torch",
    "monai",
    "sam2",
    "peft",
    "pytorch-ignite",
    "scikit-image",
    "opencv-python-headless",
    "tifffile",
    "nibabel",
)
_OPTIONAL = {
    "openslide-python": ("whole slides", "wsi"),
    "pyarrow": ("whole slides", "wsi"),
    "highdicom": ("slides' results as DICOM", "dicom"),
    "spatialdata": ("slides' results as SpatialData", "spatialdata"),
    "ray": ("slides on a cluster", "ray"),
    "monailabel": ("annotation in MONAI Label", "label"),
    "onnxruntime": ("ONNX inference", "export"),
}
_SAM2_REMEDY = (
    "SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0 (after torch; see docs/install.md)"
)


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        mark: `OK`, `MISSING` (needed) or `OPTIONAL` (not there, not needed).
        what: What was found.
        remedy: How to mend it; empty when there is nothing to mend.
    """

    mark: Literal["OK", "MISSING", "OPTIONAL"]
    what: str
    remedy: str = ""


def examine(bundle_root: str | PathLike[str] | None = None) -> list[Finding]:
    """Looks at Python, packages, devices, the bundle and its weights; changes nothing."""
    return [
        Finding("OK", f"coseg-bundle {__version__} on Python {platform.python_version()} ({sys.executable})"),
        *_packages(),
        *_devices(),
        *_bundle(bundle_root),
    ]


def _packages() -> Iterator[Finding]:
    for name in _NEEDED:
        try:
            yield Finding("OK", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("MISSING", name, _SAM2_REMEDY if name == "sam2" else "make install")
    for name, (use, extra) in _OPTIONAL.items():
        try:
            yield Finding("OK", f"{name} {version(name)} ({use})")
        except PackageNotFoundError:
            yield Finding("OPTIONAL", f"{name}, for {use}", f"pip install 'coseg-bundle[{extra}]'")


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("MISSING", f"torch does not import ({error})", "make install")
        return
    yield Finding("OK", f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads{_precision('cpu')}")
    for index in range(torch.cuda.device_count()):
        name = f"cuda:{index}"
        yield Finding("OK", f"{name}: {torch.cuda.get_device_name(index)}{_precision(name)}")
    if not torch.cuda.is_available():
        yield Finding("OPTIONAL", "no GPU: predictions and training run on the CPU")


def _precision(device: str) -> str:
    return f"; precision auto is {resolve('auto', device)}"


def _bundle(bundle_root: str | PathLike[str] | None) -> Iterator[Finding]:
    try:
        root = find_bundle_root(bundle_root)
    except BundleNotFoundError as error:
        yield Finding("MISSING", "the bundle's folder", str(error))
        return
    yield Finding("OK", f"bundle {root}")
    weights = root / WEIGHTS
    if not weights.is_file():
        yield Finding(
            "MISSING",
            f"weights: {weights} does not exist",
            "train some (coseg train ...) and copy runs/train/model.pt there, or name a file with --weights",
        )
        return
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.networks.checkpoints import CheckpointError

    try:
        predictor = Predictor.from_bundle(root, device="cpu")
    except CheckpointError as error:
        yield Finding("MISSING", f"weights that fit {root / 'configs'}", str(error))
        return
    size = weights.stat().st_size / 1e6
    yield Finding("OK", f"weights {weights} ({size:.1f} MB, SHA-256 {predictor.weights_sha256})")
    names = ", ".join(predictor.tissue_classes.names), ", ".join(predictor.nuclei_classes.names[1:])
    yield Finding("OK", f"tissue: {names[0]}; nuclei: {names[1]}; resolution {predictor.mpp} microns per pixel")

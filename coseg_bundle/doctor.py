"""An examination of the installation."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from os import PathLike
from pathlib import Path
from typing import Literal

from coseg_bundle import __version__
from coseg_bundle.bundle_root import WEIGHTS, BundleNotFoundError, find_bundle_root
from coseg_bundle.engine.choice import is_installed
from coseg_bundle.engine.cores import available_cores
from coseg_bundle.precision import resolve

_NEEDED = (
    *("numpy", "pyyaml", "tqdm", "pillow"),  # before those that import them
    *("onnxruntime", "opencv-python-headless", "tifffile", "shapely", "openslide-python"),
)
_OPTIONAL = {
    "torch": ("training and GPUs", "torch"),
    "monai": ("training and the MONAI bundle", "torch"),
    "pytorch-ignite": ("training", "torch"),
    "peft": ("LoRA", "torch"),
    "pyarrow": ("nuclei.parquet, and all that reads it: view, measure, convert", "full"),
    "scipy": ("evaluate, measure, view", "full"),
    "scikit-image": ("evaluate, measure; faster where nuclei touch", "full"),
    "imagecodecs": ("TIFF in JPEG 2000, ZSTD, or with more than 8 bits; 16-bit PNG", "full"),
    "zarr": ("TIFF, OME-TIFF and OME-Zarr as slides", "full"),
    "nibabel": ("NIfTI", "full"),
    "matplotlib": ("plots of reports", "full"),
    "highdicom": ("slides' results as DICOM", "dicom"),
    "spatialdata": ("slides' results as SpatialData", "spatialdata"),
    "ray": ("slides on a cluster", "ray"),
    "monailabel": ("annotation in MONAI Label", "label"),
    "onnx": ("writing ONNX files", "export"),
}

_MODULES = {
    "numpy": "numpy",
    "pyyaml": "yaml",
    "tqdm": "tqdm",
    "pillow": "PIL.Image",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "cv2",
    "tifffile": "tifffile",
    "shapely": "shapely",
    "openslide-python": "openslide",
    "pyarrow": "pyarrow",
    "scipy": "scipy.ndimage",
    "scikit-image": "skimage",
    "imagecodecs": "imagecodecs",
    "zarr": "zarr",
    "nibabel": "nibabel",
    "matplotlib": "matplotlib",
}
"""Modules that are imported to see whether they do, two seconds in all; those that import PyTorch take longer."""

_IMPORT = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    try:
        said = ["", importlib.import_module(name).__file__ or ""]
    except BaseException as error:
        said = [(str(error).splitlines() or [""])[0] or type(error).__name__, ""]
    print("coseg-doctor", json.dumps([name, *said]), flush=True)
"""

_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        mark: `OK`, `MISSING` (needed), `BROKEN` (there, and in the way) or `OPTIONAL` (not there, not needed).
        what: What was found.
        remedy: How to mend it; empty when there is nothing to mend.
    """

    mark: Literal["OK", "MISSING", "BROKEN", "OPTIONAL"]
    what: str
    remedy: str = ""


def examine(bundle_root: str | PathLike[str] | None = None) -> Iterator[Finding]:
    """Looks at Python, packages, devices, the bundle and its weights; changes nothing.

    One after the other: where a package ends the process, what was found before is said.
    """
    yield Finding("OK", f"coseg-bundle {__version__} on Python {platform.python_version()} ({sys.executable})")
    yield from _packages()
    yield from _devices()
    yield from _bundle(bundle_root)


def package_at_fault(error: BaseException) -> str | None:
    """The package of others that is not there, or failed while it was imported; None of other errors."""
    name = (error.name or "") if isinstance(error, ImportError) else ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>" and module.partition(".")[0] not in ("coseg_bundle", "__main__"):
            name = module
            break
    package = name.partition(".")[0]
    return package if package not in ("", "coseg_bundle") else None


def _packages() -> Iterator[Finding]:
    bounds, imports = _bounds(), _imports()
    broken: dict[str, str] = {}
    for name in (*_NEEDED, *_OPTIONAL):
        use, extra = _OPTIONAL.get(name, ("", ""))
        try:
            found = version(name)
        except PackageNotFoundError:
            if extra:
                yield Finding("OPTIONAL", f"{name}, for {use}", f"pip install 'coseg-bundle[{extra}]'")
            else:
                yield Finding("MISSING", name, f"pip install {name}")
            continue
        error, file = imports.get(_MODULES.get(name, ""), ("", ""))
        what, elsewhere = f"{name} {found}", _elsewhere(name, file)
        if unfit := [bound for bound in bounds.get(name, ()) if not _fits(found, bound)]:
            yield Finding(
                "BROKEN", f"{what}, and {unfit[0]} is needed", f"pip install '{name}{','.join(bounds[name])}'"
            )
        elif error:
            remedy = f"pip install --force-reinstall {name}; or take out of PYTHONPATH what lies in its place"
            if (first := broken.setdefault(error, name)) != name:  # most often it imports that one
                remedy = f"mend {first} first"
            yield Finding("BROKEN", f"{what} does not import ({error})", remedy)
        else:
            yield Finding("OK", what + (f" ({use})" if use else "") + elsewhere)


def _bounds() -> dict[str, list[str]]:
    """What this package says of the versions of others, `>=1.11` or `<5`; nothing where it is not installed itself."""
    try:
        said = requires("coseg-bundle") or []
    except PackageNotFoundError:
        return {}
    names = (re.match(r"[\w.-]+", line) for line in said)
    pairs = zip(names, said, strict=True)
    return {name[0]: re.findall(r"(?:>=|<)[\d.]+", line.partition(";")[0]) for name, line in pairs if name}


def _fits(found: str, bound: str) -> bool:
    """Whether a version is within a bound.

    Example:
        >>> _fits("1.9.3", ">=1.11"), _fits("2.9.0+cpu", ">=2.9"), _fits("5.0", "<5")
        (False, True, False)
    """
    wanted = _numbers(bound.lstrip("<>="))
    have = _numbers(found)
    return have >= wanted if bound.startswith(">=") else have < wanted


def _numbers(release: str) -> tuple[int, ...]:
    digits = re.match(r"\d+(?:\.\d+)*", release)
    numbers = [int(part) for part in digits[0].split(".")] if digits else []
    while numbers and not numbers[-1]:
        numbers.pop()  # 5.0 is 5
    return tuple(numbers)


def _imports() -> dict[str, tuple[str, str]]:
    """Imports modules in another process; returns for each why it does not import, if it does not, and its file."""
    names = [module for module in _MODULES.values() if is_installed(module.partition(".")[0])]
    command = [sys.executable, "-c", _IMPORT, json.dumps(sys.path), *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        output, end = done.stdout, f"the process ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, end = (error.stdout or b"").decode(), f"it takes more than {_SECONDS} s"
    lines = [line.partition(" ")[2] for line in output.splitlines() if line.startswith("coseg-doctor ")]
    found = {name: (error, file) for name, error, file in map(json.loads, lines)}
    for name in [name for name in names if name not in found][:1]:  # the rest was not tried
        found[name] = (end, "")
    return found


def _elsewhere(name: str, file: str) -> str:
    """Where a module comes from, if not from where its package is installed."""
    home = Path(str(distribution(name).locate_file(""))).resolve() if file else None
    return "" if home is None or home in Path(file).resolve().parents else f"; it is imported from {file}"


def _devices() -> Iterator[Finding]:
    if not is_installed("torch"):
        yield Finding("OK", f"cpu: {available_cores()} cores; onnxruntime computes in full precision")
        return
    try:
        import torch

        found = torch.__version__
    except Exception as error:
        remedy = "pip install --force-reinstall torch; or take out of PYTHONPATH what lies in its place"
        yield Finding("BROKEN", f"torch does not import ({_first_line(error)})", remedy)
        return
    yield from _torchvision(found)
    yield Finding("OK", f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads{_precision('cpu')}")
    for index in range(torch.cuda.device_count()):
        name = f"cuda:{index}"
        yield Finding("OK", f"{name}: {torch.cuda.get_device_name(index)}{_precision(name)}")
    if not torch.cuda.is_available():
        yield Finding("OPTIONAL", "no GPU: predictions and training run on the CPU")


def _torchvision(torch_version: str) -> Iterator[Finding]:
    """Nothing here imports torchvision, but peft does where it is installed, and one that was built for another torch
    does not import."""
    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return
    try:
        import torchvision  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except Exception as error:  # a RuntimeError of torch's for operators that it has not got
        what = f"torchvision {found} does not fit torch {torch_version}, and peft (LoRA) does not import beside it"
        yield Finding("BROKEN", f"{what} ({_first_line(error)})", "pip uninstall torchvision (nothing here needs it)")
    else:
        yield Finding("OK", f"torchvision {found} fits torch {torch_version}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
    try:
        from coseg_bundle.inferers import Predictor

        predictor = Predictor.from_bundle(root, device="cpu")
    except Exception as error:
        if (package := package_at_fault(error)) is not None:
            why = f"{package} does not import ({_first_line(error)})"
            yield Finding("BROKEN", f"weights {weights} were not tried, since {why}", f"mend {package} first")
        elif isinstance(error, ValueError):
            yield Finding("MISSING", f"weights that fit {root / 'configs'}", str(error))
        else:
            raise
        return
    size = weights.stat().st_size / 1e6
    yield Finding("OK", f"weights {weights} ({size:.1f} MB, SHA-256 {predictor.weights_sha256})")
    names = ", ".join(predictor.tissue_classes.names), ", ".join(predictor.nuclei_classes.names[1:])
    yield Finding("OK", f"tissue: {names[0]}; nuclei: {names[1]}; resolution {predictor.mpp} microns per pixel")

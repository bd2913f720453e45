"""What computes the network: PyTorch or onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec
from os import PathLike
from typing import Literal

Engine = Literal["torch", "onnx"]

ENGINES = ("auto", "torch", "onnx")

_PACKAGES: dict[Engine, tuple[str, str]] = {
    "torch": ("torch", "pip install 'coseg-bundle[torch]'"),
    "onnx": ("onnxruntime", "pip install onnxruntime"),
}


class EngineError(ValueError):
    """The engine is not there; the message says how to get it."""


def choose_engine(asked: str, weights: str | PathLike[str] | None = None) -> Engine:
    """The engine that is to be used.

    `auto` is PyTorch where it is installed: it knows GPUs and half precision, and all weights. What is written as ONNX
    has but one engine.

    Args:
        asked: `auto`, `torch` or `onnx`.
        weights: The file that is to be run.

    Raises:
        EngineError: It is not installed, cannot run the file, or there is no such engine.
    """
    if asked not in ENGINES:
        raise EngineError(f"Expected engine auto, torch or onnx, got {asked}.")
    is_onnx = weights is not None and str(weights).lower().endswith(".onnx")
    if asked == "torch" and is_onnx:
        raise EngineError(
            f"{weights} is an ONNX file, which PyTorch does not run; give the .pt that it was exported from, or "
            "--engine onnx to a command that has it."
        )
    engine: Engine = "torch" if asked == "torch" else "onnx"
    if asked == "auto" and not is_onnx:
        engine = "torch" if is_installed("torch") else "onnx"
    package, remedy = _PACKAGES[engine]
    if not is_installed(package):
        raise EngineError(f"The engine {engine} needs {package}, which is not installed; {remedy}.")
    return engine


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False

"""Arguments that several commands take, and kinds of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from coseg_bundle.precision import CHOICES


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Declares --precision."""
    parser.add_argument(
        "--precision",
        choices=CHOICES,
        help="auto (default): half precision where the device supports it, as `coseg doctor` tells; fp32: full",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declares --engine."""
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "onnx"),
        default="auto",
        help="what computes the network: PyTorch, or onnxruntime in full precision, which needs no PyTorch; auto: "
        "PyTorch where it is installed",
    )


def add_class_names(parser: argparse.ArgumentParser, fate: str) -> None:
    """Declares --nuclei-classes and --tissue-classes, lists as `names_by_id` reads them.

    Args:
        parser: The command's.
        fate: End of the help, on what becomes of the names.
    """
    for kind in ("nuclei", "tissue"):
        parser.add_argument(
            f"--{kind}-classes",
            nargs="+",
            metavar="NAME",
            help=f"names of the label ids of {kind}, background (id 0) first, or ID=NAME; {fate}",
        )


def positive_number(text: str) -> float:
    """An argument that must be a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def whole_number(text: str) -> int:
    """An argument that must be a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def port_number(text: str) -> int:
    """An argument that must be a port; 0 is any that is free."""
    if not text.isdecimal() or not int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {2**16 - 1}, got {text!r}")
    return int(text)


def unused_mpp(given: float | None, said: float) -> list[str]:
    """What to say where `--mpp` is given for results that say another resolution themselves."""
    if given and abs(given / said - 1) > 1e-3:
        return [f"--mpp {given} is not used: the results say {said}"]
    return []


def check_slide(slide: Path | None, results: Sequence[Path]) -> None:
    """Raises ValueError where `--slide` is given for several results, or does not exist."""
    if slide and len(results) > 1:
        raise ValueError("--slide is for one RESULTS.")
    if slide and not slide.exists():
        raise ValueError(f"--slide {slide}: file not found; check the path.")

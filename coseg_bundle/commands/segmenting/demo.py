"""Segment a real section of breast and show the result.

The image comes with the package (a breast tumour, haematoxylin and eosin); --image names another.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coseg_bundle.commands.arguments import add_precision, positive_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--image", type=Path, metavar="FILE", help="an image instead of the package's")
    parser.add_argument(
        "--mpp",
        type=positive_number,
        help="microns per pixel of --image (0.25 at 40x, 0.5 at 20x); without it what the file says",
    )
    parser.add_argument(
        "--output", "-o", type=Path, default=Path("results", "demo"), metavar="DIR", help="folder for results"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights instead of the bundle's models/model.pt")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    add_precision(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo and prints its table."""
    from coseg_bundle.demo import run_demo

    result = run_demo(
        arguments.output, arguments.image, arguments.mpp, arguments.bundle, arguments.precision, arguments.weights
    )
    for name, value in result.table.items():
        print(f"  {name:<28} {value}")
    for doubt in result.doubts:
        print(f"coseg: {doubt} (--mpp)", file=sys.stderr)
    print(f"\nResults: {result.folder}\nPicture: {result.picture}")
    return 0

"""Generate artificial tissue with every label, to try training and evaluation without data.

Writes images/, nuclei/, nuclei_type/, tissue/ and datalist.json. The pictures look like H&E only from afar; what they
share with it is that nuclei and regions tell about each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from coseg_bundle.commands.arguments import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write")
    parser.add_argument("--count", type=whole_number, default=12, help="number of images (default: 12)")
    parser.add_argument("--size", type=whole_number, default=256, help="side of an image in pixels (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument(
        "--ambiguous",
        action="store_true",
        help="glands and stroma stained alike, and specks that are nuclei only in glands: each task needs the other",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the dataset."""
    from coseg_bundle.data.synthetic import write_dataset

    path = write_dataset(arguments.folder, arguments.count, arguments.size, arguments.seed, arguments.ambiguous)
    print(f"{arguments.count} images with labels; the datalist is {path}")
    return 0

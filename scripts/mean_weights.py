"""Writes the mean of two weights files of one network.

python scripts/mean_weights.py FIRST SECOND OUTPUT

What the first says of itself (classes, resolution) is said of the mean too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def main() -> None:
    """Reads, averages, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("first", "second", "output"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    first, second = (torch.load(path, map_location="cpu", weights_only=True) for path in (given.first, given.second))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: mean(value, second[name]) for name, value in first.items()}, given.output)


def mean(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Of floats; anything else is the first's."""
    return ((first.float() + second.float()) / 2).to(first.dtype) if first.is_floating_point() else first


if __name__ == "__main__":
    main()

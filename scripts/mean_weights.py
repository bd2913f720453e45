"""Writes the mean of two weights files of one network.

python scripts/mean_weights.py FIRST SECOND OUTPUT

What the first says of itself (classes, resolution) is said of the mean too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import read_weights
from coseg_bundle.networks.weights_file import ABOUT, STRIDE, TWO_SCALES, CheckpointError


def main() -> None:
    """Reads, averages, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("first", "second", "output"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    try:
        content = mean_of_files(given.first, given.second)
    except CheckpointError as error:
        raise SystemExit(str(error)) from error
    given.output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, given.output)


def mean_of_files(first: Path, second: Path) -> dict[str, Tensor]:
    """What the mean of two weights files holds.

    Raises:
        CheckpointError: A file cannot be read, or they are not of one network and of the same classes.
    """
    (ours, about), (theirs, of_theirs) = read_weights(first), read_weights(second)
    names = (ours.keys() | theirs.keys()) - {STRIDE, TWO_SCALES}
    if apart := sorted(name for name in names if _shape(ours.get(name)) != _shape(theirs.get(name))):
        raise CheckpointError(
            f"Expected two weights of one network, got {len(apart)} parameters that {first} and {second} do not share "
            f"(for example {apart[0]}); give weights that were trained from the same ones."
        )
    if about is not None and of_theirs is not None:
        said = [_classes(*one) for one in ((about, first), (of_theirs, second))]
        if said[0] != said[1]:
            raise CheckpointError(
                f"Expected two weights of the same classes, got {said[0]} in {first} and {said[1]} in {second}; train "
                "both with the same names."
            )
    content = {name: mean(value, theirs.get(name, value)) for name, value in ours.items()}
    return content if about is None else {**content, ABOUT: about}


def _classes(about: Tensor, path: Path) -> tuple[tuple[str, ...], ...]:
    said = About.from_tensor(about, path)
    return said.tissue_classes, said.nuclei_classes


def _shape(parameter: Tensor | None) -> tuple[int, ...] | None:
    return None if parameter is None else tuple(parameter.shape)


def mean(first: Tensor, second: Tensor) -> Tensor:
    """Of floats; anything else is the first's."""
    return ((first.float() + second.float()) / 2).to(first.dtype) if first.is_floating_point() else first


if __name__ == "__main__":
    main()

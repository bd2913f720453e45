"""Writes the mean of two weights files of one network.

python scripts/mean_weights.py FIRST SECOND OUTPUT

What the first says of itself is said of the mean too; both must say the same of classes, resolution and what they were
not taught.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import read_weights
from coseg_bundle.networks.weights_file import ABOUT, STRIDE, TWO_SCALES, CheckpointError

_ALIKE = ("tissue_classes", "nuclei_classes", "mpp", "untrained")
"""What both files must say alike of themselves: else what the first says is not true of the mean."""


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
        CheckpointError: A file cannot be read, or they are not of one network, or say other things of themselves.
    """
    (ours, about), (theirs, of_theirs) = read_weights(first), read_weights(second)
    names = (ours.keys() | theirs.keys()) - {STRIDE, TWO_SCALES}
    if apart := sorted(name for name in names if _shape(ours.get(name)) != _shape(theirs.get(name))):
        raise CheckpointError(
            f"Expected two weights of one network, got {len(apart)} parameters that {first} and {second} do not share "
            f"(for example {apart[0]}); give weights that were trained from the same ones."
        )
    if about is not None and of_theirs is not None:
        said = About.from_tensor(about, first), About.from_tensor(of_theirs, second)
        for name in _ALIKE:
            ours_say, theirs_say = (getattr(one, name) for one in said)
            if ours_say != theirs_say:
                raise CheckpointError(
                    f"Expected two weights of the same {name}, got {ours_say} in {first} and {theirs_say} in {second}; "
                    "train both alike."
                )
    content = {name: mean(value, theirs.get(name, value)) for name, value in ours.items()}
    return content if about is None else {**content, ABOUT: about}


def _shape(parameter: Tensor | None) -> tuple[int, ...] | None:
    return None if parameter is None else tuple(parameter.shape)


def mean(first: Tensor, second: Tensor) -> Tensor:
    """Of floats; anything else is the first's."""
    return ((first.float() + second.float()) / 2).to(first.dtype) if first.is_floating_point() else first


if __name__ == "__main__":
    main()

"""Images that a network is trained on and judged by, whatever they are called."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coseg_bundle import keys
from coseg_bundle.fingerprint import fingerprint


def said_of_both(
    training: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], section: str = "validation"
) -> tuple[str, ...]:
    """A sentence where images of another section are trained on too: the same file, or one that holds the same bytes.

    An image that was saved anew, in another format say, is not told.

    Args:
        training: Items of the training, with absolute paths.
        others: Items of the other section.
        section: What that is called.
    """
    names = [str(item[keys.IMAGE]) for item in others]
    known = _known(names, (str(item[keys.IMAGE]) for item in training))
    if not known:
        return ()
    first, learnt = next(iter(known.items()))
    named = first if first == learnt else f"{first}, which is {learnt}"
    return (
        f"{sum(name in known for name in names)} of {len(names)} {section} images are training images too (first: "
        f"{named}): scores of what was trained on are too good, so keep each image for one of the two.",
    )


def _known(names: Iterable[str], training: Iterable[str]) -> dict[str, str]:
    """The training image that each file is, where it is one. Contents are read of files of one size only."""
    places, sizes = dict[str, str](), defaultdict[int, list[str]](list)
    for learnt in training:
        places[os.path.realpath(learnt)] = learnt
        if os.path.isfile(learnt):
            sizes[os.path.getsize(learnt)].append(learnt)
    contents: dict[int, dict[str, str]] = {}
    known = {}
    for name in names:
        if (place := os.path.realpath(name)) in places:
            known[name] = places[place]
        elif os.path.isfile(name) and (size := os.path.getsize(name)) in sizes:
            if size not in contents:
                contents[size] = {fingerprint(Path(learnt)): learnt for learnt in sizes[size]}
            if twin := contents[size].get(fingerprint(Path(name))):
                known[name] = twin
    return known

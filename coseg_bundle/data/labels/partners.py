"""What lies in a folder to be imported: labels and images that belong together, and the samples that they become."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.datalist import DatalistError
from coseg_bundle.data.images import IMAGE_SUFFIXES, ImageFileError, composed, stem_of
from coseg_bundle.data.listing import Listed, listed

StemOf = Callable[[Path], str]


@dataclass(frozen=True)
class Sample:
    """One image with the labels that it has.

    Attributes:
        name: Stem of the files to write.
        image: `(H, W, 3)` uint8, or the path of a file that stays where it is.
        instances: `(H, W)` instance map, -1 where unlabelled.
        types: `(H, W)` type map.
        tissue: `(H, W)` tissue map.
        mpp: Microns per pixel, where it is known.
    """

    name: str
    image: NDArray[np.uint8] | Path
    instances: NDArray[np.integer] | None = None
    types: NDArray[np.integer] | None = None
    tissue: NDArray[np.integer] | None = None
    mpp: float | None = None


Skipped = list[str]
Samples = Iterator[Iterator[Sample]]


class Source:
    """A folder with images and labels, searched to any depth.

    Args:
        folder: The folder.
        dest: Where results go: left out.
        named: Class names of nuclei by type id, background first, where a person gives them.
        former: The same, of what was converted into `dest` before; names keep the ids that other datalists know.

    Attributes:
        notes: Sentences on what was left out.
        classes: Type ids by class name, in their order: those of `named`, or of `former` and then those in the files.
        met: Class names in the files; complete before the first sample where there are former ones and no given ones.
        numbered: Files whose classes are ids without a name.
    """

    def __init__(
        self, folder: Path, dest: Path | None = None, named: Sequence[str] = (), former: Sequence[str] = ()
    ) -> None:
        self.folder, self._dest, self.named, self.former = folder, dest, named, former
        self.notes: list[str] = []
        self.classes = {name: number for number, name in enumerate(named or former) if number}
        self.met: set[str] = set()
        self.numbered: list[Path] = []

    def listed(self, suffixes: Collection[str], images: bool = False, below: str = "") -> Listed:
        """Files of some suffixes, as `listing.listed` finds them."""
        return listed(self.folder / below, suffixes, deep=True, images=images, without=self._dest)

    def need(
        self,
        suffixes: Collection[str],
        what: str,
        chosen: Callable[[Path], bool] | None = None,
        below: str = "",
    ) -> list[Path]:
        """The label files of a layout.

        Args:
            suffixes: What they end in.
            what: What they are, for messages.
            chosen: Which of those are meant; all when not given.
            below: Folder in which to look.

        Raises:
            DatalistError: There is none.
        """
        found = self.listed(suffixes, below=below)
        files = [path for path in found.files if chosen is None or chosen(path)]
        if not files:
            raise DatalistError(
                f"No {what} below {self.folder}; check the folder and the layout. {' '.join(found.notes)}".rstrip()
            )
        self.notes += found.notes
        return files

    @cached_property
    def images(self) -> list[Path]:
        """The images; not the masks and overlays beside them."""
        found = self.listed(IMAGE_SUFFIXES, images=True)
        self.notes += found.notes
        return found.files

    def partners(
        self, labels: Iterable[Path], images: Iterable[Path] | None = None, stem: StemOf = stem_of
    ) -> dict[Path, Path | str]:
        """The image of each label, or a sentence on why it has none."""
        return pair(labels, self.images if images is None else images, self.folder, stem)

    def names(self, labels: Collection[Path], stem: StemOf = stem_of) -> dict[Path, str]:
        """A name for each label's files: its stem, with the folder in front where two have the same."""
        return distinct_names(labels, self.folder, stem)


def image_of(label: Path, partners: Mapping[Path, Path | str]) -> Path:
    """The image of a label.

    Raises:
        ImageFileError: It has none.
    """
    found = partners[label]
    if isinstance(found, str):
        raise ImageFileError(found)
    return found


def pair(labels: Iterable[Path], images: Iterable[Path], top: Path, stem: StemOf = stem_of) -> dict[Path, Path | str]:
    """Pairs labels and images of the same stem whose folders are nearest; neither is given away twice.

    Args:
        labels: Files.
        images: Files.
        top: A folder above all of them.
        stem: The image's stem for a label.

    Returns:
        The image of each label, or a sentence on why it has none.
    """
    of_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        of_stem[stem_of(image)].append(image)
    claims: dict[str, list[Path]] = defaultdict(list)
    for label in labels:
        claims[stem(label)].append(label)
    found: dict[Path, Path | str] = {}
    for name, claiming in claims.items():
        candidates = of_stem.get(name, [])
        nearest = {label: _nearest(label, candidates, top) for label in claiming}
        wanting = {image: _nearest(image, claiming, top) for image in candidates}
        for label in claiming:
            found[label] = _one(label, name, nearest[label], wanting, candidates)
    return found


def _one(
    label: Path, name: str, nearest: list[Path], wanting: Mapping[Path, list[Path]], candidates: list[Path]
) -> Path | str:
    if not candidates:
        return f"{label}: no image with the stem {name}; copy it beside the labels."
    if len(nearest) > 1:
        both = " and ".join(map(str, nearest[:2]))
        return f"{label}: {both} have its stem, and nothing tells which is its image; rename one, or move it beside."
    rivals = [other for other in wanting[nearest[0]] if other != label]
    if label not in wanting[nearest[0]]:
        return f"{label}: no image with the stem {name} of its own; {nearest[0]} is that of {rivals[0]}."
    if rivals:
        return f"{label}: {rivals[0]} has the stem of the same image {nearest[0]}; keep one of them."
    return nearest[0]


def _nearest(path: Path, others: list[Path], top: Path) -> list[Path]:
    """Those whose folders share most with a file's, from above and from below."""
    shared = [_shared(path.relative_to(top).parts[:-1], other.relative_to(top).parts[:-1]) for other in others]
    return [other for other, score in zip(others, shared, strict=True) if score == max(shared)]


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    if a == b:
        return float("inf")
    leading = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[leading:][::-1], b[leading:][::-1]
    trailing = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return leading + trailing


def distinct_names(files: Collection[Path], top: Path, stem: StemOf = stem_of) -> dict[Path, str]:
    """Names that no two files share, on file systems without case too: the stem, or folders and stem."""
    stems = Counter(stem(path).casefold() for path in files)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        name = stem(path)
        if stems[name.casefold()] > 1:
            name = composed("_".join((*path.relative_to(top).parts[:-1], name)))
        names[path] = free_name(name, taken)
    return names


def free_name(name: str, taken: set[str]) -> str:
    """A name that is not taken yet, and takes it."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free.casefold())
    return free

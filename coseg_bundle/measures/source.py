"""What is measured, in one form whatever wrote it: nuclei as rows, tissue as a plane, the image where it is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.measures.groups.areas import TissuePlane
from coseg_bundle.writers.summary import SUMMARY
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.reader import SlideReader, open_slide
from coseg_bundle.wsi.segment.foreground import UNSCANNED, look_for_tissue, unreadable, with_missing, without_holes
from coseg_bundle.wsi.segment.horizon import Horizon

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Source:
    """Nuclei and tissue to measure; coordinates in pixels of level 0.

    Attributes:
        path: The folder of results, or the file of nuclei.
        kind: What wrote it.
        image: The slide or image, wherever it is now; None where it is not known.
        mpp: Microns per pixel of level 0.
        size_xy: Width and height of level 0; None where nothing says them.
        nuclei_classes: Names, background first.
        tissue_classes: Names; `tissue` alone where nothing is known but where there is some.
        nuclei: Gives the rows, some ten thousand at a time: columns of `writers.nuclei_table.schema`, or those named.
        count: How many rows there are.
        plane: The tissue; None where nothing says where there is any.
        outline_px: Side of the pixels whose edges outlines follow, px of level 0; 0 where they follow none.
        origin: Where pixel (0, 0) lies, as the slide is to be opened.
        origin_xy: Where that is on the canvas of the slide; None where nothing says it.
        regions: Regions that the results are limited to, as a file; None where they are not.
        left_out: What is not measured, a sentence each.
        about: What the results say of themselves (weights, versions, settings), for the record.
        refused: A sentence for each object of a file that is broken.
        notes: Sentences on which objects of a file count as nuclei.
        scanned_xy: Where what was scanned begins on the canvas, as QuPath counts; None where regions of QuPath count as
            the nuclei do.
    """

    path: Path
    kind: Literal["slide", "predict", "geojson", "label map"]
    image: Path | None
    mpp: float
    size_xy: tuple[int, int] | None
    nuclei_classes: ClassMap
    tissue_classes: ClassMap
    nuclei: Callable[[Sequence[str] | None], Iterator[pa.Table]]
    count: int
    plane: TissuePlane | None
    outline_px: float
    origin: Origin = "bounds"
    origin_xy: tuple[int, int] | None = (0, 0)
    regions: Path | None = None
    left_out: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scanned_xy: tuple[int, int] | None = None

    @cached_property
    def content(self) -> str:
        """Fingerprint of the results, to notice others in their place."""
        return content_of(self.path)

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self.path.name

    @property
    def horizon(self) -> Horizon:
        """Where what was segmented ends, inside the slide."""
        if self.plane is None or self.size_xy is None:
            return Horizon()
        return Horizon.of(self.size_xy, self.plane.within, self.plane.broken)

    def reader(self) -> SlideReader:
        """Opens the slide or image.

        Raises:
            ImageFileError: It is not at hand.
        """
        if self.image is None:
            raise ImageFileError(f"{self.path}: its slide is not at hand; give it with --slide.")
        return open_slide(self.image, self.mpp, self.origin)


def place_of(path: Path) -> Path:
    """The same for each spelling of a path. Of a link to a file it is the link's: that one has the name, and what it
    leads to (in DVC, git-annex) is one object for all files that are alike."""
    return path.parent.resolve() / path.name if path.is_symlink() and path.is_file() else path.resolve()


def content_of(path: Path) -> str:
    """Fingerprint of a folder of results, or of a file of nuclei."""
    return fingerprint(path / SUMMARY if path.is_dir() else path)


def middle_um2(rows: pa.Table) -> float | None:
    """Area of a nucleus in the middle, um2; None where there is none."""
    return float(np.median(rows["area_um2"].to_numpy())) if rows.num_rows else None


def at_hand(then: Path, content: str | None, given: Path | None = None) -> tuple[Path | None, tuple[str, ...]]:
    """A file, if it is still the one that results were made from; and why it is not, if not.

    Args:
        then: Where it was.
        content: Its fingerprint then.
        given: Where a user says that it is now.

    Raises:
        ImageFileError: What the user gives is another file, or nothing says which one it should be.
    """
    path = given or then
    try:
        if fingerprint(path) == content:
            return path, ()
    except OSError as error:
        if given:
            raise ImageFileError(f"{given} cannot be read ({error.strerror}); check --slide.") from error
        return None, (f"{path} is no longer there (give it with --slide): no optical densities, no picture",)
    if given:
        raise ImageFileError(
            f"{given} is not the file that was segmented, {then.name}, as far as the results say; give that one with "
            "--slide, or leave --slide away."
        )
    return None, (f"{path} is another file than the one that was segmented: no optical densities, no picture",)


def kinds_of(image: Path, mpp: float, origin: Origin = "bounds") -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """What there is over a slide or image (`wsi.segment.foreground.KINDS`), as `coseg slide` sees it.

    What cannot be read counts as not scanned here, since nobody tries it again.

    Returns:
        `(h, w)` uint8, and a sentence on what could not be read, if anything.
    """
    with open_slide(image, mpp, origin) as reader:
        thumbnail, kinds = look_for_tissue(reader)
        kinds, broken = with_missing(without_holes(kinds), reader), unreadable(thumbnail)
    kinds[broken] = UNSCANNED
    return kinds, (f"{100 * broken.mean():.2g} % of the slide, which cannot be read",) if broken.any() else ()

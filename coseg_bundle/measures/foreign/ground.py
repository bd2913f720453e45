"""What nuclei of other programs lie on: the slide, where it is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.measures.groups.areas import TissuePlane, pixels_inside
from coseg_bundle.measures.source import kinds_of
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.reader import open_slide

NO_CLASS = "nucleus"
"""Class of nuclei that the file gives none."""

_PLANE_UM = 1.0
"""Pixel of the plane in which areas are measured, as in the results of `coseg slide`."""


@dataclass(frozen=True)
class Ground:
    """What nuclei of other programs lie on.

    Attributes:
        mpp: Microns per pixel of level 0.
        size_xy: Width and height of level 0, px; None without the slide.
        stated_mpp: Microns per pixel that the slide says, whatever was given.
        origin_xy: Where pixel (0, 0) lies on the canvas of the slide; None without it.
        scanned_xy: Where what was scanned begins on the canvas of the slide; None without it.
        kinds: What there is over it (`wsi.segment.foreground.KINDS`).
        left_out: What is not measured, a sentence each.
    """

    mpp: float
    size_xy: tuple[int, int] | None = None
    stated_mpp: float | None = None
    origin_xy: tuple[int, int] | None = None
    scanned_xy: tuple[int, int] | None = None
    kinds: NDArray[np.uint8] | None = None
    left_out: tuple[str, ...] = (
        "glass, since the slide is not at hand (give it with --slide): a region counts whole, all else has no area",
    )

    @classmethod
    def of(cls, path: Path, slide: Path | None, mpp: float | None, origin: Origin) -> Ground:
        """Looks at the slide, where it is given.

        Args:
            path: The file of nuclei, for messages.
            slide: The slide or image.
            mpp: Microns per pixel of level 0, instead of what it says.
            origin: Where its pixel (0, 0) lies.

        Raises:
            ImageFileError: Nothing says the resolution.
        """
        if slide is not None:
            with open_slide(slide, mpp, origin) as reader:
                size, said, stated, origin_xy = reader.size_xy, reader.mpp, reader.stated_mpp, reader.origin_xy
            with open_slide(slide, said, "bounds") as reader:
                scanned_xy = reader.origin_xy
            return cls(said, size, stated, origin_xy, scanned_xy, *kinds_of(slide, said, origin))
        if mpp is None:
            raise ImageFileError(
                f"{path} does not say microns per pixel; give them with --mpp, or the slide with --slide."
            )
        return cls(mpp)


def plane_of(size_xy: tuple[float, float], mpp: float, kinds: NDArray[np.uint8] | None = None) -> TissuePlane:
    """A plane of one class.

    Args:
        size_xy: Its width and height, px of level 0.
        mpp: Microns per pixel of level 0.
        kinds: What there is over it; tissue everywhere where not given.
    """
    px = _PLANE_UM / mpp
    shape = pixels_inside(size_xy[1], px), pixels_inside(size_xy[0], px)
    return TissuePlane(lambda b: np.zeros((b.height, b.width), np.uint8), shape, px, _PLANE_UM, kinds)

"""Scanners' files, by OpenSlide."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.images.files import LEFT_OUT
from coseg_bundle.data.images.orientation import orientation_on
from coseg_bundle.data.images.pixel_size import openslide_pixel_size
from coseg_bundle.data.images.tiff.missing import JpegTiles, MissingTiles, jpeg_tiles, missing_tiles, raise_if_empty
from coseg_bundle.fingerprint import tiff_pages_end
from coseg_bundle.wsi.read.backend import (
    Origin,
    Region,
    SlideReadError,
    raise_if_zeroed,
    same_shape,
    whole_enough,
)
from coseg_bundle.wsi.read.dicom_folder import other_areas

_MOST_TILE_PX = 2**26
"""Tiles of scanners have at most 4,096 px a side."""


class OpenSlideBackend:
    """A scanner's file as it is stored. OpenSlide refuses to go on after an error, so the file is opened again then.

    Attributes:
        orientation: How it is to be turned, 1 to 8.
    """

    def __init__(self, path: Path, origin: Origin = "bounds") -> None:
        import openslide

        self.path = path
        self._slide = openslide.OpenSlide(str(path))
        _check_tiles(path, self._slide)
        self._lock = threading.Lock()
        sizes: Sequence[tuple[int, int]] = self._slide.level_dimensions
        copies, others = _copies_of_the_widest(path, sizes)
        x, y, width, height = _bounds(self._slide.properties, sizes[0]) if origin == "bounds" else (0, 0, *sizes[0])
        self.origin_xy = (x, y)
        cropped = (width, height) != sizes[0]
        ratios = [sizes[0][0] / size[0] for size in sizes]
        found = None if cropped else _index_of_levels(path, sizes)
        self._index_tells = found is not None
        missing, jpegs, self.orientation = found or ([None] * len(sizes), [None] * len(sizes), 1)
        raise_if_empty(path, missing[0])
        self._levels = [i for i in copies if whole_enough(missing[i], missing[0], ratios[i], i)]
        self._missing, self._jpegs = [missing[i] for i in self._levels], [jpegs[i] for i in self._levels]
        self.downsamples = [ratios[i] for i in self._levels]
        self.level_sizes_xy = [
            (max(1, int(width / ratios[i])), max(1, int(height / ratios[i]))) if cropped else sizes[i]
            for i in self._levels
        ]
        self.missing_tiles = self._missing[0].count if self._missing[0] else 0
        self.pixel_size = openslide_pixel_size(self._slide.properties)
        self.notes = (*others, *self.pixel_size.notes)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        missing = self._missing[level]
        mask = missing.mask(x, y, width, height) if missing else None
        if mask is not None and mask.all():
            return Region(np.full((height, width, 3), 255, np.uint8), mask)
        if mask is not None and mask.any():  # OpenSlide takes what lies at offset 0, or fails
            return self._around(level, x, y, width, height)
        raise_if_zeroed(self.path, self._jpegs[level], level, x, y, width, height)
        rgba = self._read(level, x, y, width, height)
        empty = rgba[..., 3] == 0
        if not empty.any():
            return Region(np.ascontiguousarray(rgba[..., :3]))
        return Region(np.where(empty[..., None], 255, rgba[..., :3]).astype(np.uint8), empty)

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """See `Backend`."""
        if not self._index_tells:
            return self.read(level, x, y, width, height).unscanned
        missing = self._missing[level]
        return missing.mask(x, y, width, height) if missing else None

    def _around(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """A region with missing tiles, tile by tile."""
        missing = self._missing[level]
        assert missing is not None
        rgb, unscanned = np.empty((height, width, 3), np.uint8), np.zeros((height, width), bool)
        edges_y = sorted({y, y + height, *range(-(-y // missing.height) * missing.height, y + height, missing.height)})
        edges_x = sorted({x, x + width, *range(-(-x // missing.width) * missing.width, x + width, missing.width)})
        for top, bottom in pairwise(edges_y):
            for left, right in pairwise(edges_x):
                part = self.read(level, left, top, right - left, bottom - top)
                rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
                rgb[rows, columns] = part.rgb
                if part.unscanned is not None:
                    unscanned[rows, columns] = part.unscanned
        return Region(rgb, unscanned)

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        import openslide

        number, slide = self._levels[level], self._slide
        try:
            downsample = slide.level_downsamples[number]
            corner = round(x * downsample) + self.origin_xy[0], round(y * downsample) + self.origin_xy[1]
            return np.asarray(slide.read_region(corner, number, (width, height)))
        except openslide.OpenSlideError as error:
            with self._lock, suppress(openslide.OpenSlideError):  # where it is gone, the next read tries again
                if self._slide is slide:
                    self._slide = openslide.OpenSlide(str(self.path))
            kind = dicom_kind(self.path)
            raise SlideReadError(f"{self.path}: {error}{f' ({kind})' if kind else ''}") from error

    def close(self) -> None:
        """See `Backend`."""
        self._slide.close()


def _bounds(properties: Any, size_xy: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what was scanned; all of it where a file does not say, or not sensibly."""
    try:
        x, y, width, height = (int(properties[f"openslide.bounds-{name}"]) for name in ("x", "y", "width", "height"))
    except (KeyError, ValueError):
        return 0, 0, *size_xy
    width, height = min(width, size_xy[0] - x), min(height, size_xy[1] - y)
    return (x, y, width, height) if min(x, y) >= 0 and min(width, height) > 0 else (0, 0, *size_xy)


def _copies_of_the_widest(path: Path, sizes: Sequence[tuple[int, int]]) -> tuple[list[int], tuple[str, ...]]:
    """Which levels show the same as the first, and what is to be said of the others: in a DICOM series OpenSlide takes
    any image for a level, whatever area it shows.

    Raises:
        ImageFileError: As `other_areas`.
    """
    others = other_areas(path, sizes[0])
    notes = tuple(
        f"{LEFT_OUT}{i.path.name}, {i.size_xy[0]} x {i.size_xy[1]} px of another area, which may be tissue"
        for i in others
        if not any(other.size_xy > i.size_xy and other.shows_the_same(i) for other in others)
    )
    left_out = {image.size_xy for image in others}
    return [i for i, size in enumerate(sizes) if size not in left_out and same_shape(size, sizes[0])], notes


def _check_tiles(path: Path, slide: Any) -> None:
    """Refuses tiles of a size that no scanner writes: OpenSlide ends the process where there is no memory for one."""
    for level in range(slide.level_count):
        sides = [slide.properties.get(f"openslide.level[{level}].tile-{side}", "0") for side in ("width", "height")]
        if math.prod(map(int, sides)) > _MOST_TILE_PX:
            raise ImageFileError(
                f"{path}: its header says tiles of {sides[0]} x {sides[1]} pixels; the file is damaged: copy or export "
                "it again."
            )


def _index_of_levels(
    path: Path, sizes: Sequence[tuple[int, int]]
) -> tuple[list[MissingTiles | None], list[JpegTiles | None], int] | None:
    """What the levels of a scanner's TIFF lack, their JPEGs, and how they are to be turned (OpenSlide does not); None
    where its pages are not the levels."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if not tiff_pages_end(file):
                return None
            pages = {(p.imagewidth, p.imagelength): p for p in reversed(file.pages) if p.is_tiled}
            levels = [[pages[size]] for size in sizes]
            orientation = orientation_on(levels[0][0])
            return [missing_tiles(lv) for lv in levels], [jpeg_tiles(path, lv) for lv in levels], orientation
    except Exception:  # formats of their own
        return None


@dataclass(frozen=True)
class DicomKind:
    """What a DICOM file holds; as text, in words.

    Attributes:
        bits: Bits of a sample.
        colour: What the samples mean, by its name in DICOM.
        syntax: How they are packed, by its name.
    """

    bits: str
    colour: str
    syntax: str

    def __str__(self) -> str:
        return f"a DICOM file of {self.bits}-bit {self.colour}, {self.syntax}"

    @property
    def remedy(self) -> str:
        """What to do where OpenSlide refuses it: which pixels it reads, or of which files it makes a slide."""
        if self.bits == "8" and self.colour.startswith(("RGB", "YBR")):
            return "export the slide again, all files of the series, one focal plane."
        return "export it as 8-bit RGB."


def dicom_kind(path: Path) -> DicomKind | None:
    """What a DICOM file holds, or None where it is none (or pydicom is not there to tell)."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
        import pydicom

        header = pydicom.dcmread(path, stop_before_pixels=True)
        syntax = header.file_meta.TransferSyntaxUID.name
        colour, bits = header.get("PhotometricInterpretation", "?"), header.get("BitsAllocated", "?")
    except Exception:  # it is only for a message
        return None
    return DicomKind(str(bits), str(colour), syntax)

"""Slides of any format and resolution behind one door.

A pixel of the result depends on where it lies in the slide and on nothing else: however a region is cut into reads, the
same pixels come out. (Positions are rounded to 1/32 of a source pixel, counted from the corner of the slide.)
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.postprocessing.resample import SCALES
from coseg_bundle.wsi.read.backend import Backend, Origin, Region, SlideReadError, checked_origin
from coseg_bundle.wsi.read.backends import open_backend

__all__ = ["SlideReadError", "SlideReader", "open_slide"]

UNREADABLE = (255, 0, 128)
"""Colour of those parts of a thumbnail that could not be read; no stain has it."""

_WHITE = 255
_SOURCE_PX = 4096
"""Larger source regions are read in parts of this side: a slide may have one level only, and be larger than memory."""

_TILE_PX = 256
"""Side of scanners' tiles. Where a read fails it is divided at multiples of this side, to find what is broken."""

_LONGEST_PX = 2_000_000
"""Longest side: 76 mm of glass are 760,000 px of 0.1 um. Damaged headers say millions, and reading takes hours."""

_STEPS = 32
"""Positions are rounded to this share of a source pixel, which is what OpenCV's interpolation resolves."""

_TIE = 1e-6
"""Moves positions halfway between two steps out of the reach of rounding errors."""

_Read = Callable[[int, int, int, int, int], Region]
"""Gives a region of a level, as `Backend.read`."""


def open_slide(path: str | PathLike[str], mpp: float | None = None, origin: Origin = "bounds") -> SlideReader:
    """Opens a slide or a large image.

    Args:
        path: What OpenSlide reads, OME-TIFF, TIFF, or an image that `read_image` reads.
        mpp: Microns per pixel of level 0; what the file says when not given.
        origin: Where pixel (0, 0) lies in files that say which part of the glass was scanned: at the corner of that
            part (`bounds`, as in QuPath), or of the glass (`canvas`).

    Raises:
        ImageFileError: The file cannot be used, or does not say its resolution (or one for each direction) and `mpp` is
            not given.
        ValueError: There is no such origin.

    Example:
        >>> with open_slide("slide.svs") as slide:                                   # doctest: +SKIP
        ...     slide.size_xy, slide.mpp, slide.read(0, 0, 512, 512, mpp=0.25).shape
        ((2220, 2967), 0.499, (1022, 1022, 3))
    """
    path = Path(path)
    backend = open_backend(path, checked_origin(origin))
    width, height = backend.level_sizes_xy[0]
    if max(width, height) > _LONGEST_PX:
        backend.close()
        raise ImageFileError(
            f"{path}: its header says {width} x {height} px, and a slide has at most {_LONGEST_PX} a side; the file is "
            "damaged: copy or export it again."
        )
    size = backend.pixel_size
    resolution = mpp or size.mpp
    if resolution is None:
        backend.close()
        odd = f" ({'; '.join(size.notes)})" if size.notes else ""
        unknown = f"the file does not say its resolution{odd}; give it in microns per pixel with --mpp (0.25 at 40x, "
        raise ImageFileError(f"{path}: {size.refusal or unknown + '0.5 at 20x).'}")
    return SlideReader(path, backend, resolution, origin)


def thumbnail_shape(size_xy: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Height and width of a slide's picture, its longer side at most `max_side` px.

    Example:
        >>> thumbnail_shape((3000, 1000), 600), thumbnail_shape((30, 10), 600)
        ((200, 600), (10, 30))
    """
    width, height = size_xy
    scale = max(1.0, max(width, height) / max_side)
    return max(1, round(height / scale)), max(1, round(width / scale))


class SlideReader:
    """A slide; reads from several threads are safe, and it travels to other processes as its path.

    Args:
        path: The file.
        backend: The open file.
        mpp: Microns per pixel of level 0.
        origin: Where pixel (0, 0) lies, as the backend was opened.

    Attributes:
        size_xy: Width and height of level 0, px.
        origin_xy: Where pixel (0, 0) lies on the canvas of the file, px of level 0.
        missing_tiles: How many tiles of level 0 the file does not hold.
        notes: What is to be said of how the file is read.
    """

    def __init__(self, path: Path, backend: Backend, mpp: float, origin: Origin = "bounds") -> None:
        self.path, self.mpp, self.origin, self._backend = path, float(mpp), origin, backend
        self.size_xy: tuple[int, int] = backend.level_sizes_xy[0]
        self.origin_xy, self.missing_tiles, self.notes = backend.origin_xy, backend.missing_tiles, backend.notes
        self._downsamples = backend.downsamples

    def __reduce__(self) -> tuple[object, ...]:
        return open_slide, (self.path, self.mpp, self.origin)

    def __enter__(self) -> SlideReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._backend.close()

    @property
    def stated_mpp(self) -> float | None:
        """What the file says of the resolution of level 0, whatever was given."""
        return self._backend.pixel_size.mpp

    def size_at(self, mpp: float) -> tuple[int, int]:
        """Width and height of the slide at another resolution, px.

        Raises:
            ValueError: The two resolutions are too far apart to make sense.
        """
        scale = self.mpp / mpp
        if not SCALES[0] <= scale <= SCALES[1]:
            raise ValueError(
                f"{self.path}: a slide of {self.mpp} microns per pixel is out of range: the network works at {mpp}, "
                f"and {SCALES[0] * mpp:.3g} to {SCALES[1] * mpp:.3g} can be resampled to it; check --mpp."
            )
        return max(1, round(self.size_xy[0] * scale)), max(1, round(self.size_xy[1] * scale))

    def read(self, x: float, y: float, width: float, height: float, mpp: float) -> NDArray[np.uint8]:
        """The colours of a region, `(h, w, 3)` uint8: see `region`."""
        return self.region(x, y, width, height, mpp).rgb

    def region(self, x: float, y: float, width: float, height: float, mpp: float) -> Region:
        """Reads a region at any resolution, white outside the slide and where nothing was scanned.

        Where the resolution falls by a factor of two or more the nearest level above is averaged, the rest is
        interpolated. What was scanned counts by the centres of pixels.

        Args:
            x: Left edge in pixels of level 0; fractions and places outside the slide are fine.
            y: Top edge.
            width: Width in pixels of level 0, above 0.
            height: Height.
            mpp: Microns per pixel of the result.

        Returns:
            `(h, w, 3)` uint8, `h = round(height * self.mpp / mpp)` and at least 1, and its mask.

        Raises:
            SlideReadError: A part of the file under the region is broken.
        """
        scale = mpp / self.mpp
        return self._region(x / scale, y / scale, width, height, scale, self._backend.read)

    def blocks(self, x: int, y: int, columns: int, rows: int, step: int) -> Region:
        """Reads a region in averages of `step` x `step` pixels of level 0, as they are stored where that is 1.

        Nothing is interpolated and no smaller level is read, so that no value depends on the phase of a grid or on the
        levels that a file has.

        Args:
            x: Left edge in blocks, counted from the corner of the slide.
            y: Top edge.
            columns: Width in blocks.
            rows: Height.
            step: Side of a block, px of level 0.

        Returns:
            `(rows, columns, 3)` uint8, white outside the slide and where nothing was scanned, and its mask.

        Raises:
            SlideReadError: A part of the file under the region is broken.
        """
        return self._of_level(0, x, y, step, columns, rows, self._backend.read)

    def thumbnail(self, max_side: int) -> NDArray[np.uint8]:
        """The whole slide, its longer side at most `max_side` px.

        What is broken is read from a finer level; `UNREADABLE` are the pixels whose centres no level can show.
        """
        scale = max(1.0, max(self.size_xy) / max_side)
        rgb, broken = self._region(0, 0, *self.size_xy, scale, self._readable)
        if broken is not None:
            rgb[broken] = UNREADABLE
        return rgb

    def unscanned(self, max_side: int) -> NDArray[np.bool_]:
        """Where nothing was scanned, over the whole slide: `(h, w)`, the longer side at most `max_side` px.

        A pixel counts by its centre. What cannot be read counts as scanned.
        """
        width, height = self.size_xy
        scale = max(1.0, max(width, height) / max_side)
        columns, rows = max(1, round(width / scale)), max(1, round(height / scale))
        level = self._level(scale)
        level_width, level_height = self._backend.level_sizes_xy[level]
        at_x = (np.arange(columns) * 2 + 1) * level_width // (2 * columns)
        at_y = (np.arange(rows) * 2 + 1) * level_height // (2 * rows)
        out = np.zeros((rows, columns), bool)
        boxes = [
            (left, top, min(_SOURCE_PX, level_width - left), min(_SOURCE_PX, level_height - top))
            for top in range(0, level_height, _SOURCE_PX)
            for left in range(0, level_width, _SOURCE_PX)
        ]
        while boxes:
            left, top, box_width, box_height = box = boxes.pop()
            try:
                found = self._backend.unscanned(level, *box)
            except SlideReadError:
                parts = _divided(*box)
                boxes += parts if len(parts) > 1 else []
                continue
            if found is not None:
                y = np.nonzero((at_y >= top) & (at_y < top + box_height))[0]
                x = np.nonzero((at_x >= left) & (at_x < left + box_width))[0]
                out[np.ix_(y, x)] = found[np.ix_(at_y[y] - top, at_x[x] - left)]
        return out

    def _level(self, scale: float) -> int:
        """The smallest level that is at least as fine as the result."""
        fine = [level for level, downsample in enumerate(self._downsamples) if downsample <= scale * 1.001]
        return max(fine, key=lambda level: self._downsamples[level], default=0)

    def _region(self, x: float, y: float, width: float, height: float, scale: float, read: _Read) -> Region:
        """A region whose pixels are `scale` wide on level 0, its corner at (x, y) of them; its size is of level 0."""
        level = self._level(scale)
        factor = scale / self._downsamples[level]
        columns, rows = max(1, round(width / scale)), max(1, round(height / scale))
        return self._of_level(level, x, y, factor, columns, rows, read)

    def _of_level(self, level: int, x: float, y: float, factor: float, columns: int, rows: int, read: _Read) -> Region:
        """A region in pixels that are `factor` wide on a level, its corner at (x, y) of them, read part by part."""
        step = max(1, int(_SOURCE_PX / factor))
        out, mask = np.empty((rows, columns, 3), np.uint8), np.zeros((rows, columns), bool)
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                place = np.s_[row : row + step, column : column + step]
                height_px, width_px = mask[place].shape
                left, top = (x + column) * factor, (y + row) * factor
                part = self._resampled(level, left, top, factor, width_px, height_px, read)
                out[place] = part.rgb
                if part.unscanned is not None:
                    mask[place] = part.unscanned
        return Region(out, mask if mask.any() else None)

    def _readable(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """A region of a level as far as any level can show it; its mask is True where none can, and white there."""
        try:
            return Region(self._backend.read(level, x, y, width, height).rgb)
        except SlideReadError:
            parts = _divided(x, y, width, height)
        if len(parts) == 1:
            if level == 0:
                return Region(np.full((height, width, 3), _WHITE, np.uint8), np.ones((height, width), bool))
            finer = self._downsamples[level] / self._downsamples[level - 1]
            return self._of_level(level - 1, x, y, finer, width, height, self._readable)
        rgb, broken = np.empty((height, width, 3), np.uint8), np.zeros((height, width), bool)
        for part in parts:
            place = np.s_[part[1] - y : part[1] - y + part[3], part[0] - x : part[0] - x + part[2]]
            found = self._readable(level, *part)
            rgb[place] = found.rgb
            if found.unscanned is not None:
                broken[place] = found.unscanned
        return Region(rgb, broken if broken.any() else None)

    def _resampled(
        self, level: int, left: float, top: float, factor: float, columns: int, rows: int, read: _Read
    ) -> Region:
        """A part of a region whose corner lies at (left, top) of the level; its pixels are `factor` wide there."""
        whole = max(1, int(factor + _TIE))
        at_x, at_y = _positions(left / whole, factor / whole, columns), _positions(top / whole, factor / whole, rows)
        as_stored = factor == whole and (at_x % 1 == 0).all() and (at_y % 1 == 0).all()
        (x0, x1), (y0, y1) = (_needed(at, taps=not as_stored) for at in (at_x, at_y))
        region = self._padded(level, x0 * whole, y0 * whole, (x1 - x0) * whole, (y1 - y0) * whole, read)
        unscanned = region.unscanned
        if unscanned is not None:
            inside_x, inside_y = (np.floor((at + 0.5) * whole).astype(np.intp) for at in (at_x - x0, at_y - y0))
            unscanned = unscanned[np.ix_(inside_y, inside_x)]
        source = region.rgb
        if whole > 1:
            source = np.asarray(cv2.resize(source, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA), np.uint8)
        if as_stored:
            return Region(source, unscanned)
        grid_x, grid_y = np.meshgrid((at_x - x0).astype(np.float32), (at_y - y0).astype(np.float32))
        interpolation = cv2.INTER_CUBIC if factor <= 1 else cv2.INTER_LINEAR
        resampled = cv2.remap(source, grid_x, grid_y, interpolation, borderMode=cv2.BORDER_REPLICATE)
        return Region(np.asarray(resampled, np.uint8), unscanned)

    def _padded(self, level: int, x: int, y: int, width: int, height: int, read: _Read) -> Region:
        """A region of a level, white where it lies outside."""
        size = self._backend.level_sizes_xy[level]
        x0, x1 = (min(max(value, 0), size[0]) for value in (x, x + width))
        y0, y1 = (min(max(value, 0), size[1]) for value in (y, y + height))
        if (x0, y0, x1, y1) == (x, y, x + width, y + height):
            return read(level, x, y, width, height)
        out, unscanned = np.full((height, width, 3), _WHITE, np.uint8), None
        if x1 > x0 and y1 > y0:
            part = read(level, x0, y0, x1 - x0, y1 - y0)
            inside = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
            out[inside] = part.rgb
            if part.unscanned is not None:
                unscanned = np.zeros((height, width), bool)
                unscanned[inside] = part.unscanned
        return Region(out, unscanned)


def _divided(x: int, y: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """A box cut at the multiples of `_TILE_PX` nearest to its middle; itself where there are none inside."""

    def halves(start: int, length: int) -> list[tuple[int, int]]:
        cut = round((start + length / 2) / _TILE_PX) * _TILE_PX
        return (
            [(start, cut - start), (cut, start + length - cut)] if start < cut < start + length else [(start, length)]
        )

    return [(x0, y0, w, h) for y0, h in halves(y, height) for x0, w in halves(x, width)]


def _positions(start: float, factor: float, count: int) -> NDArray[np.float64]:
    """Where `count` pixels have their centres among source pixels."""
    centres = start + (np.arange(count) + 0.5) * factor - 0.5  # source pixel i has its centre at i
    return np.asarray(np.floor(centres * _STEPS + 0.5 + _TIE) / _STEPS)


def _needed(at: NDArray[np.float64], taps: bool) -> tuple[int, int]:
    """The range of source pixels that positions need; with `taps`, four to interpolate between."""
    first, last = int(np.floor(at[0])), int(np.floor(at[-1]))
    return (first - 1, last + 3) if taps else (first, last + 1)

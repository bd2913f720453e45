"""Which pages of a TIFF are smaller copies of another one, and which are images of their own.

Programs that write pyramids mark the smaller pages (NewSubfileType 1) or keep them apart (SubIFDs). Of other pages
tifffile takes each for a smaller copy that has a half, a third or a quarter of the sides before, whatever it shows.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.files import ImageFileError
from coseg_bundle.data.images.pixel_size import tiff_pixel_size

_SAME_SCALE = 0.02
"""Share by which the resolution that a copy states may differ from that of the first page and its size."""

_SQUARE_PX = 16
"""Side of the squares, px of the smaller page, whose means are compared: programs make copies by many rules."""

_OTHER = 1 / 8
"""Of the largest value: a mean that differs by more is that of another picture. Glass and pale stain differ by more."""

_BAND_PX = 4 * _SQUARE_PX
"""Rows of the smaller page that are looked at together, at least: strips are often of a few."""

_LARGEST_PX = 2**26
"""Tiles of more pixels are not decoded for this: pages that are one strip are read by rows elsewhere."""

_SPREAD, _FULLEST = 256, 32
"""So many tiles of a page are compared, spread over it, and so many that have the most bytes: there is most to see."""


def open_tiff_file(path: Path) -> Any:
    """A `tifffile.TiffFile`, which is to be closed.

    JSON of another program that quotes a shape, as large_image's converter writes it, is none of tifffile's.
    """
    import tifffile

    file = tifffile.TiffFile(path)
    try:
        said = json.loads(file.pages.first.shaped_description or "{}")
    except ValueError:  # in tifffile's former form, or none
        return file
    if not isinstance(said, dict) or not said or "shape" in said:
        return file
    file.close()
    return tifffile.TiffFile(path, is_shaped=False)


def images_in(file: Any) -> list[Any]:
    """The images of an open `tifffile.TiffFile`, in its order: tifffile's series with their levels.

    A page that was taken for a level for its size alone is one where its resolution says so, or where it shows the same
    as the next larger level; else it becomes an image of its own.
    """
    images = []
    for series in series_in(file):
        images.append(series)
        for level in series.levels[1:] if series.kind == "generic" else ():
            larger = series.levels[series.levels.index(level) - 1]
            if not (_is_marked(level) or _states_the_scale(file, level, series) or _show_the_same(level, larger)):
                series.levels.remove(level)
                images.append(level)
    return images


def series_in(file: Any) -> list[Any]:
    """What tifffile finds in an open file, without those series whose pages lie in other files that its OME-XML names.

    Raises:
        ImageFileError: None lies in it, or one lies here in part.
    """
    found = []
    for series in file.series:
        here = [page is None or page.parent is file for page in series.pages] if series.kind == "ome" else [True]
        if any(here) and not all(here):
            raise ImageFileError(
                f"{file.filehandle.path}: parts of its image lie in other files; export it as one file."
            )
        found += [series] if all(here) else []
    if not found and file.series:
        raise ImageFileError(
            f"{file.filehandle.path}: its images lie in other files, which its OME-XML names; give those."
        )
    return found


def _is_marked(level: Any) -> bool:
    return bool(level.keyframe.is_reduced or level.keyframe.is_subifd)


def _states_the_scale(file: Any, level: Any, series: Any) -> bool:
    own, whole = (tiff_pixel_size(file, image.keyframe).mpp for image in (level, series))
    ratio = series.keyframe.imagewidth / level.keyframe.imagewidth
    return own is not None and whole is not None and abs(own / (whole * ratio) - 1) < _SAME_SCALE


def _show_the_same(level: Any, larger: Any) -> bool:
    """Whether nothing of what is looked at differs; a tile that is missing or cannot be decoded says nothing."""
    factor = larger.keyframe.imagewidth / level.keyframe.imagewidth
    small, large = _Bands(level.pages[0], _BAND_PX), _Bands(larger.pages[0], math.ceil(_BAND_PX * factor))
    places = [*_places(level.pages[0]), *_places(larger.pages[0])]
    pairs = {(small.at(place), large.at(place)) for place in places}
    least = min(_SQUARE_PX, level.keyframe.imagelength, level.keyframe.imagewidth)
    return not any(_differ(small.read(*one), large.read(*other), factor, least) for one, other in sorted(pairs))


def _places(page: Any) -> list[tuple[float, float]]:
    """Centres (y, x) of the tiles that are looked at, as shares of the sides of their page."""
    rows, columns = _grid(page)
    count = rows * columns
    spread = np.linspace(0, count - 1, min(count, _SPREAD)).astype(int)
    fullest = np.argsort(np.asarray(page.databytecounts[:count]), kind="stable")[-_FULLEST:]
    key = page.keyframe
    height, width = key.chunks[:2]
    return [
        (
            min((tile // columns + 0.5) * height / key.imagelength, 1.0),
            min((tile % columns + 0.5) * width / key.imagewidth, 1.0),
        )
        for tile in {*spread.tolist(), *fullest.tolist()}
    ]


_Part = tuple[NDArray[Any], int, int]
"""Pixels `(H, W, S)` of a page, and where they begin (y, x)."""


class _Bands:
    """The tiles of a page; thin strips are put together, so that there is something to compare."""

    def __init__(self, page: Any, least_px: int) -> None:
        self._page, self._rows_columns = page, _grid(page)
        self._height, self._width = page.keyframe.chunks[:2]
        self._strips = -(-least_px // self._height)
        self._last: tuple[tuple[int, int], _Part | None] | None = None

    def at(self, place: tuple[float, float]) -> tuple[int, int]:
        """Which one is at a place: its number from the top and from the left."""
        key, (rows, columns) = self._page.keyframe, self._rows_columns
        row = min(int(place[0] * key.imagelength) // self._height, rows - 1)
        return row // self._strips, min(int(place[1] * key.imagewidth) // self._width, columns - 1)

    def read(self, band: int, column: int) -> _Part | None:
        """At most four samples of one; None where a tile is missing, broken, or too large to be decoded for this."""
        if self._last is None or self._last[0] != (band, column):
            self._last = (band, column), self._decoded(band, column)
        return self._last[1]

    def _decoded(self, band: int, column: int) -> _Part | None:
        key, (rows, columns) = self._page.keyframe, self._rows_columns
        first = band * self._strips
        if self._height * self._width > _LARGEST_PX:
            return None
        try:
            tiles = [self._tile(row * columns + column) for row in range(first, min(first + self._strips, rows))]
        except Exception:  # decoders raise whatever they raise, and an index may be cut
            return None
        top, left = first * self._height, column * self._width
        found = tiles[0] if len(tiles) == 1 else np.concatenate(tiles)
        return found[: key.imagelength - top, : key.imagewidth - left, :4], top, left

    def _tile(self, tile: int) -> NDArray[Any]:
        offset, length = self._page.dataoffsets[tile], self._page.databytecounts[tile]
        if not offset or not length:
            raise ValueError(f"tile {tile} is missing")
        self._page.parent.filehandle.seek(offset)
        key = self._page.keyframe
        found: NDArray[Any] = key.decode(self._page.parent.filehandle.read(length), tile, jpegtables=key.jpegtables)[0][
            0
        ]
        return found


def _differ(small: _Part | None, large: _Part | None, factor: float, least: int) -> bool:
    """Whether parts of two pages show another picture in what they share; less than `least` px says nothing."""
    if small is None or large is None:
        return False
    (pixels, y, x), (finer, finer_y, finer_x) = small, large
    top, left = max(y, math.ceil(finer_y / factor)), max(x, math.ceil(finer_x / factor))
    bottom = min(y + pixels.shape[0], int((finer_y + finer.shape[0]) / factor))
    right = min(x + pixels.shape[1], int((finer_x + finer.shape[1]) / factor))
    if min(bottom - top, right - left) < least:
        return False
    y0, y1, x0, x1 = (round(edge * factor) for edge in (top, bottom, left, right))
    parts = (
        _resizable(pixels[top - y : bottom - y, left - x : right - x]),
        _resizable(finer[y0 - finer_y : y1 - finer_y, x0 - finer_x : x1 - finer_x]),
    )
    squares = max(1, (right - left) // _SQUARE_PX), max(1, (bottom - top) // _SQUARE_PX)
    means = [cv2.resize(part, squares, interpolation=cv2.INTER_AREA).astype(np.float32) for part in parts]
    return float(np.abs(means[0] - means[1]).max()) > _OTHER * max(float(part.max()) for part in parts)


def _resizable(part: NDArray[Any]) -> NDArray[Any]:
    """In a type that OpenCV takes: most pages are, and a copy of a large one takes memory."""
    return np.ascontiguousarray(part, part.dtype if part.dtype in (np.uint8, np.uint16) else np.float32)


def _grid(page: Any) -> tuple[int, int]:
    """Rows and columns of a page's tiles or strips, of the first where colours are stored apart."""
    key = page.keyframe
    planar = int(key.planarconfig) == 2 and key.samplesperpixel > 1
    rows, columns = tuple(key.chunked)[1:3] if planar else tuple(key.chunked)[:2]
    return int(rows), int(columns)

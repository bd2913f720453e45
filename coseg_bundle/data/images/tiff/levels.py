"""Which pages of a TIFF are smaller copies of another one, and which are images of their own.

Programs that write pyramids mark the smaller pages (NewSubfileType 1) or keep them apart (SubIFDs). Of other pages
tifffile takes each for a smaller copy that has a half, a third or a quarter of the sides before, whatever it shows.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.pixel_size import tiff_pixel_size

_SAME_SCALE = 0.02
"""Share by which the resolution that a copy states may differ from that of the first page and its size."""

_SQUARE_PX = 16
"""Side of the squares, px of the smaller page, whose means are compared: programs make copies by many rules."""

_OTHER = 1 / 8
"""Of the largest value: a mean that differs by more is that of another picture. Glass and pale stain differ by more."""

_SPREAD, _FULLEST = 256, 32
"""So many tiles of a page are compared, spread over it, and so many that have the most bytes: there is most to see."""


def images_in(file: Any) -> list[Any]:
    """The images of an open `tifffile.TiffFile`, in its order: tifffile's series with their levels.

    A page that was taken for a level for its size alone is one where its resolution says so, or where it shows the same
    as the next larger level; else it becomes an image of its own.
    """
    images = []
    for series in file.series:
        images.append(series)
        for level in series.levels[1:] if series.kind == "generic" else ():
            larger = series.levels[series.levels.index(level) - 1]
            if not (_is_marked(level) or _states_the_scale(file, level, series) or _show_the_same(level, larger)):
                series.levels.remove(level)
                images.append(level)
    return images


def _is_marked(level: Any) -> bool:
    return bool(level.keyframe.is_reduced or level.keyframe.is_subifd)


def _states_the_scale(file: Any, level: Any, series: Any) -> bool:
    own, whole = (tiff_pixel_size(file, image.keyframe).mpp for image in (level, series))
    ratio = series.keyframe.imagewidth / level.keyframe.imagewidth
    return own is not None and whole is not None and abs(own / (whole * ratio) - 1) < _SAME_SCALE


def _show_the_same(level: Any, larger: Any) -> bool:
    """Whether nothing of what is looked at differs; a tile that is missing or cannot be decoded says nothing."""
    pages = level.pages[0], larger.pages[0]
    places = {place for page in pages for place in _places(page)}
    return not any(_differ_at(place, *pages) for place in sorted(places))


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


def _differ_at(place: tuple[float, float], page: Any, larger: Any) -> bool:
    """Whether two pages show another picture at a place, in what their tiles there share."""
    small, large = _tile_at(place, page), _tile_at(place, larger)
    if small is None or large is None:
        return False
    (pixels, y, x), (finer, finer_y, finer_x) = small, large
    factor = larger.keyframe.imagewidth / page.keyframe.imagewidth
    top, left = max(y, math.ceil(finer_y / factor)), max(x, math.ceil(finer_x / factor))
    bottom = min(y + pixels.shape[0], int((finer_y + finer.shape[0]) / factor))
    right = min(x + pixels.shape[1], int((finer_x + finer.shape[1]) / factor))
    if bottom <= top or right <= left:
        return False
    y0, y1, x0, x1 = (round(edge * factor) for edge in (top, bottom, left, right))
    parts = (
        pixels[top - y : bottom - y, left - x : right - x],
        finer[y0 - finer_y : y1 - finer_y, x0 - finer_x : x1 - finer_x],
    )
    squares = max(1, (right - left) // _SQUARE_PX), max(1, (bottom - top) // _SQUARE_PX)
    means = [cv2.resize(part, squares, interpolation=cv2.INTER_AREA) for part in parts]
    return float(np.abs(means[0] - means[1]).max()) > _OTHER * max(float(part.max()) for part in parts)


def _tile_at(place: tuple[float, float], page: Any) -> tuple[NDArray[np.float32], int, int] | None:
    """The tile of a page at a place, `(H, W, S)`, at most four of its samples, and its corner (y, x)."""
    key = page.keyframe
    (rows, columns), (height, width) = _grid(page), key.chunks[:2]
    row = min(int(place[0] * key.imagelength) // height, rows - 1)
    column = min(int(place[1] * key.imagewidth) // width, columns - 1)
    tile = row * columns + column
    try:
        offset, length = page.dataoffsets[tile], page.databytecounts[tile]
        if not offset or not length:
            return None
        page.parent.filehandle.seek(offset)
        found = key.decode(page.parent.filehandle.read(length), tile, jpegtables=key.jpegtables)[0][0]
    except Exception:  # decoders raise whatever they raise, and an index may be cut
        return None
    inside = found[: key.imagelength - row * height, : key.imagewidth - column * width, :4]
    return np.ascontiguousarray(inside, np.float32), row * height, column * width


def _grid(page: Any) -> tuple[int, int]:
    """Rows and columns of a page's tiles or strips, of the first where colours are stored apart."""
    key = page.keyframe
    planar = int(key.planarconfig) == 2 and key.samplesperpixel > 1
    rows, columns = tuple(key.chunked)[1:3] if planar else tuple(key.chunked)[:2]
    return int(rows), int(columns)

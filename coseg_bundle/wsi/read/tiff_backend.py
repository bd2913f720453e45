"""OME-TIFF and plain TIFF, by tifffile and zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.images.colour import completed
from coseg_bundle.data.images.files import check_pixels
from coseg_bundle.data.images.tiff.image import TiffImage
from coseg_bundle.data.images.tiff.levels import open_tiff_file
from coseg_bundle.wsi.read.backend import (
    Backend,
    Region,
    SlideReadError,
    looked_at,
    raise_if_zeroed,
    same_shape,
    whole_enough,
)
from coseg_bundle.wsi.read.turned_backend import TurnedBackend


def open_tiff(path: Path) -> Backend | None:
    """The image of a file, upright, or None where it has floats: `read_image` does that."""
    file = open_tiff_file(path)
    try:
        image = TiffImage(path, file)
        if image.page.dtype in (np.dtype("u1"), np.dtype("u2"), np.dtype(bool)):
            check_pixels(path, *image.page.chunks[1::-1])
            stored = TiffBackend(path, image)
            return stored if image.orientation == 1 else TurnedBackend(stored, image.orientation)
    except BaseException:
        file.close()
        raise
    file.close()
    return None


class TiffBackend:
    """OME-TIFF and plain tiled TIFF as it is stored: only the tiles of a region are read."""

    origin_xy = (0, 0)

    def __init__(self, path: Path, image: TiffImage) -> None:
        import zarr

        self.path, self._image = path, image
        axes = image.axes
        sizes = [(level.shape[axes.index("X")], level.shape[axes.index("Y")]) for level in image.series.levels]
        ratios = [sizes[0][0] / size[0] for size in sizes]
        missing = image.missing
        kept = [
            i
            for i, size in enumerate(sizes)
            if same_shape(size, sizes[0]) and whole_enough(missing[i], missing[0], ratios[i], i)
        ]
        self._arrays: list[Any] = [zarr.open(image.series.aszarr(level=i), mode="r") for i in kept]
        self._missing, self._cut = ([tiles[i] for i in kept] for tiles in (missing, image.cut))
        self._jpegs = [image.jpegs[i] for i in kept]
        self.level_sizes_xy, self.downsamples = [sizes[i] for i in kept], [ratios[i] for i in kept]
        self.missing_tiles = missing[0].count if missing[0] else 0
        self.pixel_size = image.pixel_size
        self._encoding = image.encoding
        if image.page.dtype != np.uint8 or image.encoding.alpha is not None or image.encoding.bits:
            self._encoding = completed(self._looked_at(), image.encoding, path)
        self.notes = (*image.notes, *self._encoding.notes, *self.pixel_size.notes)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        missing = self._missing[level]
        mask = missing.mask(x, y, width, height) if missing else None
        stored = self._stored(level, x, y, width, height)
        try:
            return Region(*self._image.rgb(stored, self._encoding, mask))
        except ImageFileError as error:  # values that no part that was looked at has
            raise SlideReadError(str(error)) from error

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """See `Backend`."""
        if self._encoding.alpha is not None and not self._encoding.plain:
            return self.read(level, x, y, width, height).unscanned
        missing = self._missing[level]
        return missing.mask(x, y, width, height) if missing else None

    def _stored(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        raise_if_zeroed(self.path, self._jpegs[level], level, x, y, width, height)
        if (cut := self._cut[level]) and (corner := cut.first(x, y, width, height)):
            raise SlideReadError(f"{self.path}: the file ends before the tile at level-{level} pixel {corner} does")
        index = {"Y": slice(y, y + height), "X": slice(x, x + width)}
        try:
            return np.asarray(self._arrays[level][tuple(index.get(axis, slice(None)) for axis in self._image.axes)])
        except Exception as error:  # decoders raise whatever they raise
            raise SlideReadError(
                f"{self.path}: a tile near level-{level} pixel ({x}, {y}) is broken: {error}"
            ) from error

    def _looked_at(self) -> NDArray[Any]:
        level = len(self._arrays) - 1
        return looked_at(self.level_sizes_xy[level], lambda *box: self._image.channels_last(self._stored(level, *box)))

    def close(self) -> None:
        """See `Backend`."""
        self._image.file.close()

"""Formats: OpenSlide for scanners' files, tifffile and zarr for OME-TIFF and plain TIFF, an array for other images."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import IMAGE_SUFFIXES, ImageFileError, read_image, suffix_of
from coseg_bundle.data.images.colour import completed
from coseg_bundle.data.images.files import check_pixels, first_line
from coseg_bundle.data.images.missing import MissingTiles, missing_tiles
from coseg_bundle.data.images.pixel_size import PixelSize, openslide_pixel_size
from coseg_bundle.data.images.tiff import TiffImage

_TIFF_SUFFIXES = (".tif", ".tiff")
_LOOKED_AT_PX = 2**24
"""Of a slide with deep values or transparency, about so many pixels are looked at to see what they mean."""

Origin = Literal["bounds", "canvas"]
"""Where pixel (0, 0) lies in files that say which part of the glass was scanned (`openslide.bounds-*`): at the corner
of that part, as in QuPath, or at the corner of the glass, as in OpenSlide itself."""


class SlideReadError(OSError):
    """A part of a slide that cannot be read; the rest may be fine."""


class Region(NamedTuple):
    """A part of a level.

    Attributes:
        rgb: `(H, W, 3)` uint8, white where nothing was scanned.
        unscanned: `(H, W)`, True there; None where all was scanned.
    """

    rgb: NDArray[np.uint8]
    unscanned: NDArray[np.bool_] | None = None


class Backend(Protocol):
    """A pyramid of RGB levels, the largest first.

    Attributes:
        level_sizes_xy: Width and height of each level, px.
        downsamples: Pixels of level 0 per pixel of each level.
        pixel_size: What the file says of the size of level 0's pixels.
        origin_xy: Where pixel (0, 0) lies on the canvas of the file, px of level 0.
        missing_tiles: How many tiles of level 0 the file does not hold.
        notes: What is to be said of how the file is read.
    """

    @property
    def level_sizes_xy(self) -> Sequence[tuple[int, int]]: ...  # noqa: D102  # an attribute, see above

    @property
    def downsamples(self) -> Sequence[float]: ...  # noqa: D102

    @property
    def pixel_size(self) -> PixelSize: ...  # noqa: D102

    @property
    def origin_xy(self) -> tuple[int, int]: ...  # noqa: D102

    @property
    def missing_tiles(self) -> int: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """A region `(height, width)` in pixels of its level; it lies inside the level."""

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """The region's `unscanned`, without reading pixels where the file's index tells."""

    def close(self) -> None:
        """Lets go of the file."""


def open_backend(path: Path, origin: Origin = "bounds") -> Backend:
    """Opens a file with whatever reads it.

    Args:
        path: The file.
        origin: Where pixel (0, 0) lies.

    Raises:
        ImageFileError: The file is missing, truncated, or no image.
    """
    if not path.exists():
        raise ImageFileError(f"{path}: file not found; check the path.")
    is_tiff = suffix_of(path) in _TIFF_SUFFIXES
    vendor = _openslide_format(path)
    try:
        if vendor and not (is_tiff and vendor == "generic-tiff"):
            return OpenSlideBackend(path, origin)
        if is_tiff and (tiff := TiffBackend.of(path)):
            return tiff
    except (ImageFileError, MemoryError):
        raise
    except Exception as error:  # the readers raise whatever their formats' libraries raise
        kind = _dicom_kind(path)
        raise ImageFileError(
            f"{path}: not readable as a slide ({first_line(error)}); "
            + (f"it is {kind}, export it as 8-bit RGB." if kind else "it may be truncated.")
        ) from error
    if suffix_of(path) not in IMAGE_SUFFIXES:
        kind = _dicom_kind(path)
        raise ImageFileError(
            f"{path}: no slide that can be read{f', but {kind}' if kind else ''}; expected what OpenSlide reads (SVS, "
            f"NDPI, MRXS, SCN, DICOM, ...), TIFF, OME-TIFF or an image ({', '.join(IMAGE_SUFFIXES)})."
        )
    return ImageBackend(path)


class OpenSlideBackend:
    """A scanner's file. OpenSlide refuses to go on after an error, so the file is opened again then."""

    def __init__(self, path: Path, origin: Origin = "bounds") -> None:
        import openslide

        self.path = path
        self._slide = openslide.OpenSlide(str(path))
        self._lock = threading.Lock()
        sizes: Sequence[tuple[int, int]] = self._slide.level_dimensions
        x, y, width, height = _bounds(self._slide.properties, sizes[0]) if origin == "bounds" else (0, 0, *sizes[0])
        self.origin_xy = (x, y)
        cropped = (width, height) != sizes[0]
        ratios = [sizes[0][0] / size[0] for size in sizes]
        found = None if cropped else _missing_of_levels(path, sizes)
        self._index_tells = found is not None
        missing = found or [None] * len(sizes)
        self._levels = [i for i in range(len(sizes)) if _whole_enough(missing[i], missing[0], ratios[i], i)]
        self._missing = [missing[i] for i in self._levels]
        self.downsamples = [ratios[i] for i in self._levels]
        self.level_sizes_xy = [
            (max(1, int(width / ratios[i])), max(1, int(height / ratios[i]))) if cropped else sizes[i]
            for i in self._levels
        ]
        self.missing_tiles = self._missing[0].count if self._missing[0] else 0
        self.pixel_size = openslide_pixel_size(self._slide.properties)
        self.notes = self.pixel_size.notes

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        missing = self._missing[level]
        mask = missing.mask(x, y, width, height) if missing else None
        if mask is not None and mask.all():
            return Region(np.full((height, width, 3), 255, np.uint8), mask)
        if mask is not None and mask.any():  # OpenSlide takes what lies at offset 0, or fails
            return self._around(level, x, y, width, height)
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

        number = self._levels[level]
        downsample = self._slide.level_downsamples[number]
        corner = round(x * downsample) + self.origin_xy[0], round(y * downsample) + self.origin_xy[1]
        slide = self._slide
        try:
            return np.asarray(slide.read_region(corner, number, (width, height)))
        except openslide.OpenSlideError as error:
            with self._lock:
                if self._slide is slide:
                    self._slide = openslide.OpenSlide(str(self.path))
            kind = _dicom_kind(self.path)
            raise SlideReadError(f"{self.path}: {error}{f' ({kind})' if kind else ''}") from error

    def close(self) -> None:
        """See `Backend`."""
        self._slide.close()


class TiffBackend:
    """OME-TIFF and plain tiled TIFF: only the tiles of a region are read."""

    origin_xy = (0, 0)

    def __init__(self, path: Path, image: TiffImage) -> None:
        import zarr

        self.path, self._image = path, image
        axes = image.axes
        sizes = [(level.shape[axes.index("X")], level.shape[axes.index("Y")]) for level in image.series.levels]
        ratios = [sizes[0][0] / size[0] for size in sizes]
        missing = image.missing
        kept = [i for i in range(len(sizes)) if _whole_enough(missing[i], missing[0], ratios[i], i)]
        self._arrays: list[Any] = [zarr.open(image.series.aszarr(level=i), mode="r") for i in kept]
        self._missing = [missing[i] for i in kept]
        self.level_sizes_xy, self.downsamples = [sizes[i] for i in kept], [ratios[i] for i in kept]
        self.missing_tiles = missing[0].count if missing[0] else 0
        self.pixel_size = image.pixel_size
        self._encoding = image.encoding
        if image.page.dtype != np.uint8 or image.encoding.alpha is not None or image.encoding.bits:
            self._encoding = completed(self._looked_at(), image.encoding, path)
        self.notes = (*image.notes, *self._encoding.notes, *self.pixel_size.notes)

    @classmethod
    def of(cls, path: Path) -> TiffBackend | None:
        """The first image of a file, or None where it is to be turned or has floats: `read_image` does that."""
        import tifffile

        file = tifffile.TiffFile(path)
        try:
            image = TiffImage(path, file)
            if image.orientation == 1 and image.page.dtype in (np.dtype("u1"), np.dtype("u2"), np.dtype(bool)):
                check_pixels(path, *image.page.chunks[1::-1])
                return cls(path, image)
        except BaseException:
            file.close()
            raise
        file.close()
        return None

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
        index = {"Y": slice(y, y + height), "X": slice(x, x + width)}
        try:
            return np.asarray(self._arrays[level][tuple(index.get(axis, slice(None)) for axis in self._image.axes)])
        except Exception as error:  # decoders raise whatever they raise
            raise SlideReadError(
                f"{self.path}: a tile near level-{level} pixel ({x}, {y}) is broken: {error}"
            ) from error

    def _looked_at(self) -> NDArray[Any]:
        """The smallest level, or if that is large, parts spread over it."""
        level = len(self._arrays) - 1
        width, height = self.level_sizes_xy[level]
        if width * height <= _LOOKED_AT_PX:
            return self._image.channels_last(self._stored(level, 0, 0, width, height))
        side = 1024
        count = int((_LOOKED_AT_PX / side**2) ** 0.5)
        parts = [
            self._image.channels_last(self._stored(level, int(x), int(y), side, side))
            for x in np.linspace(0, max(0, width - side), count)
            for y in np.linspace(0, max(0, height - side), count)
        ]
        return np.concatenate([part.reshape(-1, 1, *part.shape[2:]) for part in parts])

    def close(self) -> None:
        """See `Backend`."""
        self._image.file.close()


class ImageBackend:
    """An image that is read whole."""

    origin_xy = (0, 0)
    downsamples = (1.0,)

    def __init__(self, path: Path) -> None:
        image = read_image(path)
        self._rgb, self._unscanned, self.notes = image.rgb, image.unscanned, image.notes
        refusal = image.mpp_refusal.removeprefix(f"{path}: ") if image.mpp_refusal else None
        self.pixel_size = PixelSize(image.mpp, refusal)
        self.level_sizes_xy = [(image.rgb.shape[1], image.rgb.shape[0])]
        self.missing_tiles = 0

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        rows, columns = slice(y, y + height), slice(x, x + width)
        unscanned = None if self._unscanned is None else self._unscanned[rows, columns]
        return Region(self._rgb[rows, columns], unscanned if unscanned is not None and unscanned.any() else None)

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """See `Backend`."""
        return self.read(level, x, y, width, height).unscanned

    def close(self) -> None:
        """See `Backend`."""
        self._rgb = np.zeros((0, 0, 3), np.uint8)


def _openslide_format(path: Path) -> str | None:
    try:
        import openslide
    except ImportError as error:
        if suffix_of(path) in IMAGE_SUFFIXES:
            return None
        raise ImageFileError(
            f"{path}: OpenSlide is not installed ({error}); pip install 'coseg-bundle[wsi]'."
        ) from error
    return openslide.OpenSlide.detect_format(str(path))


def _bounds(properties: Any, size_xy: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what was scanned; all of it where a file does not say, or not sensibly."""
    try:
        x, y, width, height = (int(properties[f"openslide.bounds-{name}"]) for name in ("x", "y", "width", "height"))
    except (KeyError, ValueError):
        return 0, 0, *size_xy
    width, height = min(width, size_xy[0] - x), min(height, size_xy[1] - y)
    return (x, y, width, height) if min(x, y) >= 0 and min(width, height) > 0 else (0, 0, *size_xy)


def _missing_of_levels(path: Path, sizes: Sequence[tuple[int, int]]) -> list[MissingTiles | None] | None:
    """What the levels of a scanner's TIFF lack; None where its pages are not the levels, or it is none."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            pages = {(p.imagewidth, p.imagelength): p for p in reversed(file.pages) if p.is_tiled}
            return [missing_tiles([pages[size]]) for size in sizes]
    except Exception:  # formats of their own
        return None


def _whole_enough(missing: MissingTiles | None, missing_0: MissingTiles | None, downsample: float, level: int) -> bool:
    """Whether a level holds all that level 0 holds; what it lacks is read from a larger one."""
    return level == 0 or missing is None or missing.within(missing_0, downsample)


def _dicom_kind(path: Path) -> str | None:
    """What a DICOM file holds, in words, or None where it is none (or pydicom is not there to tell)."""
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
    return f"a DICOM file of {bits}-bit {colour}, {syntax}"

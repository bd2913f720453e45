"""Formats: OpenSlide for scanners' files, tifffile and zarr for OME-TIFF and plain TIFF, an array for other images."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.image_io import IMAGE_SUFFIXES, ImageFileError, read_image, suffix_of, tiff_mpp, to_rgb

_TIFF_SUFFIXES = (".tif", ".tiff")


class SlideReadError(OSError):
    """A part of a slide that cannot be read; the rest may be fine."""


class Backend(Protocol):
    """A pyramid of RGB levels, the largest first.

    Attributes:
        level_sizes_xy: Width and height of each level, px.
        mpp: Microns per pixel of level 0, or None where the file does not say.
    """

    @property
    def level_sizes_xy(self) -> Sequence[tuple[int, int]]: ...  # noqa: D102  # an attribute, see above

    @property
    def mpp(self) -> float | None: ...  # noqa: D102

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """A region `(height, width, 3)` in pixels of its level; it lies inside the level."""

    def close(self) -> None:
        """Lets go of the file."""


def open_backend(path: Path) -> Backend:
    """Opens a file with whatever reads it.

    Raises:
        ImageFileError: The file is missing, truncated, or no image.
    """
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise ImageFileError(f"{path}: file not found; check the path.")
    is_tiff = suffix_of(path) in _TIFF_SUFFIXES
    vendor = _openslide_format(path)
    try:
        if vendor and not (is_tiff and vendor == "generic-tiff"):
            return OpenSlideBackend(path)
        if is_tiff and (tiff := TiffBackend.of(path)):
            return tiff
    except ImageFileError:
        raise
    except Exception as error:  # the readers raise whatever their formats' libraries raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageFileError(f"{path}: not readable as a slide ({reason}); it may be truncated.") from error
    if suffix_of(path) not in IMAGE_SUFFIXES:
        raise ImageFileError(
            f"{path}: no slide that can be read; expected what OpenSlide reads (SVS, NDPI, MRXS, SCN, DICOM, ...), "
            f"TIFF, OME-TIFF or an image ({', '.join(IMAGE_SUFFIXES)})."
        )
    return ImageBackend(path)


class OpenSlideBackend:
    """A scanner's file. OpenSlide refuses to go on after an error, so the file is opened again then."""

    def __init__(self, path: Path) -> None:
        import openslide

        self.path = path
        self._slide = openslide.OpenSlide(str(path))
        self._lock = threading.Lock()
        self.level_sizes_xy = self._slide.level_dimensions
        self._downsamples = self._slide.level_downsamples
        self.mpp = _openslide_mpp(self._slide.properties)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See `Backend`."""
        import openslide

        corner = round(x * self._downsamples[level]), round(y * self._downsamples[level])
        slide = self._slide
        try:
            rgba = np.asarray(slide.read_region(corner, level, (width, height)))
        except openslide.OpenSlideError as error:
            with self._lock:
                if self._slide is slide:
                    self._slide = openslide.OpenSlide(str(self.path))
            raise SlideReadError(f"{self.path}: {error}") from error
        alpha = rgba[..., 3:]
        if (alpha == 255).all():
            return np.ascontiguousarray(rgba[..., :3])
        return np.where(alpha == 0, 255, rgba[..., :3]).astype(np.uint8)  # where the scanner saw nothing

    def close(self) -> None:
        """See `Backend`."""
        self._slide.close()


class TiffBackend:
    """OME-TIFF and plain tiled TIFF: only the tiles of a region are read."""

    def __init__(self, path: Path, file: Any, series: Any) -> None:
        import zarr

        self.path, self._file = path, file
        levels = range(len(series.levels))
        self._arrays: list[Any] = [zarr.open(series.aszarr(level=level), mode="r") for level in levels]
        self._axes: str = series.axes
        self.level_sizes_xy = [(a.shape[self._axes.index("X")], a.shape[self._axes.index("Y")]) for a in self._arrays]
        self.mpp = tiff_mpp(file, series.pages[0])

    @classmethod
    def of(cls, path: Path) -> TiffBackend | None:
        """The first image of a file, or None where it is stored in one piece and `read_image` serves as well."""
        import tifffile

        file = tifffile.TiffFile(path)
        series = file.series[0]
        page = series.pages[0]
        known = series.dtype in (np.dtype("u1"), np.dtype("u2")) and series.axes in ("YX", "YXS", "CYX", "SYX")
        if not known or page.photometric in (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.PALETTE):
            file.close()
            return None
        return cls(path, file, series)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See `Backend`."""
        index = {"Y": slice(y, y + height), "X": slice(x, x + width)}
        try:
            array = np.asarray(self._arrays[level][tuple(index.get(axis, slice(None)) for axis in self._axes)])
        except Exception as error:  # decoders raise whatever they raise
            raise SlideReadError(
                f"{self.path}: a tile near level-{level} pixel ({x}, {y}) is broken: {error}"
            ) from error
        if self._axes in ("CYX", "SYX"):
            array = np.moveaxis(array, 0, -1)[..., :4]
        return to_rgb(array, self.path)

    def close(self) -> None:
        """See `Backend`."""
        self._file.close()


class ImageBackend:
    """An image that is read whole."""

    def __init__(self, path: Path) -> None:
        image = read_image(path)
        self._rgb, self.mpp = image.rgb, image.mpp
        self.level_sizes_xy = [(image.rgb.shape[1], image.rgb.shape[0])]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See `Backend`."""
        return self._rgb[y : y + height, x : x + width]

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


def _openslide_mpp(properties: Any) -> float | None:
    try:
        mpp = (float(properties["openslide.mpp-x"]) + float(properties["openslide.mpp-y"])) / 2
    except (KeyError, ValueError):
        return None
    return mpp if 0 < mpp < float("inf") else None

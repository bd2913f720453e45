"""Formats: OpenSlide for scanners' files and DICOM folders, tifffile and zarr for OME-TIFF and plain TIFF, zarr for
OME-Zarr, an array for other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import IMAGE_SUFFIXES, ImageFileError, read_image, suffix_of
from coseg_bundle.data.images.files import first_line, missing_package, package_needed
from coseg_bundle.data.images.pixel_size import PixelSize
from coseg_bundle.data.images.tiff.image import begins_as_tiff
from coseg_bundle.wsi.read.backend import Backend, Origin, Region
from coseg_bundle.wsi.read.dicom_folder import dicom_file
from coseg_bundle.wsi.read.ome_zarr_backend import OmeZarrBackend, is_zarr
from coseg_bundle.wsi.read.openslide_backend import OpenSlideBackend, dicom_kind
from coseg_bundle.wsi.read.tiff_backend import open_tiff

_TIFF_SUFFIXES = (".tif", ".tiff")


def open_backend(path: Path, origin: Origin = "bounds") -> Backend:
    """Opens a file with whatever reads it.

    Args:
        path: The file, or a folder that is one slide: a DICOM series, or OME-Zarr.
        origin: Where pixel (0, 0) lies.

    Raises:
        ImageFileError: The file is missing, truncated, or no image; the folder holds no slide, or several.
    """
    zarr = path.is_dir() and is_zarr(path)
    file = dicom_file(path) if path.is_dir() and not zarr else path
    if not zarr and not file.is_file():  # a pipe would be waited for
        raise ImageFileError(f"{path}: file not found; check the path.")
    if not zarr and not file.stat().st_size and _openslide_format(file) is None:  # MIRAX's is a name for its folder
        raise ImageFileError(f"{path}: the file is empty; copy or export it again.")
    try:
        backend = OmeZarrBackend(path) if zarr else _by_its_content(file, origin)
    except (ImageFileError, MemoryError):
        raise
    except Exception as error:  # the readers raise whatever their formats' libraries raise
        if package := missing_package(error):
            raise ImageFileError(package_needed(path, package)) from error
        kind = dicom_kind(file)
        raise ImageFileError(
            f"{path}: not readable as a slide ({first_line(error)}); "
            + (f"it is {kind}, {kind.remedy}" if kind else "it may be truncated.")
        ) from error
    if backend is None and suffix_of(file) not in IMAGE_SUFFIXES:
        raise _no_slide(path, file)
    return backend or ImageBackend(file)


def _no_slide(path: Path, file: Path) -> ImageFileError:
    """Of a file that is called none of ours, and in which OpenSlide finds nothing."""
    if begins_as_tiff(file):  # a scanner's has the list of its contents at its end
        return ImageFileError(
            f"{path}: it begins as a TIFF, and no slide is found in it; it may be truncated: copy it again, or call it "
            ".tif if it is whole."
        )
    kind = dicom_kind(file)
    return ImageFileError(
        f"{path}: no slide that can be read{f', but {kind}' if kind else ''}; expected what OpenSlide reads (SVS, "
        f"NDPI, MRXS, SCN, DICOM, ...), TIFF, OME-TIFF or an image ({', '.join(IMAGE_SUFFIXES)})."
    )


def _by_its_content(path: Path, origin: Origin) -> Backend | None:
    """A scanner's file or a TIFF; None for what is to be read as an image, or not at all."""
    vendor = _openslide_format(path)
    is_tiff = suffix_of(path) in _TIFF_SUFFIXES or vendor == "generic-tiff"  # whatever it is called
    if vendor and vendor != "generic-tiff":
        slide = OpenSlideBackend(path, origin)
        if slide.orientation == 1:
            return slide
        slide.close()  # it would turn each tile in its place, or none
        return open_tiff(path)
    return open_tiff(path) if is_tiff else None


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
            f"{path}: OpenSlide is not installed ({error}); pip install 'openslide-python' 'openslide-bin'."
        ) from error
    return openslide.OpenSlide.detect_format(str(path))

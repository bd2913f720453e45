"""Images and label maps from files: PNG, JPEG, TIFF, NIfTI (and NPY labels), checked at the door."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.postprocessing.resample import resample_nearest

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".nii.gz")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")
MAX_PIXELS = 1_000_000_000
"""Larger images are slides: read whole they would need more than 3 GB."""

_SCANNER_MPP = (0.05, 5.0)
"""Resolution tags outside this range (for example 72 or 300 dpi: 353 or 85 um per pixel) are printing resolutions."""


class ImageFileError(ValueError):
    """A file that cannot be used as an image or a label map; the message names it and the remedy."""


@dataclass(frozen=True)
class HistologyImage:
    """An image as the network's users know it.

    Attributes:
        rgb: `(H, W, 3)` uint8.
        mpp: Microns per pixel, or None where the file does not say.
        path: The file.
        affine: `(4, 4)` voxel-to-world matrix of a NIfTI file, in mm; None for other formats.
    """

    rgb: NDArray[np.uint8]
    mpp: float | None
    path: Path
    affine: NDArray[np.float64] | None = None


def suffix_of(path: str | PathLike[str]) -> str:
    """Lower-case suffix of a file; `.nii.gz` counts as one."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: str | PathLike[str]) -> str:
    """File name without its suffix; `.nii.gz` counts as one."""
    name = Path(path).name
    suffix = suffix_of(path)
    return name[: len(name) - len(suffix)] if suffix else name


def read_image(path: str | PathLike[str]) -> HistologyImage:
    """Reads an image as 8-bit RGB.

    Grey images become RGB, transparency is laid on white, 16-bit values are divided by 257, floats must lie in [0, 1].
    Of a pyramid the first level is read. NIfTI holds `(x, y)` order: `(W, H, 1, 3)`, `(W, H, 3)`, `(W, H)` or RGB24.

    Args:
        path: PNG, JPEG, TIFF or NIfTI.

    Raises:
        ImageFileError: The file is missing, truncated, empty, too large, or no such image.
    """
    path = Path(path)
    array, mpp = _read(path, IMAGE_SUFFIXES, "an image")
    return HistologyImage(to_rgb(array, path), mpp, path, _nifti_affine(path))


def read_label(path: str | PathLike[str]) -> NDArray[np.int32]:
    """Reads a label map: whole numbers, one per pixel; -1 marks unlabelled pixels.

    Args:
        path: PNG, TIFF, NPY or NIfTI.

    Returns:
        `(H, W)` int32.

    Raises:
        ImageFileError: The file is missing or broken, has more than one channel, fractions, other negative values, or
            ids beyond int32.
    """
    path = Path(path)
    array, _ = _read(path, LABEL_SUFFIXES, "a label map")
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):  # a single channel, first or last
        array = array[..., 0] if array.shape[2] == 1 else array[0]
    if array.ndim != 2:
        raise ImageFileError(f"{path}: expected a label map with one value per pixel, got shape {array.shape}.")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            raise ImageFileError(
                f"{path}: expected whole numbers as labels, got fractions; save ids, not probabilities."
            )
    elif array.dtype.kind not in "iub":
        raise ImageFileError(f"{path}: expected whole numbers as labels, got dtype {array.dtype}.")
    if array.size and (array.min() < -1 or array.max() > np.iinfo(np.int32).max):
        raise ImageFileError(
            f"{path}: expected labels from -1 (unlabelled) to {np.iinfo(np.int32).max}, got {array.min()} to "
            f"{array.max()}; relabel the map."
        )
    return array.astype(np.int32)


def read_label_of(
    image_path: str | PathLike[str],
    shape: tuple[int, int],
    path: str | PathLike[str],
    size: tuple[int, int] | None = None,
) -> NDArray[np.int32]:
    """Reads a label map of an image, which has its size or a whole multiple of it, the same in both directions.

    A label that is N times as fine says more about where an outline runs; other grids take from it the values at the
    centres of their pixels. With an odd N the centre of an image's pixel is the centre of one of the label's. With an
    even one it lies between four, of which the lower right one counts: half a label's pixel away.

    Args:
        image_path: The image, for messages.
        shape: Its height and width.
        path: The label, as `read_label` takes it.
        size: Height and width to bring the label to; those of the image when not given.

    Returns:
        `size` int32.

    Raises:
        ImageFileError: The label is unusable, or its size is another.
    """
    label = read_label(path)
    times = max(1, label.shape[0] // shape[0])
    if label.shape != (shape[0] * times, shape[1] * times):
        check_same_size(shape, (label.shape[0], label.shape[1]), image_path, path, ", or a whole multiple of it")
    return resample_nearest(label, size or shape)


def write_tiff(path: Path, array: NDArray[Any]) -> Path:
    """Writes an image or a label map, compressed without loss, whole or not at all; returns its absolute path."""
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        tifffile.imwrite(partial, array, compression="deflate")
    return path.resolve()


def check_same_size(
    shape: tuple[int, int], other: tuple[int, int], path: object, other_path: object, also: str = ""
) -> None:
    """Raises ImageFileError naming both files unless the two (H, W) are equal; `also` says what else would do."""
    if shape != other:
        raise ImageFileError(
            f"{other_path} has {other[1]} x {other[0]} pixels and its image {path} has {shape[1]} x {shape[0]}; "
            f"export the labels at the size of the image{also}."
        )


def _read(path: Path, suffixes: tuple[str, ...], what: str) -> tuple[NDArray[Any], float | None]:
    suffix = suffix_of(path)
    if not path.is_file():
        raise ImageFileError(f"{path}: file not found; check the path.")
    if suffix not in suffixes:
        raise ImageFileError(
            f"{path}: expected {what} ({', '.join(suffixes)}), got {suffix or 'no suffix'}; convert it."
        )
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path}: the file is empty; copy or export it again.")
    try:
        array, mpp = _READERS[suffix](path)
    except ImageFileError:
        raise
    except Exception as error:  # the readers raise whatever their formats' libraries raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageFileError(
            f"{path}: not readable as {what} ({reason}); it may be truncated or mislabelled."
        ) from error
    if array.size == 0:
        raise ImageFileError(f"{path}: the image has no pixels (shape {array.shape}); export it again.")
    return array, mpp


def _read_pillow(path: Path) -> tuple[NDArray[Any], float | None]:
    from PIL import Image

    with Image.open(path) as file:
        image: Image.Image = file
        if image.width * image.height > MAX_PIXELS:
            raise ImageFileError(f"{path}: {image.width} x {image.height} pixels are too many; cut regions from it.")
        image.load()
        if image.mode == "P":
            image = image.convert("RGBA") if "transparency" in image.info else image
        elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F"):
            image = image.convert("RGB")
        if image.mode == "P" and suffix_of(path) == ".png" and image.getpalette() is not None:
            image = image.convert("RGB") if _has_colour(image) else image
        return np.array(image), None  # a copy: Pillow's own memory is read-only


def _has_colour(image: Any) -> bool:
    palette = np.asarray(image.getpalette()).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def _read_tiff(path: Path) -> tuple[NDArray[Any], float | None]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        page = series.pages[0]
        if np.prod(series.shape, dtype=np.int64) > 4 * MAX_PIXELS:
            raise ImageFileError(f"{path}: shape {series.shape} is too large to read whole; cut regions from it.")
        array = series.asarray(level=0)
        while array.ndim > page.ndim and array.shape[0] == 1:
            array = array[0]
        if array.ndim > page.ndim and not (page.ndim == 2 and array.shape[0] in (3, 4)):
            raise ImageFileError(
                f"{path}: expected one image, got {len(series.pages)} pages of shape {page.shape}; export one of them."
            )
        if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[-1] not in (1, 2, 3, 4):
            array = np.moveaxis(array, 0, -1)  # planar: (C, H, W) -> (H, W, C)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        return array, tiff_mpp(file, page)


def tiff_mpp(file: Any, page: Any) -> float | None:
    """Microns per pixel: OME-XML, then Aperio's description, then the resolution tags."""
    if file.ome_metadata:
        for element in ET.fromstring(file.ome_metadata).iter():
            if element.tag.endswith("Pixels") and element.get("PhysicalSizeX"):
                if element.get("PhysicalSizeXUnit", "µm") in ("µm", "um", "μm"):
                    return float(element.get("PhysicalSizeX", "nan"))
    found = re.search(r"MPP\s*=\s*([0-9.]+)", page.description or "")
    if found:
        return float(found.group(1))
    tag, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if tag is None or unit is None or not all(tag.value):
        return None
    microns = {2: 25_400.0, 3: 10_000.0}.get(int(unit.value))
    mpp = microns * tag.value[1] / tag.value[0] if microns else None
    return mpp if mpp is not None and _SCANNER_MPP[0] <= mpp <= _SCANNER_MPP[1] else None


def _read_npy(path: Path) -> tuple[NDArray[Any], float | None]:
    return np.load(path, allow_pickle=False), None


def _read_nifti(path: Path) -> tuple[NDArray[Any], float | None]:
    import nibabel

    volume = nibabel.load(path)
    array = np.asanyarray(volume.dataobj)
    if array.dtype.fields:  # RGB24: three uint8 fields
        array = np.stack([array[name] for name in array.dtype.fields], axis=-1)
    if array.ndim >= 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    array = np.squeeze(array, axis=tuple(range(3, array.ndim))) if array.ndim > 3 else array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageFileError(f"{path}: expected one slice, (W, H, 1) or (W, H, 1, 3), got shape {volume.shape}.")
    zoom_mm = float(volume.header.get_zooms()[0])
    mpp = zoom_mm * 1000.0
    return np.swapaxes(array, 0, 1), mpp if _SCANNER_MPP[0] <= mpp <= _SCANNER_MPP[1] else None  # (x, y) -> (row, col)


def _nifti_affine(path: Path) -> NDArray[np.float64] | None:
    if suffix_of(path) not in (".nii", ".nii.gz"):
        return None
    import nibabel

    return np.asarray(nibabel.load(path).affine)


_READERS: dict[str, Callable[[Path], tuple[NDArray[Any], float | None]]] = {
    ".png": _read_pillow,
    ".jpg": _read_pillow,
    ".jpeg": _read_pillow,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".npy": _read_npy,
    ".nii": _read_nifti,
    ".nii.gz": _read_nifti,
}


def to_rgb(array: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Brings `(H, W)` or `(H, W, 1 to 4)` of any depth to `(H, W, 3)` uint8; `path` is for messages."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 2, 3, 4):
        raise ImageFileError(
            f"{path}: expected a grey, RGB or RGBA image, got shape {array.shape}; export one plane as RGB."
        )
    array = _to_uint8(array, path)
    channels = array.shape[-1]
    if channels in (2, 4):  # the last channel is transparency: lay the rest on white
        alpha = array[..., -1:].astype(np.uint16)
        array = ((array[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array)


def _to_uint8(array: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind in "if" and np.isfinite(array).all() and array.min() >= 0:
        if array.dtype.kind == "f" and array.max() <= 1:
            return np.round(array * 255).astype(np.uint8)
        if array.dtype.kind == "i" and array.max() <= 65535:
            return _to_uint8(array.astype(np.uint16 if array.max() > 255 else np.uint8), path)
    raise ImageFileError(
        f"{path}: expected 8-bit or 16-bit pixels or floats in [0, 1], got {array.dtype}; export it as 8-bit RGB."
    )

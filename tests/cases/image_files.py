"""Generators of image files: right ones, odd ones and broken ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from PIL import Image, ImageCms
from scn import write_scn

from .stand_in import HEIGHT, WIDTH, picture

RGB = picture()
GREY = np.repeat(RGB[..., 1:2], 3, axis=2)
POSTER = RGB // 64 * 64
"""The same in few colours."""


def png(rgb: np.ndarray, mode: str | None = None, **options: Any) -> bytes:
    """A picture as PNG."""
    return picture_file(rgb, "PNG", mode, **options)


def jpeg(rgb: np.ndarray, mode: str | None = None, **options: Any) -> bytes:
    """A picture as JPEG, of high quality."""
    return picture_file(rgb, "JPEG", mode, **{"quality": 100, "subsampling": 0, **options})


def picture_file(rgb: np.ndarray, kind: str, mode: str | None = None, colours: int = 0, **options: Any) -> bytes:
    """A picture in a format of Pillow's, with a palette of so many colours if any."""
    made = Image.fromarray(rgb)
    if colours:
        made = made.quantize(colours, dither=Image.Dither.NONE)
    file = BytesIO()
    (made.convert(mode) if mode else made).save(file, kind, **options)
    return file.getvalue()


def tiff(array: np.ndarray, **options: Any) -> Callable[[Path], None]:
    """Writes an array as TIFF, RGB unless something else is said."""
    return lambda path: tifffile.imwrite(path, array, **{"photometric": "rgb", "metadata": None, **options})


def tiff_bytes(array: np.ndarray = RGB, **options: Any) -> bytes:
    """The same in memory."""
    file = BytesIO()
    tifffile.imwrite(file, array, **{"photometric": "rgb", "metadata": None, **options})
    return file.getvalue()


def pages(*arrays: np.ndarray, **options: Any) -> Callable[[Path], None]:
    """Writes images into one TIFF."""

    def make(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for array in arrays:
                file.write(array, **{"metadata": None, **options})

    return make


def ome(array: np.ndarray, axes: str, **metadata: Any) -> Callable[[Path], None]:
    """Writes an OME-TIFF."""
    return lambda path: tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **metadata})


def ome_xml(pixels: str, extra: str = "") -> Callable[[Path], None]:
    """Writes an OME-TIFF whose `Pixels` have these attributes."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{WIDTH}" '
        f'SizeY="{HEIGHT}" SizeC="3" SizeZ="1" SizeT="1" {pixels}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
        f'<TiffData IFD="0" PlaneCount="1"/></Pixels></Image>{extra}</OME>'
    )
    return tiff(RGB, description=xml.encode())


def patched(content: bytes, tag: int, value: int, byteorder: str = "<", field: str = "value") -> bytes:
    """A classic little-endian TIFF with another value, count or type in the first tag of a number."""
    data = bytearray(content)
    offset = struct.unpack_from(byteorder + "I", data, 4)[0]
    for entry in range(struct.unpack_from(byteorder + "H", data, offset)[0]):
        at = offset + 2 + 12 * entry
        if struct.unpack_from(byteorder + "H", data, at)[0] == tag:
            where, kind = {"type": (2, "H"), "count": (4, "I"), "value": (8, "I")}[field]
            struct.pack_into(byteorder + kind, data, at + where, value)
            return bytes(data)
    raise KeyError(tag)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that says its size and holds hardly more."""
    body = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def nifti(array: np.ndarray, zooms: tuple[float, ...] | None = None, unit: str = "mm") -> Callable[[Path], None]:
    """Writes NIfTI."""

    def make(path: Path) -> None:
        volume = nibabel.Nifti1Image(array, np.eye(4))
        if zooms:
            volume.header.set_zooms(zooms)
        volume.header.set_xyzt_units(unit)
        nibabel.save(volume, path)

    return make


def turned(orientation: int) -> np.ndarray:
    """What is stored so that the tag turns it into `RGB`."""
    stored = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB),
        7: RGB[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(RGB, -1),
    }[orientation]
    return np.ascontiguousarray(stored)


def exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def cmyk_with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # of the wrong kind
    return jpeg(RGB, "CMYK", icc_profile=profile)


def deep(bits: int, rgb: np.ndarray = RGB) -> np.ndarray:
    """The picture in so many of 16 bits, its brightest value white."""
    stretched = rgb.copy()
    stretched[0, 0] = 255
    return stretched.astype(np.uint16) << (bits - 8)


BRIGHT = deep(8).astype(np.uint8)
"""`RGB` with one white pixel, which tells how deep the values of `deep` are."""

CMYK = np.asarray(Image.fromarray(RGB).convert("CMYK"))


def rgba(alpha: np.ndarray | int) -> np.ndarray:
    return np.dstack([RGB, np.broadcast_to(np.uint8(alpha), RGB.shape[:2])])


def cleared() -> np.ndarray:
    """Opaque but for the right quarter."""
    alpha = np.full(RGB.shape[:2], 255, np.uint8)
    alpha[:, 40:] = 0
    return alpha


def white_right() -> np.ndarray:
    expected = RGB.copy()
    expected[:, 40:] = 255
    return expected


def missing(path: Path, which: int = 1, what: str = "both", **options: Any) -> None:
    """Takes a tile out of a TIFF: its offset, its length, or both are 0."""
    tifffile.imwrite(path, RGB, photometric="rgb", metadata=None, **{"tile": (16, 16), **options})
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags
        for code, strip, kind in ((324, 273, "offset"), (325, 279, "length")):
            tag = tags.get(code) or tags[strip]
            if what in ("both", kind):
                values = list(tag.value)
                values[which] = 0
                tag.overwrite(values)


def without(row: int, column: int, height: int, width: int) -> np.ndarray:
    expected = RGB.copy()
    expected[row : row + height, column : column + width] = 255
    return expected


def loop(path: Path) -> None:
    """The list of pages leads back to its beginning."""
    content = bytearray(tiff_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    path.write_bytes(content)


def pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, tile=(16, 16), photometric="rgb", subifds=1, metadata=None)
        file.write(RGB[::2, ::2], tile=(16, 16), photometric="rgb", subfiletype=1, metadata=None)


def imagej(unit: str, per_pixel: float) -> Callable[[Path], None]:
    resolution = (1 / per_pixel, 1 / per_pixel)
    return lambda path: tifffile.imwrite(path, RGB, imagej=True, resolution=resolution, metadata={"unit": unit})


def physical_size(x: str, unit: str, y: str | None = None) -> Callable[[Path], None]:
    of_y = f'PhysicalSizeY="{y}" PhysicalSizeYUnit="{unit}"' if y else ""
    return ome_xml(f'PhysicalSizeX="{x}" PhysicalSizeXUnit="{unit}" {of_y}')


def filled(kind: str, grey: int) -> np.ndarray:
    """Tissue with a constant area: its right half, all around, or a block."""
    corners = ((10, 10), (60, 20), (30, 40), (40, 80), (70, 100))
    rgb = picture(corners, 96, 128)
    if kind == "half":
        rgb[:, 64:] = grey
    elif kind == "frame":
        rgb = np.pad(rgb, ((32, 32), (32, 32), (0, 0)), constant_values=grey)
    else:
        rgb[32:96, 64:128] = grey
    return rgb


XY = np.ascontiguousarray(np.moveaxis(RGB, 0, 1))
RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def nii_bytes(path: Path) -> bytes:
    nifti(XY)(path)
    return path.read_bytes()


def cut_nifti(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(nii_bytes(path)[:size])

    return make


def no_length(path: Path) -> None:
    """A TIFF with a resolution of 1 over 0."""
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(1, 1), resolutionunit="CENTIMETER", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("XResolution", "YResolution"):
            file.pages[0].tags[name].overwrite((1, 0))


def small_scn(path: Path) -> None:
    """A Leica slide."""
    write_scn(path, np.pad(RGB, ((0, 208), (0, 192), (0, 0)), constant_values=240))

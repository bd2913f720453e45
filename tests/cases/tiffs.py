"""The image's door, TIFF: what the samples mean, where they lie, and what is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from .case import Case, with_words
from .image_files import (
    BRIGHT,
    CMYK,
    GREY,
    POSTER,
    RGB,
    cleared,
    deep,
    jpeg,
    loop,
    missing,
    ome,
    pages,
    patched,
    pyramid,
    rgba,
    tiff,
    tiff_bytes,
    turned,
    white_right,
    without,
)
from .images import image
from .stand_in import HEIGHT, WIDTH, centres

_BAD_TIFF = r"a\.tif: not readable as an image \(.+\); it may be truncated or mislabelled\."


def tif(name: str, content: Any, refused: str = "", **rest: Any) -> Case:
    """A case with a TIFF."""
    return image(name, content, refused, **{"file": "a.tif", **rest})


_NOT_TOLD = r"a\.tif: no tag says how many bits are significant, and its values end at \d+, .+"
_LOSSLESS = {
    "webp": {"lossless": True},
    "jpeg2000": {"reversible": True},
    "jpegxl": {"lossless": True},
    "jpeg": {"level": 100},
}
_COMPRESSIONS = ("lzw", "deflate", "packbits", "zstd", "lzma", "jpeg2000", "jpegxl", "webp", "jpeg", "lerc", "png")

TIFFS = [
    tif("8 bits", tiff(RGB), centres=centres(), read_as=[]),
    *(tif(f"{bits} bits of 16, {order}", tiff(deep(bits), byteorder=sign), like=BRIGHT, read_as=[] if bits == 16 else with_words(f"^{bits} significant bits")) for bits in (8, 10, 12, 14, 16) for order, sign in (("little endian", "<"), ("big endian", ">"))),
    tif("10 bits of 16 by the largest sample value", tiff(deep(10) // 2, extratags=[(281, "H", 3, (1023,) * 3, True)]), like=BRIGHT // 2, off=1, read_as=with_words("10 significant bits, as its tags say"), nuclei=lambda n: n > 0),
    tif("more bits than the tags say", tiff(deep(12), extratags=[(281, "H", 3, (1023,) * 3, True)]), r"a\.tif: its tags say 10 significant bits, and it has values up to 4080; .+"),
    tif("12 bits by OME's word", ome(deep(12), "YXS", SignificantBits=12), file="a.ome.tif", like=BRIGHT),
    tif("16 bits that end nowhere", tiff(RGB.astype("u2") * 100), _NOT_TOLD),
    tif("16 bits, all black", tiff(np.zeros((HEIGHT, WIDTH, 3), "u2")), like=None, nuclei=0),
    tif("32 bits with values of 16", tiff(deep(16).astype("u4")), like=BRIGHT),
    tif("32 bits with larger values", tiff(deep(16).astype("u4") * 9), r"a\.tif: .+; save it as 8-bit RGB, .+|a\.tif: expected values of .+"),
    tif("signed 16 bits", tiff(deep(14).astype("i2")), like=BRIGHT),
    tif("signed, with negative values", tiff(RGB.astype("i2") - 100), r"a\.tif: expected 8-bit or 16-bit pixels or floats in \[0, 1\], got int16; export it as 8-bit RGB\."),
    tif("signed 8 bits", tiff((RGB // 2).astype("i1")), r"a\.tif: expected 8-bit or 16-bit pixels .+, got int8; .+"),
    tif("floats from 0 to 1", tiff(RGB.astype("f4") / 255)),
    tif("double floats", tiff(RGB.astype("f8") / 255)),
    tif("half floats", tiff(RGB.astype("f2") / 255), off=1),
    tif("floats to 255", tiff(RGB.astype("f4")), r"a\.tif: expected 8-bit or 16-bit pixels or floats in \[0, 1\], got float32; .+"),
    tif("floats with NaN", tiff(np.where(RGB == 70, np.nan, RGB / 255).astype("f4")), r"a\.tif: expected .+ floats in \[0, 1\], got float32; .+"),
    tif("complex numbers", tiff(RGB[..., 0].astype("c8"), photometric="minisblack"), r"a\.tif: .+"),
    tif("planes apart", tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate")),
    tif("tiles", tiff(RGB, tile=(16, 32))),
    tif("tiles, planes apart", tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate", tile=(16, 16))),
    tif("strips of one row", tiff(RGB, rowsperstrip=1)),
    tif("strips of seven rows", tiff(RGB, rowsperstrip=7, compression="lzw")),
    tif("big tiff", tiff(RGB, bigtiff=True)),
    tif("big tiff, big endian", tiff(RGB, bigtiff=True, byteorder=">")),
    *(tif(f"compressed by {name}", tiff(RGB, compression=name, compressionargs=_LOSSLESS.get(name), subsampling=(1, 1) if name == "jpeg" else None), off=8 if name == "jpeg" else 0) for name in _COMPRESSIONS),
    tif("differences of neighbours", tiff(RGB, compression="lzw", predictor=True)),
    tif("differences of 16-bit neighbours, big endian", tiff(deep(16), compression="deflate", predictor=True, byteorder=">"), like=BRIGHT),
    tif("grey", tiff(RGB[..., 1], photometric="minisblack"), like=GREY),
    tif("grey, 0 is white", tiff(255 - RGB[..., 1], photometric="miniswhite"), like=GREY),
    tif("grey with alpha", tiff(np.dstack([RGB[..., 1], cleared()]), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig"), like=None, nuclei=2),
    tif("one bit", tiff(RGB[..., 1] > 120, photometric="minisblack"), like=np.repeat((RGB[..., 1:2] > 120) * 255, 3, 2)),
    tif("palette", lambda path: Image.fromarray(POSTER).quantize(256).save(path), like=POSTER),
    tif("cmyk", tiff(CMYK, photometric="separated"), off=2),
    tif("cmyk of other inks", tiff(CMYK, photometric="separated", extratags=[(332, "H", 1, 2, True)]), r"a\.tif: its colours are stored as SEPARATED, which is not read; export it as RGB\."),
    tif("lab", lambda path: ImageCms.profileToProfile(Image.fromarray(RGB), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB").save(path), off=6),
    tif("colour filter array", tiff(RGB[..., 1], photometric="cfa"), r"a\.tif: its colours are stored as CFA, which is not read; export it as RGB\."),
    tif("a spare channel", tiff(np.dstack([RGB, RGB[..., :1]]), extrasamples=["unspecified"]), read_as=["1 channel beside the colours left out"]),
    tif("two spare channels", tiff(np.dstack([RGB, RGB[..., :2]]), extrasamples=["unspecified"] * 2), read_as=["2 channels beside the colours left out"]),
    tif("alpha", tiff(rgba(cleared()), extrasamples=["unassalpha"]), like=white_right(), nuclei=2, unscanned_px=48 * 24),
    tif("premultiplied alpha of a half", tiff(np.dstack([(RGB.astype(int) * 128 + 127) // 255, np.full((HEIGHT, WIDTH), 128)]).astype("u1"), extrasamples=["assocalpha"]), off=2),
    tif("all transparent", tiff(rgba(0), extrasamples=["unassalpha"]), r"a\.tif: its transparency \(alpha\) is 0 everywhere, .+"),
    tif("two pages alike", pages(RGB, RGB, photometric="rgb"), r"a\.tif: expected one image, got .+; export one of them\."),
    tif("a small page behind", pages(RGB, RGB[:20, :20], photometric="rgb"), read_as=with_words("the first of 2 images in the file")),
    tif("a pyramid", lambda path: pyramid(path), read_as=[]),
    tif("a stack of ImageJ", lambda path: tifffile.imwrite(path, np.stack([RGB[..., 0]] * 5), imagej=True), r"a\.tif: expected a grey, RGB or RGBA image, got 5 channels .+"),
    tif("ImageJ, rgb", lambda path: tifffile.imwrite(path, RGB, imagej=True)),
    *(tif(f"{n} grey channels", ome(np.moveaxis(np.dstack([RGB, RGB, RGB])[..., :n], 2, 0), "CYX"), rf"a\.ome\.tif: expected a grey, RGB or RGBA image, got {n} channels .+|a\.ome\.tif: expected one image, got {n} .+", file="a.ome.tif") for n in (2, 4, 7)),
    tif("three grey channels", ome(np.moveaxis(RGB, 2, 0), "CYX"), file="a.ome.tif", read_as=["its three channels are red, green and blue"]),
    tif("three channels of fluorescence", ome(np.moveaxis(RGB, 2, 0), "CYX", Channel={"Name": ["DAPI", "CD3", "CD20"]}), r"a\.ome\.tif: expected an RGB image, got channels 'DAPI', 'CD3', 'CD20'; export it as RGB\.", file="a.ome.tif"),
    tif("a stack of OME", ome(np.stack([RGB[..., 0]] * 5), "ZYX"), r"a\.ome\.tif: expected one image, got .+; export one of them\.", file="a.ome.tif"),
    tif("a time series", ome(np.stack([RGB] * 2), "TYXS", photometric="rgb"), r"a\.ome\.tif: expected one image, got .+; export one of them\.", file="a.ome.tif"),
    *(tif(f"orientation {n}", tiff(turned(n), extratags=[(274, "H", 1, n, True)]), centres=centres(), read_as=[f"turned as its orientation tag ({n}) says"]) for n in range(2, 9)),
    tif("orientation 0", tiff(RGB, extratags=[(274, "H", 1, 0, True)]), read_as=[]),
    tif("a missing tile", lambda path: missing(path), like=without(0, 16, 16, 16), unscanned_px=256, nuclei=lambda n: n in (2, 3)),
    tif("a tile without an offset", lambda path: missing(path, what="offset"), like=without(0, 16, 16, 16), unscanned_px=256, nuclei=lambda n: n in (2, 3)),
    tif("a tile without a length", lambda path: missing(path, what="length"), like=without(0, 16, 16, 16), unscanned_px=256, nuclei=lambda n: n in (2, 3)),
    tif("a missing tile, compressed", lambda path: missing(path, compression="deflate"), like=without(0, 16, 16, 16), unscanned_px=256, nuclei=lambda n: n in (2, 3)),
    tif("a missing strip", lambda path: missing(path, tile=None, rowsperstrip=8, which=0), like=without(0, 0, 8, WIDTH), unscanned_px=8 * WIDTH, nuclei=lambda n: n in (2, 3)),
    tif("a signature alone", b"II*\0", _BAD_TIFF),
    tif("cut in the header", tiff_bytes()[:6], _BAD_TIFF),
    tif("cut in the tags", tiff_bytes()[:60], _BAD_TIFF),
    tif("cut in the pixels", tiff_bytes()[:5000], _BAD_TIFF),
    tif("cut in compressed pixels", tiff_bytes(compression="deflate")[:3000], r"a\.tif: the file ends before the tile at pixel \(0, 0\) does; copy the file again\."),
    tif("no pages", b"II*\0\0\0\0\0", _BAD_TIFF),
    tif("pages that lead back", loop, like=None, nuclei=3),
    tif("a bomb", patched(patched(tiff_bytes(), 256, 10**6), 257, 10**6), r"a\.tif: its header says 1000000 x 1000000 pixels, .+"),
    tif("no width", patched(tiff_bytes(), 256, 0), r"a\.tif: .+"),
    tif("wider than it is", patched(tiff_bytes(), 256, WIDTH * 2), _BAD_TIFF),
    tif("an unknown compression", patched(tiff_bytes(), 259, 60000), _BAD_TIFF),
    tif("a compression that it has not", patched(tiff_bytes(), 259, 8), _BAD_TIFF),
    tif("pixels beyond the end", patched(tiff_bytes(), 273, 10**9), _BAD_TIFF),
    tif("a photometric that does not exist", patched(tiff_bytes(), 262, 999), r"a\.tif: .+"),
    tif("broken pixels, compressed", tiff_bytes(compression="deflate")[:-2000] + bytes(2000), _BAD_TIFF),
    tif("text", "no tiff", _BAD_TIFF),
    tif("jpeg called tif", jpeg(RGB), _BAD_TIFF),
]  # fmt: skip

CASES = TIFFS

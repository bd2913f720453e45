"""PNG and JPEG, by Pillow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.data.images.colour import Encoding, Space, Stored, encoding_of
from coseg_bundle.data.images.files import ImageFileError, check_pixels
from coseg_bundle.data.images.orientation import ORIENTATION, orientation_note, upright

_FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"
"""What may stand in a file that is called PNG or JPEG. Pillow hands others to programs, such as PostScript's."""

_lock = threading.Lock()
_SPACES: dict[str, Space] = {"CMYK": "cmyk", "YCbCr": "ycbcr"}
_COLOURS = 2, 4, 6
"""A PNG's kinds of pixels with more than one sample."""

_KNOWN = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F", *_SPACES)


def read_picture(path: Path) -> Stored:
    """Reads PNG or JPEG as it is stored, upright.

    Raises:
        ImageFileError: The image is too large, or has several frames.
    """
    from PIL import Image

    with own_limit():
        file = Image.open(path, formats=_FORMATS)  # the header alone
    with file:
        image: Any = file
        check_pixels(path, image.width, image.height)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview of another angle
            raise ImageFileError(f"{path}: expected one image, got {frames} frames; export one of them.")
        orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
        bits, colour = _png_header(path) if image.format == "PNG" else (8, 0)
        deep = bits == 16 and colour in _COLOURS  # of which Pillow keeps eight without a word
        if image.mode not in (*_KNOWN, "P"):
            image = image.convert("RGBA" if image.mode in ("PA", "La", "RGBa") else "RGB")
        array = _decoded(path) if deep else np.array(image)  # a copy: Pillow's own memory is read-only
        encoding = encoding_of(1 if array.ndim == 2 else array.shape[2], path) if deep else _encoding(image)
        if image.mode == "L" and bits < 8:  # Pillow stretches greys of 2 and 4 bits to 255: ids would be others
            array, encoding = array // (255 // (2**bits - 1)), replace(encoding, bits=bits)
    return Stored(upright(array, orientation), encoding, notes=orientation_note(orientation))


@contextmanager
def own_limit() -> Iterator[None]:
    """Pillow's limit is a variable of its module, which other parts of a program may rely on."""
    from PIL import Image

    with _lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _png_header(path: Path) -> tuple[int, int]:
    """Bits of a sample, and what a pixel is: 0 grey, 2 RGB, 3 of a palette, 4 and 6 with alpha."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24], header[25]


def _decoded(path: Path) -> Any:
    import imagecodecs

    return imagecodecs.png_decode(path.read_bytes())


def _encoding(image: Any) -> Encoding:
    mode, transparent = image.mode, image.info.get("transparency")
    if mode == "P":
        return Encoding("palette", palette=np.array(_palette(image), np.uint8))
    if mode in _SPACES:
        return Encoding(_SPACES[mode], profile=image.info.get("icc_profile") if mode == "CMYK" else None)
    blank = None
    if transparent is not None and mode in ("L", "RGB", "1", "I;16", "I"):
        blank = transparent if isinstance(transparent, tuple) else (int(transparent) // (255 if mode == "1" else 1),)
    if mode in ("LA", "RGBA"):
        return Encoding("grey" if mode == "LA" else "rgb", alpha=len(mode) - 1)
    return Encoding("rgb" if mode == "RGB" else "grey", blank=blank)


def _palette(image: Any) -> list[tuple[int, ...]]:
    """The colours of all 256 values, `(r, g, b, a)` where some are transparent."""
    rgb = image.getpalette() or [value for value in range(256) for _ in range(3)]
    colours = [tuple(rgb[start : start + 3]) for start in range(0, len(rgb), 3)]
    transparent = image.info.get("transparency")
    if transparent is None:
        return colours
    if isinstance(transparent, int):
        transparent = bytes(0 if value == transparent else 255 for value in range(len(colours)))
    alpha = list(transparent) + [255] * len(colours)
    return [(*colour, a) for colour, a in zip(colours, alpha, strict=False)]

"""What the samples of a pixel mean, and how they become red, green and blue."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import zip_longest
from os.path import commonprefix
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.depth import significant_bits, to_8_bit
from coseg_bundle.data.images.files import ImageFileError, first_line
from coseg_bundle.data.images.pixel_size import PixelSize

Space = Literal["grey", "rgb", "cmyk", "lab", "ycbcr", "palette"]
SAMPLES: dict[Space, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3, "ycbcr": 3, "palette": 1}

_PRIMARIES = {
    ("r", "g", "b"),
    ("red", "green", "blue"),
    ("rot", "grün", "blau"),
    ("rouge", "vert", "bleu"),
    ("rojo", "verde", "azul"),
}
_COUNTS = {(0, 1, 2), (1, 2, 3), (None, 1, 2), (None, 2, 3)}
"""Numbers in names of channels; the first may have none."""

_SHADES = {
    "r": re.compile("[8-F].0.0.", re.IGNORECASE),
    "g": re.compile("0.[8-F].0.", re.IGNORECASE),
    "b": re.compile("0.0.[8-F].", re.IGNORECASE),
}
"""`RRGGBB` of a primary, bright or dark."""

_COUNTING = {"c", "ch", "channel"}
"""Words that name a channel and say nothing of it."""


@dataclass(frozen=True)
class Encoding:
    """What the samples of an image mean.

    Attributes:
        space: What its first samples are.
        alpha: Index of the sample that says how opaque a pixel is, or None.
        premultiplied: Whether the colours were multiplied by it.
        plain: Whether that sample is the same everywhere and says nothing.
        inverted: Whether 0 is white.
        bits: Significant bits of a sample: those that the file says, and after `completed` those that count; those of
            the dtype when None.
        alpha_bits: The same for the sample that says how opaque a pixel is: it may have all 16 beside colours of 12.
        palette: `(N, 3 or 4)` uint8 colours of the values of a palette.
        blank: Samples of a pixel that stand for nothing, as PNG marks transparency without a channel.
        profile: ICC profile of CMYK, or None.
        notes: What the output says about it.
    """

    space: Space = "rgb"
    alpha: int | None = None
    premultiplied: bool = False
    plain: bool = False
    inverted: bool = False
    bits: int | None = None
    alpha_bits: int | None = None
    palette: NDArray[np.uint8] | None = None
    blank: tuple[int, ...] | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """An image as its file holds it, upright.

    Attributes:
        array: `(H, W)` or `(H, W, S)` samples.
        encoding: What they mean.
        pixel_size: What the file says of the size of its pixels.
        unscanned: `(H, W)`, True where the file holds nothing; None where it holds something everywhere.
        notes: What is to be said of how it was read.
        affine: `(4, 4)` voxel-to-world matrix of a NIfTI file, in mm; None for other formats.
    """

    array: NDArray[Any]
    encoding: Encoding
    pixel_size: PixelSize = field(default_factory=PixelSize)
    unscanned: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    affine: NDArray[np.float64] | None = None


def three_channels(path: Path, names: Sequence[str], colours: Sequence[str]) -> Encoding:
    """Three grey channels as an RGB image, unless what the file says of them is something else.

    Args:
        path: The file.
        names: What the channels are called, "" where one has no name; empty where nothing is said.
        colours: `RRGGBB` that they are shown in, in the same way.

    Raises:
        ImageFileError: They are not red, green and blue in this order.

    Example:
        >>> three_channels(Path("a.ome.tif"), ["Red", "Green", "Blue"], []).notes
        ()
    """
    by_name = _are_primaries(names, _called)
    by_colour = _are_primaries(colours, _strongest)
    said = by_colour if by_name is None else by_name
    if said is False:
        of_names = ", ".join(f"{name!r}" for name in names)
        wrong = of_names if by_name is False else f"of the colours {', '.join(colours)}"
        raise ImageFileError(f"{path}: expected an RGB image, got channels {wrong}; export it as RGB.")
    return Encoding("rgb", notes=() if said else ("its three channels are red, green and blue",))


def one_channel(path: Path, names: Sequence[str], colours: Sequence[str]) -> Encoding:
    """One channel as a grey image, unless it is shown in a colour, as fluorescence is.

    Args:
        path: The file.
        names: What the channel is called; empty where nothing is said.
        colours: `RRGGBB` that it is shown in, in the same way.

    Raises:
        ImageFileError: The colour is no grey.

    Example:
        >>> one_channel(Path("a.ome.tif"), ["DAPI"], []).notes
        ("its one channel, 'DAPI', is read as grey",)
    """
    if coloured := [colour for colour in colours if len(set(re.findall("..", colour))) > 1]:
        raise ImageFileError(
            f"{path}: expected an RGB image, got one channel of the colour {coloured[0]}; export it as RGB."
        )
    called = [name for name in names if set(re.findall(r"[^\W\d_]+", name.casefold())) - _COUNTING]
    return Encoding("grey", notes=tuple(f"its one channel, {name!r}, is read as grey" for name in called))


def _are_primaries(texts: Sequence[str], told: Callable[[Sequence[str]], tuple[str, ...] | None]) -> bool | None:
    """Whether three texts stand for red, green and blue; None where they tell nothing apart, or are not there for all.

    Programs name the first channel alone, or give its colour to all.
    """
    if len(texts) != 3 or not all(texts) or len(set(texts)) == 1 or (found := told(texts)) is None:
        return None
    return found in _PRIMARIES


def _called(names: Sequence[str]) -> tuple[str, ...] | None:
    """What names differ in, but for numbers: `r`, `g`, `b` of "BF_R 62", "BF_G 53", "BF_B 45"; None if they count."""
    words = tuple(re.sub(r"[\W\d_]+", "", name.casefold()) for name in names)
    if len(set(words)) == 1:
        numbers = zip_longest(*([int(number) for number in re.findall(r"\d+", name)] for name in names))
        return None if {of_all for of_all in numbers if len(set(of_all)) > 1} <= _COUNTS else words
    before = len(commonprefix(words))  # noqa: RUF071 - of texts, not of paths
    after = len(commonprefix([word[before:][::-1] for word in words]))  # noqa: RUF071
    return tuple(word[before : len(word) - after] for word in words)


def _strongest(colours: Sequence[str]) -> tuple[str, ...]:
    """The primary that each colour is a shade of, or the colour where there is none: `008000` is green."""
    return tuple(next((name for name, kind in _SHADES.items() if kind.fullmatch(c)), c) for c in colours)


def encoding_of(channels: int, path: Path) -> Encoding:
    """What a number of channels means where nothing is said: grey, RGB, or one of them with transparency.

    Raises:
        ImageFileError: No image has so many.
    """
    if channels not in (1, 2, 3, 4):
        raise ImageFileError(f"{path}: expected a grey, RGB or RGBA image, got {channels} channels; export it as RGB.")
    return Encoding("grey" if channels < 3 else "rgb", channels - 1 if channels in (2, 4) else None)


def to_rgb(array: NDArray[Any], encoding: Encoding, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Brings samples to RGB; transparency is laid on white.

    Args:
        array: `(H, W)` or `(H, W, S)`, as the file holds them.
        encoding: What they mean.
        path: The file, for messages.

    Returns:
        `(H, W, 3)` uint8, and a mask `(H, W)` of the pixels that hold nothing, None where all hold something.
    """
    if array.ndim == 2:
        array = array[..., None]
    alpha = None
    if encoding.alpha is not None:
        opacity = array[..., encoding.alpha : encoding.alpha + 1]
        alpha = to_8_bit(opacity, encoding.alpha_bits, path).astype(np.uint16)
    if encoding.space == "palette":
        rgb, of_palette = _looked_up(array[..., 0], encoding, path)
        alpha = of_palette if alpha is None else alpha
    else:
        colours = to_8_bit(array[..., : SAMPLES[encoding.space]], encoding.bits, path)
        if alpha is not None and encoding.premultiplied:
            colours = np.minimum((colours * np.uint32(255) + alpha // 2) // np.maximum(alpha, 1), 255).astype(np.uint8)
        try:
            rgb = _CONVERTERS[encoding.space](255 - colours if encoding.inverted else colours, encoding.profile)
        except ValueError as error:  # of LittleCMS
            raise ImageFileError(
                f"{path}: its colour profile cannot be used ({first_line(error)}); export it as 8-bit RGB."
            ) from error
        if encoding.blank is not None:
            alpha = np.where((array == np.array(encoding.blank)).all(-1, keepdims=True), 0, 255).astype(np.uint16)
    if alpha is None or encoding.plain or (alpha == 255).all():
        return np.require(rgb, requirements=["C", "W"]), None  # Pillow's memory cannot be written to
    rgb = ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    empty = alpha[..., 0] == 0
    return np.ascontiguousarray(rgb), empty if empty.any() else None


def completed(array: NDArray[Any], encoding: Encoding, path: Path) -> Encoding:
    """An encoding with what only the values can tell: significant bits, and whether transparency says anything.

    Args:
        array: `(H, W)` or `(H, W, S)`: the image, or as much of it as is looked at.
        encoding: What the file says.
        path: The file, for messages.

    Raises:
        ImageFileError: The bits cannot be told, or everything is transparent.
    """
    notes = encoding.notes
    bits = encoding.bits if array.dtype == np.uint8 else None
    colours = array[..., : SAMPLES[encoding.space]] if array.ndim == 3 else array
    if encoding.space != "palette" and array.dtype.kind in "ui" and array.dtype.itemsize > 1 and colours.min() >= 0:
        bits, said = significant_bits(int(colours.max()), encoding.bits, path)
        notes += said
    if encoding.alpha is None:
        return replace(encoding, bits=bits, notes=notes)
    alpha = array[..., encoding.alpha]
    plain = transparency_says_nothing(alpha, path)
    of_all = array.dtype.kind in "ui" and bits is not None and int(alpha.max()) >> bits > 0  # more than the colours
    return replace(encoding, bits=bits, alpha_bits=None if of_all else bits, plain=plain, notes=notes)


def transparency_says_nothing(alpha: NDArray[Any], path: Path) -> bool:
    """Whether a channel of transparency is the same everywhere.

    Raises:
        ImageFileError: Everything is transparent.
    """
    lowest, highest = alpha.min(), alpha.max()
    if highest == 0:
        raise ImageFileError(
            f"{path}: its transparency (alpha) is 0 everywhere, so that nothing of it is seen; export it without alpha."
        )
    return bool(lowest == highest)


def _looked_up(
    values: NDArray[Any], encoding: Encoding, path: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint16] | None]:
    assert encoding.palette is not None  # of this space
    if values.dtype == bool:  # one bit a pixel; NumPy would take it for a mask
        values = values.astype(np.uint8)
    if values.max() >= len(encoding.palette):
        raise ImageFileError(
            f"{path}: its palette has {len(encoding.palette)} colours, and it has the value {values.max()}; export it "
            "as RGB."
        )
    colours = encoding.palette[values]
    return colours[..., :3], colours[..., 3:].astype(np.uint16) if colours.shape[-1] == 4 else None


def _grey(values: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    return np.repeat(values, 3, axis=-1)


def _as_it_is(values: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    return values


def _from_ycbcr(values: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.frombytes("YCbCr", _size(values), values.tobytes()).convert("RGB"))


def _from_lab(values: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """CIE L*a*b* as TIFF stores it: a* and b* are signed."""
    from PIL import Image, ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", ImageCms.Intent.PERCEPTUAL
    )
    image = Image.frombytes("LAB", _size(values), values.tobytes(), "raw", "LAB")
    return np.asarray(ImageCms.applyTransform(image, transform))


def _from_cmyk(values: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """By the profile of the inks where the file has one; otherwise ink takes light away in proportion."""
    from PIL import Image, ImageCms

    image = Image.frombytes("CMYK", _size(values), values.tobytes())
    if profile is None:
        return np.asarray(image.convert("RGB"))
    try:  # TypeError: the file has a text in the profile's place
        inks = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(inks, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (OSError, TypeError, ImageCms.PyCMSError) as error:
        raise ValueError(first_line(error)) from error
    return np.asarray(ImageCms.applyTransform(image, transform))


def _size(values: NDArray[np.uint8]) -> tuple[int, int]:
    return values.shape[1], values.shape[0]


_CONVERTERS = {"grey": _grey, "rgb": _as_it_is, "cmyk": _from_cmyk, "lab": _from_lab, "ycbcr": _from_ycbcr}

"""TIFF, by tifffile: which of its samples are the image, what they mean, and where there are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.colour import SAMPLES, Encoding, Space, Stored, one_channel, three_channels, to_rgb
from coseg_bundle.data.images.files import LEFT_OUT, ImageFileError, check_pixels, missing_package
from coseg_bundle.data.images.orientation import orientation_note, orientation_on, upright
from coseg_bundle.data.images.pictures import own_limit
from coseg_bundle.data.images.pixel_size import SCANNER_MPP, ome_pixels, tiff_pixel_size
from coseg_bundle.data.images.tiff.levels import images_in, open_tiff_file, series_in
from coseg_bundle.data.images.tiff.missing import MissingTiles, cut_tiles, jpeg_tiles, missing_tiles, raise_if_empty
from coseg_bundle.fingerprint import MOST_TIFF_PAGES, tiff_pages_end

_HEADS = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
"""What TIFF and BigTIFF begin with."""

_MAX_SAMPLE_VALUE, _INK_SET, _ICC_PROFILE = 281, 332, 34675
_OF_PILLOW = (5, 7)
"""LZW and JPEG: Pillow gives the bytes that imagecodecs gives, `tests/test_light.py` compares them."""

_TO_RGB = {"JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY", "WEBP", "WEBP_DEPRECATED", "JPEGXL", "JPEGXL_DNG"}
"""Compressions whose decoders give RGB where YCbCr was stored; the others give what was stored."""

_OF_ITS_OWN = {"JPEG2000", "JPEG_2000_LOSSY", "APERIO_JP2000_RGB"}
"""Compressions that may have turned colours into others of their own, beside what the tag says."""

_SPACES: dict[str, Space] = {
    "MINISWHITE": "grey",
    "MINISBLACK": "grey",
    "RGB": "rgb",
    "PALETTE": "palette",
    "SEPARATED": "cmyk",
    "YCBCR": "ycbcr",
    "CIELAB": "lab",
}
_MOST_SPARE = 4
"""Channels beside the colours that an image may have: transparency, and what scanners add. A header that says more is
damaged, or the file is no picture."""

_OF_THE_GLASS = re.compile(
    r"(slide |wsi )?(macro|label|overview|thumbnail|preview|map)( image)?( ?\(?\d{1,2}\)?)?", re.IGNORECASE
)
"""Names of such images, as OME-XML and tifffile give them; a longer one that has such a word in it is a scan's."""

_SAME_WIDTH = 0.02
"""Images whose widths in microns differ by less show the same."""

_COLOUR_AXES = "SCQ"
"""Axes that tifffile gives to samples, channels, and to a first axis of which a file says nothing."""


class TiffImage:
    """The image of a TIFF file; of several the largest that is not called a picture of the label or of the glass.

    Args:
        path: The file.
        file: The same, open.
        holds_ids: Whether it is a label map: ids have no colour, whatever they are shown in.

    Attributes:
        axes: The order of the stored axes: `Y`, `X`, and where there are several channels one of `S`, `C`, `Q`.
        encoding: What the samples mean, as far as the tags say; `completed` adds what the values do.
        orientation: How the image is to be turned, 1 to 8.
        missing: Tiles of each level that the file does not hold.
        cut: Tiles of each level that go on behind the end of the file.
        jpegs: Where the JPEGs of each level lie.

    Raises:
        ImageFileError: The file holds something else than one image, or one of an unknown kind.
    """

    def __init__(self, path: Path, file: Any, holds_ids: bool = False) -> None:
        _check_pages(path, file)
        images = images_in(file)
        about = [_one_of_several(file, image) for image in images]
        number, notes = choose(about)
        self.path, self.file, self.series = path, file, images[number]
        self._holds_ids = holds_ids
        alike = sum(
            image.shape == self.series.shape and said.of_the_glass == about[number].of_the_glass
            for image, said in zip(images, about, strict=True)
        )
        if alike > 1:
            raise ImageFileError(
                f"{path}: expected one image, got {alike} of shape {self.series.shape}; export one of them."
            )
        self.page = self.series.pages[0].keyframe
        self.axes = _axes_of(self.series, ome_pixels(file, self.page))
        self.size_xy = tuple(int(self.series.shape[self.axes.index(axis)]) if axis in self.axes else 1 for axis in "XY")
        if 0 in self.size_xy:
            raise ImageFileError(
                f"{path}: the image has no pixels ({self.size_xy[0]} x {self.size_xy[1]}); export it again."
            )
        self.encoding = replace(self._encoding(), bits=self._told_bits())
        self.orientation = orientation_on(self.page)
        self.pixel_size = tiff_pixel_size(file, self.page)
        self.notes = (*orientation_note(self.orientation), *notes)
        self.missing: list[MissingTiles | None] = [missing_tiles(level.pages) for level in self.series.levels]
        if not holds_ids:  # of which a sparse file may hold none
            raise_if_empty(path, self.missing[0])
        self.cut = [cut_tiles(level.pages, path.stat().st_size) for level in self.series.levels]
        self.jpegs = [jpeg_tiles(path, level.pages) for level in self.series.levels]

    def whole(self) -> Stored:
        """Level 0 as it is stored, upright.

        Raises:
            ImageFileError: It is too large to be read whole.
        """
        check_pixels(self.path, *self.size_xy)
        if (jpegs := self.jpegs[0]) and (corner := jpegs.zeroed(0, 0, *self.size_xy)):
            raise ImageFileError(
                f"{self.path}: the tile at pixel {corner} is overwritten with zeros; copy the file again."
            )
        if (cut := self.cut[0]) and (corner := cut.first(0, 0, *self.size_xy)):
            raise ImageFileError(
                f"{self.path}: the file ends before the tile at pixel {corner} does; copy the file again."
            )
        missing = self.missing[0]
        try:
            array = self.channels_last(self.series.asarray(level=0))
        except ValueError as error:
            if missing_package(error) != "imagecodecs" or (decoded := self._by_pillow()) is None:
                raise
            array = decoded
        unscanned = None if missing is None else upright(missing.mask(0, 0, *self.size_xy), self.orientation)
        return Stored(upright(array, self.orientation), self.encoding, self.pixel_size, unscanned, self.notes)

    def rgb(
        self, array: NDArray[Any], encoding: Encoding, missing: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """A region in RGB, white where nothing was scanned, and where that is.

        Args:
            array: The region as it is stored, axes as in `axes`.
            encoding: The image's, completed.
            missing: `(H, W)`, True in missing tiles.
        """
        rgb, empty = to_rgb(self.channels_last(array), encoding, self.path)
        if missing is None or not missing.any():
            return rgb, empty
        rgb[missing] = 255
        return rgb, missing if empty is None else missing | empty

    def channels_last(self, array: NDArray[Any]) -> NDArray[Any]:
        """`(H, W)` or `(H, W, S)` of what is stored in the order of `axes`."""
        return np.moveaxis(array, 0, -1) if array.ndim == 3 and self.axes[0] in _COLOUR_AXES else array

    def _by_pillow(self) -> NDArray[np.uint8] | None:
        """Level 0 as it is stored, where Pillow reads the same from a file: grey or RGB, 8 bits, upright, complete."""
        from PIL import Image

        page, mode = self.page, {1: "L", 3: "RGB"}.get(int(self.page.samplesperpixel))
        plain = page.dtype == np.uint8 and self.encoding.space in ("grey", "rgb") and not self.encoding.inverted
        if (
            page.compression not in _OF_PILLOW
            or not plain
            or self.orientation != 1
            or self.missing[0] is not None
            or len(self.series.pages) != 1
        ):
            return None
        with own_limit():
            image: Any = Image.open(self.path)
        with image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                if image.tag_v2.offset == page.offset:
                    return np.array(image) if (image.mode, image.size) == (mode, self.size_xy) else None
        return None

    def _encoding(self) -> Encoding:
        page, path = self.page, self.path
        channels = self._channels()
        name = getattr(page.photometric, "name", str(page.photometric))
        space = _SPACES.get(name)
        if space is None or (space == "cmyk" and page.tags.valueof(_INK_SET, default=1) != 1):
            raise ImageFileError(f"{path}: its colours are stored as {name}, which is not read; export it as RGB.")
        if channels != page.samplesperpixel:  # grey planes
            if channels != 3 or page.samplesperpixel != 1 or space != "grey":
                raise self._too_many(channels)
            return three_channels(path, *self._told_channels())
        encoding = Encoding(space, inverted=name == "MINISWHITE")
        if channels == 1 and space == "grey":
            return replace(encoding, notes=one_channel(path, *self._told_channels()).notes)
        packed = getattr(page.compression, "name", str(page.compression))
        if space == "ycbcr" and packed in _OF_ITS_OWN:
            raise ImageFileError(
                f"{path}: its colours are {name} within {packed}, which is not read; export it as RGB."
            )
        if space == "ycbcr" and packed in _TO_RGB and int(page.planarconfig) == 1:
            encoding = replace(encoding, space="rgb")
        if space == "palette":
            encoding = replace(encoding, palette=_palette(page, path))
        if space == "cmyk":
            encoding = replace(encoding, profile=page.tags.valueof(_ICC_PROFILE))
        if space == "lab" and page.dtype != np.uint8:
            raise ImageFileError(
                f"{path}: its colours are {name} of {page.dtype}, which is not read; export it as RGB."
            )
        return self._with_spare_channels(encoding, channels - SAMPLES[space])

    def _channels(self) -> int:
        shape = dict(zip(self.axes, self.series.shape, strict=True))
        others = {axis: int(size) for axis, size in shape.items() if axis not in "XY"}
        if len(others) > 1 or not set(others) <= set(_COLOUR_AXES) or "Y" not in shape or "X" not in shape:
            pages, page_shape = len(self.series.pages), self.series.pages[0].shape
            raise ImageFileError(
                f"{self.path}: expected one image, got {pages} pages of shape {page_shape} (axes {self.axes}); export "
                "one of them."
            )
        axis, channels = next(iter(others.items()), ("S", 1))
        if axis == "Q" and channels not in (3, self.page.samplesperpixel):
            raise ImageFileError(
                f"{self.path}: expected one image, got {channels} pages of shape {self.series.pages[0].shape}; export "
                "one of them."
            )
        return channels

    def _with_spare_channels(self, encoding: Encoding, spare: int) -> Encoding:
        if not 0 <= spare <= _MOST_SPARE:
            raise self._too_many(spare + SAMPLES[encoding.space])
        if not spare:
            return encoding
        meanings = [int(extra) for extra in self.page.extrasamples]  # 0 unspecified, 1 premultiplied, 2 not
        alpha = next((i for i, meaning in enumerate(meanings[:spare]) if meaning in (1, 2)), None)
        if encoding.space == "grey" and (alpha is None or spare > 1):
            raise self._too_many(1 + spare)
        base = SAMPLES[encoding.space]
        unused = spare - (alpha is not None)
        notes = (f"{unused} channel{'s' * (unused > 1)} beside the colours left out",) if unused else ()
        if alpha is None:
            return replace(encoding, notes=notes)
        return replace(encoding, alpha=base + alpha, premultiplied=meanings[alpha] == 1, notes=notes)

    def _too_many(self, channels: int) -> ImageFileError:
        return ImageFileError(
            f"{self.path}: expected a grey, RGB or RGBA image, got {channels} channels (axes {self.axes}); export it "
            "as RGB."
        )

    def _told_channels(self) -> tuple[list[str], list[str]]:
        """Names of the channels and the colours that they are shown in, `RRGGBB`, by OME-XML, ImageJ or QPTIFF."""
        if self._holds_ids:
            return [], []
        if (pixels := ome_pixels(self.file, self.page)) is not None:
            channels = [element for element in pixels if str(element.tag).endswith("Channel")]
            return [each.get("Name") or "" for each in channels], [_rgb_of(each.get("Color")) for each in channels]
        if self.file.is_qpi:
            named = [re.search(r"<Name>([^<]*)</Name>", page.description) for page in self.series.pages]
            return [name[1] if name else "" for name in named], []
        said = self.file.imagej_metadata or {} if self.file.is_imagej else {}
        brightest = [np.asarray(table)[:, -1].tolist() for table in _listed(said.get("LUTs", []))]
        return [*map(str, _listed(said.get("Labels", [])))], [bytes(colour).hex().upper() for colour in brightest]

    def _told_bits(self) -> int | None:
        """OME's SignificantBits, the largest sample value's, or those that are stored."""
        stored = self.page.bitspersample
        stored = min(stored) if isinstance(stored, tuple) else int(stored)
        pixels = ome_pixels(self.file, self.page)
        told = (pixels.get("SignificantBits") or "") if pixels is not None else ""
        if told.isdigit() and 0 < int(told) <= stored:
            return int(told)
        highest = self.page.tags.valueof(_MAX_SAMPLE_VALUE)
        highest = max(highest) if isinstance(highest, tuple) else highest
        if isinstance(highest, int) and highest > 0:
            return highest.bit_length()
        return stored if stored < 8 * np.dtype(self.page.dtype).itemsize else None


def _axes_of(series: Any, pixels: Any) -> str:
    """Axes as tifffile gives them; the pages of an OME-TIFF that does not say which plane is which, as libvips is told
    to write it, are its channels."""
    sizes = [pixels.get(f"Size{axis}") for axis in "CZT"] if pixels is not None else []
    are_channels = series.axes == "IYX" and sizes == [str(series.shape[0]), "1", "1"]
    return "CYX" if are_channels else str(series.axes)


def begins_as_tiff(path: Path) -> bool:
    """Whether the first bytes of a file are those of a TIFF, whatever it is called."""
    with path.open("rb") as file:
        return file.read(4) in _HEADS


def read_tiff(path: Path, holds_ids: bool = False) -> Stored:
    """Reads the largest image of a TIFF file as it is stored, upright; of a pyramid the largest level.

    Args:
        path: The file.
        holds_ids: As `TiffImage` takes it.

    Raises:
        ImageFileError: As `TiffImage`, or it is too large.
    """
    with open_tiff_file(path) as file:
        return TiffImage(path, file, holds_ids).whole()


def _check_pages(path: Path, file: Any) -> None:
    if not tiff_pages_end(file):
        raise ImageFileError(
            f"{path}: expected one image, and its header lists more than {MOST_TIFF_PAGES} pages; it is damaged "
            "or a stack: copy it again, or export one image."
        )


@dataclass(frozen=True)
class OneOfSeveral:
    """An image of a file that holds several.

    Attributes:
        name: What the file calls it, if anything.
        size_xy: Width and height, px.
        in_colour: Whether it has three channels or more.
        mpp: Microns per pixel; None where the file does not say.
    """

    name: str
    size_xy: tuple[int, int]
    in_colour: bool
    mpp: float | None

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.size_xy[0] * self.size_xy[1]

    @property
    def of_the_glass(self) -> bool:
        """Whether it is called a picture of the label or of the glass, or has pixels as wide as only those have."""
        is_called = _OF_THE_GLASS.fullmatch(self.name.strip()) is not None
        return is_called or (self.mpp is not None and self.mpp > SCANNER_MPP[1])

    def may_be_tissue_beside(self, other: OneOfSeveral) -> bool:
        """Whether it is a scan, too, and not the other one at another size or its mask."""
        if self.of_the_glass or self.mpp is None or self.in_colour < other.in_colour:
            return False
        widths = self.size_xy[0] * self.mpp, other.size_xy[0] * (other.mpp or 0)
        return abs(widths[0] - widths[1]) > _SAME_WIDTH * widths[0]


def choose(images: Sequence[OneOfSeveral], largest: bool = True) -> tuple[int, tuple[str, ...]]:
    """Which image of a file is read, and what is to be said of the choice.

    One that shows the label or the glass does not count beside others: it has more pixels than a small region.

    Args:
        images: All that there are.
        largest: Whether the one with the most pixels counts, of equals the first in colour (the others are masks);
            else the first.

    Example:
        >>> choose([OneOfSeveral("macro", (9, 9), True, 30.0), OneOfSeveral("scan", (8, 8), True, 0.5)])
        (1, ('number 2, since others show label or glass, of 2 images in the file',))
    """
    if len(images) == 1:
        return 0, ()
    ranks = [(not i.of_the_glass, *((i.pixels, i.in_colour) if largest else ())) for i in images]
    number = ranks.index(max(ranks))
    chosen, first = images[number], images[0]
    why = "since others show label or glass"
    if largest and chosen.pixels == max(image.pixels for image in images):
        why = "the largest" if chosen.pixels > first.pixels else why if first.of_the_glass else "the one in colour"
    which = "the first" if number == 0 else f"number {number + 1}, {why},"
    others = [
        f"number {place}{f' ({image.name})' if image.name else ''}"
        for place, image in enumerate(images, start=1)
        if place != number + 1 and image.may_be_tissue_beside(chosen)
    ]
    left_out = (f"{LEFT_OUT}{', '.join(others)} of the images in the file, which may be tissue",) if others else ()
    return number, (f"{which} of {len(images)} images in the file", *left_out)


def _one_of_several(file: Any, series: Any) -> OneOfSeveral:
    sides = dict(zip(series.axes, series.shape, strict=True))
    mpp = tiff_pixel_size(file, series.keyframe).mpp
    return OneOfSeveral(series.name, (int(sides.get("X", 1)), int(sides.get("Y", 1))), sides.get("S", 1) > 2, mpp)


def _listed(said: Any) -> list[Any]:
    """What ImageJ says of each channel: tifffile gives a single one as it is, not in a list."""
    return said if isinstance(said, list) else [said]


def _rgb_of(color: str | None) -> str:
    """`RRGGBB` of OME's `Color`, a signed number whose bytes are red, green, blue and alpha; "" where it is none."""
    try:
        return f"{int(color or '') & 0xFFFFFFFF:08X}"[:6]
    except ValueError:
        return ""


def _palette(page: Any, path: Path) -> NDArray[np.uint8]:
    colours = page.colormap  # (3, N) uint16
    if colours is None:
        raise ImageFileError(f"{path}: its palette is missing; export it as RGB.")
    deep = int(colours.max()) > 255  # some programs write eight bits where sixteen belong
    return np.ascontiguousarray((colours >> 8 if deep else colours).astype(np.uint8).T)


def two_planes(path: Path) -> NDArray[Any] | None:
    """Both planes `(2, H, W)` of a TIFF that holds two of one size and nothing else; None for every other file.

    Raises:
        ImageFileError: They are too large to be read whole.
    """
    with open_tiff_file(path) as file:
        _check_pages(path, file)
        shapes = [tuple(side for side in series.shape if side != 1) for series in series_in(file)]
        planes = len(shapes) == 2 and shapes[0] == shapes[1] and len(shapes[0]) == 2
        if not planes and not (len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 2):
            return None
        height, width = shapes[0][-2:]
        check_pixels(path, width, height)
        return np.stack([series.asarray(level=0) for series in series_in(file)]).reshape(2, height, width)

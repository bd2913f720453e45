"""Microns per pixel, from what formats and programs write about it."""

from __future__ import annotations

import html
import math
import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SCANNER_MPP = (0.05, 5.0)
"""Resolution tags outside this range (for example 72 or 300 dpi: 353 or 85 um per pixel) are printing resolutions."""

_SQUARE = 0.01
"""Widths and heights of pixels that differ by less are a scanner's tolerance; their mean counts."""

_MICRONS = {"pm": 1e-6, "nm": 1e-3, "μm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "km": 1e9}
_MICRONS |= {"Å": 1e-4, "in": 25_400.0, "inch": 25_400.0, '"': 25_400.0, "thou": 25.4, "mil": 25.4, "ft": 304_800.0}
_NAMES = {"micron": 1.0, "angstrom": 1e-4, "inche": 25_400.0, "inch": 25_400.0} | {
    prefix + metre: factor
    for metre in ("meter", "metre")
    for prefix, factor in {"": 1e6, "nano": 1e-3, "micro": 1.0, "milli": 1e3, "centi": 1e4, "pico": 1e-6}.items()
}


@dataclass(frozen=True)
class PixelSize:
    """What a file says of the size of its pixels.

    Attributes:
        mpp: Microns per pixel, or None where it says nothing that can be used.
        refusal: Why it cannot be used without a resolution that is given; None where it can.
        notes: What is odd about it.
    """

    mpp: float | None = None
    refusal: str | None = None
    notes: tuple[str, ...] = ()


def square(x: float | None, y: float | None, source: str) -> PixelSize:
    """One size for both directions.

    Args:
        x: Width in microns, or None where nothing is said. Zero, negative and infinite sizes and NaN make no sense.
        y: Height.
        source: Who says so, for notes.
    """
    said = [value for value in (x, y) if value is not None]
    sound = [value for value in said if 0 < value < math.inf]
    sizes = " x ".join(f"{value:.6g}" for value in said)
    notes = (f"{source} says {sizes} um, which is no pixel size and counts as not given",) if said != sound else ()
    if len(sound) == 2 and abs(sound[0] / sound[1] - 1) >= _SQUARE:
        return PixelSize(
            None,
            f"its pixels are {sizes} um and not square ({source}); resample it to square pixels, or give microns per "
            "pixel with --mpp if that is wrong.",
        )
    return PixelSize(sum(sound) / len(sound) if sound else None, None, notes)


def microns(unit: str | None) -> float | None:
    r"""Microns in a unit of length, however its name is written or escaped; None for pixels and unknown units.

    Example:
        >>> microns("µm"), microns("\\u00B5m"), microns("&#956;m"), microns("Micrometer"), microns("pixel")
        (1.0, 1.0, 1.0, 1.0, None)
    """
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), html.unescape(str(unit or "")).strip())
    if any(mangled in text for mangled in ("Â", "Î", "Ã")):  # UTF-8 that was read as Latin-1
        text = text.encode("latin-1", "ignore").decode("utf-8", "ignore")
    text = unicodedata.normalize("NFKC", text)  # the micro sign becomes a Greek mu
    if text in _MICRONS:
        return _MICRONS[text]
    name = text.casefold()
    return 1.0 if name in ("um", "μm") else _NAMES.get(name.removesuffix("s"))


def number(text: Any) -> float:
    """A number as programs of any country write it; NaN where it is none."""
    try:
        return float(str(text).strip().replace(",", "."))
    except ValueError:
        return math.nan


def tiff_pixel_size(file: Any, page: Any) -> PixelSize:
    """What a TIFF says: OME-XML, ImageJ's unit, Aperio's description, then the resolution tags.

    Args:
        file: An open `tifffile.TiffFile`.
        page: The page that is read.
    """
    notes: tuple[str, ...] = ()
    for source in (_ome, _imagej, _aperio, _resolution_tags):
        size = source(file, page)
        notes += size.notes
        if size.mpp or size.refusal:
            return PixelSize(size.mpp, size.refusal, notes)
    return PixelSize(notes=notes)


def openslide_pixel_size(properties: Any) -> PixelSize:
    """What OpenSlide found."""
    sizes = [properties.get(f"openslide.mpp-{axis}") for axis in "xy"]
    x, y = (None if size is None else number(size) for size in sizes)
    return square(x, y, "the slide")


def ome_pixels(file: Any, page: Any) -> ET.Element | None:
    """The `Pixels` of an OME-TIFF that a page is of, or None: of those of its size the one that says so, or the first;
    where none has its size, the first of all."""
    found = _every_pixels(file.ome_metadata or "")
    size = (str(getattr(page, "imagewidth", "")), str(getattr(page, "imagelength", "")))
    alike = [e for e in found if (e.get("SizeX"), e.get("SizeY")) == size] or found
    named = (e for e in alike if len(alike) > 1 and _names(e, file, page))
    return next(named, alike[0] if alike else None)


def _names(pixels: ET.Element, file: Any, page: Any) -> bool:
    """Whether an image's planes are in this file and the page is one of them."""
    index = page.index[0] if isinstance(page.index, tuple) else page.index
    for data in (e for e in pixels if str(e.tag).endswith("TiffData")):
        first, count = data.get("IFD", "0"), data.get("PlaneCount", "1" if "IFD" in data.attrib else str(index + 1))
        files = {e.get("FileName") for e in data if str(e.tag).endswith("UUID")}
        is_here = files <= {None, file.filehandle.name}
        if is_here and first.isdecimal() and count.isdecimal() and int(first) <= index < int(first) + int(count):
            return True
    return False


@lru_cache(maxsize=1)
def _every_pixels(metadata: str) -> list[ET.Element]:
    """The `Pixels` of OME-XML, kept for the next image of the same file: it may hold hundreds."""
    try:
        return [e for e in ET.fromstring(metadata).iter() if str(e.tag).endswith("Pixels")] if metadata else []
    except (ET.ParseError, ValueError, LookupError):  # broken XML, or an encoding that does not exist
        return []


def _ome(file: Any, page: Any) -> PixelSize:
    pixels = ome_pixels(file, page)
    if pixels is None:
        return PixelSize(notes=("its OME-XML is broken and says nothing",) if file.ome_metadata else ())
    sizes: list[float | None] = []
    for axis in "XY":
        size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        factor = microns(unit)
        if size is not None and factor is None:
            return PixelSize(notes=(f"its OME-XML gives the pixel size in {unit!r}, which is no unit of length",))
        sizes.append(None if size is None or factor is None else number(size) * factor)
    texts = [text for axis in "XY" if (text := pixels.get(f"PhysicalSize{axis}")) is not None]
    if texts and all(math.isnan(number(text)) for text in texts):
        said = " x ".join(texts)
        return PixelSize(notes=(f"its OME-XML says {said!r}, which is no pixel size and counts as not given",))
    return square(sizes[0], sizes[1], "its OME-XML")


def _imagej(file: Any, page: Any) -> PixelSize:
    written = (file.imagej_metadata or {}) if file.is_imagej else {}
    unit_x = written.get("unit")
    unit_y = written.get("yunit") or unit_x
    densities = [_density(page, axis) for axis in "XY"]
    factors = [microns(unit_x), microns(unit_y)]
    pairs = [(factor, density) for factor, density in zip(factors, densities, strict=True) if factor and density]
    if len(pairs) < 2:
        return PixelSize()
    x, y = (factor / density for factor, density in pairs)
    if any(str(unit).casefold() in ("inch", "in", "cm") for unit in (unit_x, unit_y)) and not _of_a_scanner(x, y):
        return PixelSize()  # a printing resolution that ImageJ took over
    return square(x, y, "ImageJ's calibration")


def _aperio(file: Any, page: Any) -> PixelSize:
    found = re.search(r"\bMPP\s*=\s*([^|;\s]+)", page.description or "")
    return square(number(found[1]), None, "MPP in its description") if found else PixelSize()


def _resolution_tags(file: Any, page: Any) -> PixelSize:
    unit = page.tags.get("ResolutionUnit")
    try:
        factor = {2: 25_400.0, 3: 10_000.0}.get(int(unit.value) if unit else 2)  # TIFF's default
    except (TypeError, ValueError):
        factor = None
    x, y = (_density(page, axis) for axis in "XY")
    if not factor or not x:
        return PixelSize()
    across, down = factor / x, factor / (y or x)
    return square(across, down, "its resolution tags") if _of_a_scanner(across, down) else PixelSize()


def _of_a_scanner(x: float, y: float) -> bool:
    return all(SCANNER_MPP[0] <= size <= SCANNER_MPP[1] for size in (x, y))


def _density(page: Any, axis: str) -> float | None:
    """Pixels per unit."""
    tag = page.tags.get(f"{axis}Resolution")
    try:
        above, below = tag.value if tag else (0, 0)
    except (TypeError, ValueError):
        return None
    return above / below if below else None

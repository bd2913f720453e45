"""What a client asks for, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coseg_bundle.service.formats import WRITERS
from coseg_bundle.service.shapes import Box
from coseg_bundle.wsi.read.backend import Origin, checked_origin

OPTIONS: dict[str, Any] = {"mpp": 0.0, "format": "geojson", "classes": [], "complete": False, "origin": "bounds"}
"""Options of an inference request that clients show, with their defaults; see `Query`."""


@dataclass(frozen=True)
class Query:
    """An inference request.

    Attributes:
        location: Left and upper edge of the region, px of level 0; None for the whole image.
        size: Width and height of the region, px of `level`; None or (0, 0) for all that follows.
        level: Level of the slide that `size` counts the pixels of.
        mpp: Microns per pixel of level 0 where the file is wrong or does not say; None otherwise.
        format: `geojson`, `asap`, `dsa` or `json`.
        classes: Class names to return; all when empty.
        correction: A GeoJSON FeatureCollection of polygons, px of level 0: what a person says the tissue or the nuclei
            are. It goes to the RP-Encoder in place of the prior.
        complete: Whether the correction says everything about the region: what lies outside its polygons is background.
        origin: Where the client's pixel (0, 0) lies on slides that say which part of the glass was scanned: `bounds`
            (QuPath), or `canvas` (viewers that show what OpenSlide shows).
        label: A file with a tissue map of the image or of the region, as a correction; 255 where it says nothing.
    """

    location: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    level: int = 0
    mpp: float | None = None
    format: str = "geojson"
    classes: tuple[str, ...] = ()
    correction: Mapping[str, Any] | None = None
    complete: bool = False
    label: str | None = None
    origin: Origin = "bounds"

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Query:
        """Reads the fields of a request, MONAI Label's own and ours.

        Raises:
            ValueError: A field makes no sense; the message says which and what was expected.
        """
        correction = request.get("correction")
        if correction is not None and not isinstance(correction, Mapping):
            raise ValueError(f"Expected correction to be a GeoJSON FeatureCollection, got {type(correction).__name__}.")
        wanted = str(request.get("format") or OPTIONS["format"])
        if wanted not in WRITERS:
            raise ValueError(f"Unknown format {wanted!r}: expected one of {', '.join(WRITERS)}.")
        classes = request.get("classes") or ()
        if not isinstance(classes, str | Sequence):
            raise ValueError(f"Expected classes to be a list of names, got {classes!r}.")
        origin = checked_origin(request.get("origin") or OPTIONS["origin"])
        level = _whole_numbers(request.get("level") or 0, 1, "level")[0]
        if level < 0:
            raise ValueError(f"Expected a level of 0 or more, got {level}.")
        return cls(
            location=_pair(request, "location"),
            size=_pair(request, "size"),
            level=level,
            mpp=resolution(request.get("mpp")),
            format=wanted,
            classes=(classes,) if isinstance(classes, str) else tuple(map(str, classes)),
            correction=correction,
            complete=bool(request.get("complete", False)),
            label=request.get("label") or None,
            origin=origin,
        )

    def box(self, size_xy: tuple[int, int], downsample: float = 1.0) -> Box:
        """The region in pixels of level 0, cut at the border of the image.

        Args:
            size_xy: Width and height of level 0.
            downsample: Pixels of level 0 per pixel of `level`.

        Raises:
            ValueError: The region lies outside the image.
        """
        x, y = self.location or (0, 0)
        if self.size is None or self.size == (0, 0):
            width, height = size_xy[0] - x, size_xy[1] - y
        else:
            width, height = (round(length * downsample) for length in self.size)
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, size_xy[0]), min(y + height, size_xy[1])
        if left >= right or top >= bottom:
            raise ValueError(
                f"The region at {[x, y]} of {[width, height]} px lies outside the image, which is {list(size_xy)} px."
            )
        return left, top, right - left, bottom - top


def _pair(request: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    if request.get(name) is None:
        return None
    first, second = _whole_numbers(request[name], 2, name)
    if name == "size" and (min(first, second) < 0 or (first == 0) != (second == 0)):
        raise ValueError(f"Expected a size of positive numbers (or [0, 0] for the whole image), got {[first, second]}.")
    return first, second


def _whole_numbers(value: Any, count: int, name: str) -> list[int]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        numbers = [int(v) for v in values]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != count:
        raise ValueError(f"Expected {name} to be {count} whole number{'s' * (count > 1)}, got {value!r}.")
    return numbers


def resolution(value: Any) -> float | None:
    """Microns per pixel as a client gives them; None where it gives none (or 0, as forms do).

    Raises:
        ValueError: It is no resolution.
    """
    if not value:
        return None
    try:
        mpp = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        mpp = math.nan
    if not 0 < mpp < math.inf:
        raise ValueError(f"Expected mpp in microns per pixel, above 0, got {value!r}.")
    return mpp

"""What every format of a slide gives: levels of RGB, and what the file says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.pixel_size import PixelSize
from coseg_bundle.data.images.tiff.missing import JpegTiles, MissingTiles

Origin = Literal["bounds", "canvas"]
"""Where pixel (0, 0) lies in files that say which part of the glass was scanned (`openslide.bounds-*`): at the corner
of that part, as in QuPath, or at the corner of the glass, as in OpenSlide itself."""


def checked_origin(origin: object) -> Origin:
    """An origin that there is.

    Raises:
        ValueError: There is none of this name.
    """
    if origin not in get_args(Origin):
        raise ValueError(f"Unknown origin {origin!r}: expected {' or '.join(get_args(Origin))}.")
    return cast(Origin, origin)


class SlideReadError(OSError):
    """A part of a slide that cannot be read; the rest may be fine."""


class Region(NamedTuple):
    """A part of a level.

    Attributes:
        rgb: `(H, W, 3)` uint8, white where nothing was scanned.
        unscanned: `(H, W)`, True there; None where all was scanned.
    """

    rgb: NDArray[np.uint8]
    unscanned: NDArray[np.bool_] | None = None


class Backend(Protocol):
    """A pyramid of RGB levels, the largest first.

    Attributes:
        level_sizes_xy: Width and height of each level, px.
        downsamples: Pixels of level 0 per pixel of each level.
        pixel_size: What the file says of the size of level 0's pixels.
        origin_xy: Where pixel (0, 0) lies on the canvas of the file, px of level 0.
        missing_tiles: How many tiles of level 0 the file does not hold.
        notes: What is to be said of how the file is read.
    """

    @property
    def level_sizes_xy(self) -> Sequence[tuple[int, int]]: ...  # noqa: D102  # an attribute, see above

    @property
    def downsamples(self) -> Sequence[float]: ...  # noqa: D102

    @property
    def pixel_size(self) -> PixelSize: ...  # noqa: D102

    @property
    def origin_xy(self) -> tuple[int, int]: ...  # noqa: D102

    @property
    def missing_tiles(self) -> int: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """A region `(height, width)` in pixels of its level; it lies inside the level."""

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """The region's `unscanned`, without reading pixels where the file's index tells."""

    def close(self) -> None:
        """Lets go of the file."""


def whole_enough(missing: MissingTiles | None, missing_0: MissingTiles | None, downsample: float, level: int) -> bool:
    """Whether a level holds all that level 0 holds; what it lacks is read from a larger one."""
    return level == 0 or missing is None or missing.within(missing_0, downsample)


def same_shape(size_xy: tuple[int, int], largest_xy: tuple[int, int]) -> bool:
    """Whether a level may be a smaller copy of the largest: as much less wide as high, to two of its pixels or 2 %.

    Example:
        >>> same_shape((341, 256), (1365, 1024)), same_shape((256, 256), (640, 512))
        (True, False)
    """
    longer = int(largest_xy[1] > largest_xy[0])
    expected = largest_xy[1 - longer] * size_xy[longer] / largest_xy[longer]
    return abs(size_xy[1 - longer] - expected) <= max(2, 0.02 * expected)


LOOKED_AT_PX = 2**24
"""Of a slide with deep values or transparency, about so many pixels are looked at to see what they mean."""


def looked_at(size_xy: tuple[int, int], read: Callable[[int, int, int, int], NDArray[Any]]) -> NDArray[Any]:
    """The pixels of a level, or if that is large those of parts spread over it, one below the other.

    Args:
        size_xy: The level's width and height.
        read: Reads a region (x, y, width, height) as `(H, W)` or `(H, W, S)`.
    """
    width, height = size_xy
    if width * height <= LOOKED_AT_PX:
        return read(0, 0, width, height)
    side, count = 1024, int(LOOKED_AT_PX**0.5) // 1024
    parts = [
        read(int(x), int(y), min(side, width), min(side, height))
        for x in np.linspace(0, max(0, width - side), count)
        for y in np.linspace(0, max(0, height - side), count)
    ]
    return np.concatenate([part.reshape(-1, 1, *part.shape[2:]) for part in parts])


def raise_if_zeroed(path: Path, jpegs: JpegTiles | None, level: int, x: int, y: int, width: int, height: int) -> None:
    """Raises SlideReadError where a tile under a region is overwritten with zeros, of which decoders make an image."""
    if jpegs is not None and (corner := jpegs.zeroed(x, y, width, height)):
        raise SlideReadError(f"{path}: the tile at level-{level} pixel {corner} is overwritten with zeros")

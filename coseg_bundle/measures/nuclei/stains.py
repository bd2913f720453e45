"""Haematoxylin and eosin of nuclei and of a ring around them, as optical densities (Ruifrok and Johnston 2001)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.polygons import paint
from coseg_bundle.wsi.read.backend import Region
from coseg_bundle.wsi.read.reader import SlideReader, SlideReadError
from coseg_bundle.wsi.segment.tiling import Box

STAINS = (
    "haematoxylin_od",
    "haematoxylin_od_sd",
    "eosin_od",
    "eosin_od_sd",
    "ring_haematoxylin_od",
    "ring_eosin_od",
)
"""What `stain_measures` gives, in the order of the tables."""

STAIN_MPP = 0.5
"""Microns per pixel near which colours are read: as many whole pixels of the slide make one as come nearest."""

RING_UM = 1.0
"""Width of the ring around a nucleus."""

_SIDE_UM = 512.0
"""Nuclei are measured in squares of this side."""

_SKIMAGE_OD = 6.0
"""`skimage.color.rgb2hed` gives optical densities in units of that of a millionth of the light, -log10(1e-6)."""


def stain_step(mpp: float) -> int:
    """Pixels of level 0 along the side of a pixel whose colour is read: whole ones, since interpolated colours depend
    on where a nucleus lies, and vary the less the more they are interpolated.

    Args:
        mpp: Microns per pixel of level 0.

    Example:
        >>> [stain_step(mpp) for mpp in (0.2495, 0.2505, 0.499, 0.5, 1.0)]
        [2, 2, 1, 1, 1]
    """
    return max(1, round(STAIN_MPP / mpp))


def stain_measures(polygons: NDArray[Any], reader: SlideReader) -> dict[str, NDArray[np.float32]]:
    """Measures the colours of nuclei.

    A pixel belongs to the nucleus that holds its centre. The ring is what lies within `RING_UM` of a nucleus and
    belongs to no other; a pixel between two of them counts for one. Pixels beyond the slide and where nothing was
    scanned do not count, nor those beside them.

    Args:
        polygons: `(N,)` shapely polygons, px of level 0.
        reader: The slide.

    Returns:
        `(N,)` float32 by the names of `STAINS`; NaN where the slide cannot be read, and for a nucleus or a ring without
        a pixel.
    """
    import shapely

    step = stain_step(reader.mpp)
    ring_px = max(1, round(RING_UM / (step * reader.mpp)))
    found = {name: np.full(len(polygons), np.nan, np.float32) for name in STAINS}
    tree = shapely.STRtree(polygons)
    parts = list(_squares(polygons, _SIDE_UM / reader.mpp))
    while parts:
        rows = parts.pop()
        x0, y0, x1, y1 = shapely.total_bounds(polygons[rows]) / step
        box = Box(int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))).grown(ring_px + 1)
        try:
            region = reader.blocks(box.x0, box.y0, box.width, box.height, step)
        except SlideReadError:  # of some of them
            parts += np.array_split(rows, 2) if len(rows) > 1 else []
            continue
        near = tree.query(shapely.box(*(v * step for v in box)))  # the others are no part of a ring
        order = np.concatenate([rows, np.setdiff1d(near, rows)])
        rings = [_rings(polygon, step, box) for polygon in polygons[order]]
        labels, _ = paint(rings, range(1, len(order) + 1), (box.height, box.width))
        seen = _seen(region, box, step, reader.size_xy)
        for name, values in _measured(region.rgb, labels, seen, len(rows), ring_px).items():
            found[name][rows] = values
    return found


def _seen(region: Region, box: Box, step: int, size_xy: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of a region that show what was scanned of the slide, and nothing of the white beside it.

    Args:
        region: The region.
        box: Where it lies, in its own pixels.
        step: Width of these in pixels of level 0.
        size_xy: Width and height of the slide, px of level 0.
    """
    x, y = ((np.arange(start, stop) + 0.5) * step for start, stop in ((box.x0, box.x1), (box.y0, box.y1)))
    seen = ((y > 0) & (y < size_xy[1]))[:, None] & ((x > 0) & (x < size_xy[0]))
    if region.unscanned is not None:
        seen &= ~region.unscanned
    return cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # those at its edge are mixed with white


def _squares(polygons: NDArray[Any], side: float) -> Iterator[NDArray[np.intp]]:
    """Positions of the polygons in each square of the slide."""
    import shapely

    if not len(polygons):
        return
    bounds = shapely.bounds(polygons)
    place = ((bounds[:, :2] + bounds[:, 2:]) / 2 // side).astype(np.int64)
    order = np.lexsort((place[:, 0], place[:, 1]))
    change = np.flatnonzero((np.diff(place[order], axis=0) != 0).any(1)) + 1
    yield from np.split(order, change)


def _rings(polygon: Any, step: int, box: Box) -> list[NDArray[np.float64]]:
    import shapely

    corner = np.array([box.x0, box.y0])
    return [
        shapely.get_coordinates(ring) / step - corner
        for part in shapely.get_parts(polygon)
        for ring in shapely.get_rings(part)
    ]


def _measured(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], seen: NDArray[np.bool_], count: int, ring_px: int
) -> dict[str, NDArray[np.float64]]:
    """Means and deviations of the nuclei 1 to `count` of a label map, over the pixels that were seen."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ring_px + 1,) * 2)
    wide = cv2.dilate(labels.astype(np.float32), kernel).astype(np.int32)
    ring = np.where(labels == 0, wide, 0)
    inside, around = (_densities(rgb, np.where(seen, mask, 0), count) for mask in (labels, ring))
    (haematoxylin, haematoxylin_sd), (eosin, eosin_sd) = inside
    values = (haematoxylin, haematoxylin_sd, eosin, eosin_sd, around[0][0], around[1][0])
    return dict(zip(STAINS, values, strict=True))


def _densities(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], count: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and standard deviation of haematoxylin, and of eosin, over each label."""
    from skimage.color import rgb2hed

    mask = (labels > 0) & (labels <= count)
    label = labels[mask] - 1
    seen = np.maximum(rgb[mask], 1)  # 8 bits tell nothing below 1 of 255: no optical density above 2.4
    stains = rgb2hed(seen[:, None])[:, 0, :2] * _SKIMAGE_OD if len(label) else np.zeros((0, 2))
    size = np.bincount(label, minlength=count)
    result = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for values in stains.T:
            mean = np.bincount(label, values, minlength=count) / size
            square = np.bincount(label, (values - mean[label]) ** 2, minlength=count) / size
            result.append((mean, np.sqrt(square)))
    return result

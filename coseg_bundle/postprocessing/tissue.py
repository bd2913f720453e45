"""From tissue probabilities to a clean tissue map, and from the map to polygons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.contours import Ring, trace_rings


@dataclass(frozen=True, slots=True)
class TissueRegion:
    """A 4-connected region of one tissue class.

    Attributes:
        tissue_id: Class id.
        rings_xy: Rings `(P, 2)` float64, whole numbers, along the pixel edges: the outer one, then its holes.
        area_px: Pixels of the region, holes left out.
    """

    tissue_id: int
    rings_xy: tuple[NDArray[np.float64], ...]
    area_px: int


def clean_tissue(tissue_prob: NDArray[np.floating], *, min_area_px: int = 0) -> NDArray[np.uint8]:
    """The most probable class of each pixel, without specks.

    See `without_specks`; holes are components too.

    Args:
        tissue_prob: Probabilities or logits `(C_t, H, W)`.
        min_area_px: Smallest 4-connected component that stays.

    Returns:
        Tissue map `(H, W)` uint8.

    Raises:
        ValueError: Another shape, or values that are not finite.
    """
    if tissue_prob.ndim != 3:
        raise ValueError(f"Expected tissue probabilities (C_t, H, W), got shape {tissue_prob.shape}.")
    if not np.isfinite(tissue_prob).all():
        raise ValueError("tissue_prob has values that are not finite; the network's weights are broken.")
    return without_specks(tissue_prob.argmax(axis=0).astype(np.uint8), min_area_px)


def smallest_region(min_area_px: int, coarser: float) -> int:
    """Pixels of the network that a region has at least, so that it has `min_area_px` of the image's own too.

    An image whose pixels are wider than the network's was enlarged; what stands on few of them is a guess.

    Args:
        min_area_px: Smallest region, px.
        coarser: Width of the image's pixels, of the network's.
    """
    return round(min_area_px * max(1.0, coarser) ** 2)


def without_specks(tissue_map: NDArray[np.uint8], min_area_px: int) -> NDArray[np.uint8]:
    """The map without 4-connected components of fewer pixels; if no component is large enough, all stay.

    Each of their pixels takes the class of the nearest pixel of a component that is large enough, whatever that class
    is, and of equally near ones the lowest. What is still small then, where the nearest pixel lay across a corner, does
    the same again.

    Args:
        tissue_map: `(H, W)` class ids.
        min_area_px: Smallest component that stays.
    """
    while True:
        small = specks(tissue_map, min_area_px)
        if not small.any() or small.all():
            return tissue_map
        tissue_map = _from_the_nearest(tissue_map, small)  # what is small shrinks: the large ones take its border


def specks(tissue_map: NDArray[np.uint8], min_area_px: int) -> NDArray[np.bool_]:
    """Pixels `(H, W)` of 4-connected components of fewer than `min_area_px` pixels."""
    small = np.zeros(tissue_map.shape, bool)
    if min_area_px <= 1:
        return small
    for tissue_id in np.unique(tissue_map):
        mask = (tissue_map == tissue_id).astype(np.uint8)
        _, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        is_small = stats[:, cv2.CC_STAT_AREA] < min_area_px
        is_small[0] = False
        small |= is_small[components]
    return small


_MANY_SPECKS = 1000
"""From so many components on, distances in the whole map are cheaper than those in each component's box."""


def _from_the_nearest(tissue_map: NDArray[np.uint8], small: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Gives the pixels of `small` the class of the nearest pixel that is not.

    That pixel lies in the component's bounding box or right beside it: straight ahead, in row or column, whatever is
    reached first outside of the component is none of `small`.
    """
    count, components, stats, _ = cv2.connectedComponentsWithStats(small.astype(np.uint8), connectivity=4)
    if count > _MANY_SPECKS:
        return _nearest_class(tissue_map, small)
    cleaned = tissue_map.copy()
    for component, (x, y, width, height) in enumerate(stats[1:, :4].tolist(), start=1):
        box = slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)
        inside = components[box] == component
        cleaned[box][inside] = _nearest_class(tissue_map[box], small[box])[inside]
    return cleaned


def _nearest_class(tissue_map: NDArray[np.uint8], small: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The class of the nearest pixel outside of `small`; of equally near ones the lowest."""
    nearest, best = np.zeros_like(tissue_map), np.full(tissue_map.shape, np.inf)
    for tissue_id in np.flatnonzero(np.bincount(tissue_map[~small])):
        away = (small | (tissue_map != tissue_id)).astype(np.uint8)
        distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distance = np.rint(distance.astype(np.float64) ** 2)  # OpenCV's last digit differs from run to run
        nearest[distance < best] = tissue_id
        best = np.minimum(best, distance)
    return nearest


def tissue_polygons(tissue_map: NDArray[np.integer], skip_ids: Collection[int] = ()) -> list[TissueRegion]:
    """Polygons with holes of every 4-connected region.

    Args:
        tissue_map: `(H, W)` class ids, 0 to 254.
        skip_ids: Classes to leave out, such as the background.

    Returns:
        Regions, by class id.
    """
    regions = []
    for tissue_id in np.unique(tissue_map):
        if int(tissue_id) in skip_ids:
            continue
        mask = (tissue_map == tissue_id).astype(np.uint8)
        _, components = cv2.connectedComponents(mask, connectivity=4)
        rings: dict[int, list[Ring]] = defaultdict(list)
        for ring in trace_rings(components, diagonals=False):
            rings[ring.label].append(ring)
        for parts in rings.values():
            parts.sort(key=lambda ring: -ring.area)
            regions.append(TissueRegion(int(tissue_id), tuple(r.points_xy for r in parts), sum(r.area for r in parts)))
    return regions

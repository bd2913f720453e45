"""From nuclei probability and hv map to instances: HoVer-Net's marker-controlled watershed, at a fixed scale.

Graham et al., "HoVer-Net", Medical Image Analysis 2019, section 3.3. The published code stretches each tile's gradients
to [0, 1], so that a nucleus depends on what else the tile holds. Here gradients are divided by the range that the
filter can reach, a constant: every nucleus depends on its own component of the foreground and the filter's reach
around it, and on nothing else.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.flood import watershed
from coseg_bundle.postprocessing.pieces import connected_pieces

Normalisation = Literal["fixed", "minmax"]


def segment_instances(
    nuclei_prob: NDArray[np.float32],
    hv_map: NDArray[np.float32],
    *,
    nuclei_threshold: float = 0.5,
    sobel_size: int = 21,
    edge_threshold: float | None = None,
    min_area_px: int = 10,
    min_prob: float = 0.0,
    opening_px: int = 1,
    normalisation: Normalisation = "fixed",
) -> NDArray[np.int32]:
    """Separates nuclei.

    Args:
        nuclei_prob: Probability of nucleus `(H, W)` in [0, 1].
        hv_map: `(2, H, W)`, x then y, nominally in [-1, 1]; values beyond are clipped.
        nuclei_threshold: Pixels from this probability on are foreground.
        sobel_size: Side of the Sobel filter in pixels, odd, 3 to 31; 21 at 40x, 11 at 20x.
        edge_threshold: Edge strength, 0 to 1, from which a pixel belongs to no marker; None takes the default of the
            normalisation (see `EDGE_THRESHOLD`).
        min_area_px: Smaller instances are dropped.
        min_prob: Instances with a lower mean probability are dropped. The threshold draws outlines, this one decides
            what is there at all.
        opening_px: Diameter, odd, of the disk that has to fit into an outline: what is thinner is cut off, for example
            the spikes along which the watershed leaks, and of what remains the largest part is kept. A nucleus that
            would lose more than half stays as it is: it is thin. 1 cuts nothing, as HoVer-Net.
        normalisation: `fixed`, or `minmax` for the published behaviour.

    Returns:
        Instance map `(H, W)` int32, ids 1 to N in the order of their markers' first pixels, each instance 4-connected.

    Raises:
        ValueError: Shapes differ, there are values that are not finite, a side is even or out of range, or the
            normalisation is unknown.
    """
    if hv_map.shape != (2, *nuclei_prob.shape):
        raise ValueError(f"Expected hv_map {(2, *nuclei_prob.shape)}, got {hv_map.shape}; give (H, W) and (2, H, W).")
    if not (_finite(nuclei_prob) and _finite(hv_map)):
        raise ValueError("nuclei_prob or hv_map has values that are not finite; the network's weights are broken.")
    if not (sobel_size % 2 == 1 and 3 <= sobel_size <= 31):
        raise ValueError(f"Expected an odd sobel_size from 3 to 31, got {sobel_size}.")
    if opening_px % 2 == 0 or opening_px < 1:
        raise ValueError(f"Expected an odd opening_px from 1 on, got {opening_px}.")
    _check_normalisation(normalisation)
    if not nuclei_prob.size:  # which OpenCV takes for a fault
        return np.zeros(nuclei_prob.shape, np.int32)
    count, components = _large(nuclei_prob >= nuclei_threshold, min_area_px)
    if count == 1:
        return components
    foreground = components > 0
    edges = edge_strength(hv_map, sobel_size, normalisation)
    edges *= foreground
    threshold = EDGE_THRESHOLD[normalisation] if edge_threshold is None else edge_threshold
    markers = _markers(components, count, edges < threshold, min_area_px)
    grown = _grow(components, count, edges, markers)
    certain = _certain(grown, nuclei_prob, min_prob)  # before spikes, where a network is unsure, are cut off
    return _numbered(_opened(certain, opening_px), min_area_px)[1]


EDGE_THRESHOLD: dict[Normalisation, float] = {"fixed": 0.5, "minmax": 0.4}
"""Default edge thresholds. At fixed scale, 0.5 is a gradient of zero: edges are where the hv map falls."""


def edge_strength(
    hv_map: NDArray[np.float32], sobel_size: int, normalisation: Normalisation = "fixed"
) -> NDArray[np.float32]:
    """How much each pixel looks like the border between two nuclei.

    Inside a nucleus the hv map rises (left to right, top to bottom); from one nucleus to the next it falls.

    Args:
        hv_map: `(2, H, W)`.
        sobel_size: Side of the Sobel filter in pixels.
        normalisation: See `segment_instances`.

    Returns:
        `(H, W)` float32 in [0, 1]; at fixed scale 0.5 is flat and 1 the steepest fall that there can be.

    Raises:
        ValueError: The normalisation is unknown.
    """
    _check_normalisation(normalisation)
    if normalisation == "minmax":
        strengths = []
        for channel, (dx, dy) in enumerate(((1, 0), (0, 1))):
            component = cv2.normalize(hv_map[channel], None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)
            gradient = cv2.Sobel(component, cv2.CV_64F, dx, dy, ksize=sobel_size)
            strengths.append(1 - cv2.normalize(gradient, None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F))
        return np.maximum(*strengths).astype(np.float32)
    smooth, derivative = cv2.getDerivKernels(0, 1, sobel_size, normalize=False)
    reach = float(np.abs(smooth).sum() * np.abs(derivative).sum())
    gradients = []
    for channel, kernels in zip(hv_map, ((derivative, smooth), (smooth, derivative)), strict=True):
        component = np.clip(channel, np.float32(-1), np.float32(1)).astype(np.float32, copy=False)
        gradients.append(
            cv2.sepFilter2D(component, cv2.CV_32F, kernels[0] / reach, kernels[1], borderType=cv2.BORDER_REPLICATE)
        )
    steepest = np.minimum(gradients[0], gradients[1], out=gradients[0])
    np.subtract(np.float32(1), steepest, out=steepest)
    steepest /= 2
    return steepest


def _check_normalisation(normalisation: str) -> None:
    if normalisation not in EDGE_THRESHOLD:
        raise ValueError(f"Expected normalisation {' or '.join(EDGE_THRESHOLD)}, got {normalisation!r}.")


_LESS_THAN_FLOAT32 = 2e-8
"""Below the distance of two float32 numbers from 0.5 to 1, where the seeds' depths lie."""


def _markers(
    components: NDArray[np.int32], count: int, inside: NDArray[np.bool_], min_area_px: int
) -> NDArray[np.int32]:
    """One labelled marker per nucleus; a component of the foreground that has none is its own marker.

    The published code loses such components, which are mostly small nuclei.
    """
    foreground = components > 0
    cores = _filled(foreground & inside).astype(np.uint8)
    cores = cv2.morphologyEx(cores, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    cores = (_large(cores.view(bool) & foreground, min_area_px)[1] > 0).view(np.uint8)
    has_core = np.zeros(count, bool)
    has_core[components[cores.view(bool)]] = True
    has_core[0] = True  # the background, which needs none
    if not has_core.all():
        cores[~has_core[components]] = 1
    return np.asarray(cv2.connectedComponents(cores, connectivity=4)[1], np.int32)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its holes: what is outside of it and does not reach the border, over the sides of pixels."""
    holes = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    np.logical_not(mask, out=holes[1:-1, 1:-1].view(bool))
    _, outside = cv2.connectedComponents(holes, connectivity=4)
    filled: NDArray[np.bool_] = outside[1:-1, 1:-1] != outside[0, 0]
    return filled


def _grow(
    components: NDArray[np.int32], count: int, edges: NDArray[np.float32], markers: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Watershed from the markers; components with a single marker need none and take its id whole."""
    seeded = np.flatnonzero(markers)
    numbers = markers.ravel()[seeded]
    component = np.zeros(numbers.max() + 1, np.int32)  # of each marker; none lies in two
    component[numbers] = components.ravel()[seeded]
    alone = np.bincount(component[1:], minlength=count) == 1
    only = np.zeros(count, np.int32)
    only[component[1:]] = np.arange(1, component.size)
    grown = np.where(alone, only, np.int32(0))[components]
    shared = ~alone
    shared[0] = False
    if shared.any():
        contested = shared[components]
        # Nucleus centres are deep, borders are ridges.
        depth = cv2.GaussianBlur(edges - 1, (3, 3), 0).astype(np.float64)
        seeds = np.where(contested, markers, 0)
        # Which of two equally deep seeds floods first would depend on all seeds in the image: here the upper left does.
        depth[seeds > 0] -= np.linspace(_LESS_THAN_FLOAT32, 0, np.count_nonzero(seeds), endpoint=False)
        grown += watershed(depth, seeds, contested)
    return grown


def _opened(instance_map: NDArray[np.int32], opening_px: int) -> NDArray[np.int32]:
    """Opens every instance by a disk and keeps its largest part, unless that is less than half of it.

    All instances at once: a disk fits into one where lowest and highest id below it are the same. What lies outside of
    the image is unknown, and no reason to cut.
    """
    if opening_px == 1:
        return instance_map
    reach = np.arange(opening_px) - opening_px // 2
    shape = (reach**2 + reach[:, None] ** 2 <= (opening_px // 2) ** 2).astype(np.uint8)  # a disk
    ids = instance_map.astype(np.float32)  # exact up to 16 million ids
    fits = (cv2.erode(ids, shape) == cv2.dilate(ids, shape)) & (instance_map > 0)
    admitted = cv2.dilate(fits.view(np.uint8), shape) > 0
    parts, count = connected_pieces(np.where(admitted, instance_map, 0))
    area = np.bincount(parts.ravel(), minlength=count + 1)
    instance = np.zeros(count + 1, np.int64)  # of each part
    instance[parts[admitted]] = instance_map[admitted]
    total = np.bincount(instance_map.ravel())
    largest = np.zeros(total.size, np.int64)  # part of each instance; 0 where no disk fits
    by_area = np.lexsort((-np.arange(count), area[1:])) + 1  # of equally large ones the first, which is written last
    largest[instance[by_area]] = by_area
    keeps = 2 * np.where(largest, area[largest], 0) >= total
    return np.where(keeps[instance_map] & (parts != largest[instance_map]), 0, instance_map)


def _large(mask: NDArray[np.bool_], min_area_px: int) -> tuple[int, NDArray[np.int32]]:
    """The 4-connected components of at least so many pixels, numbered from 1, and one more than their number."""
    _, components = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    return _numbered(np.asarray(components, np.int32), min_area_px)


def _certain(instance_map: NDArray[np.int32], nuclei_prob: NDArray[np.float32], min_prob: float) -> NDArray[np.int32]:
    """Drops improbable instances."""
    if min_prob <= 0:
        return instance_map
    inside = np.flatnonzero(instance_map)
    ids = instance_map.ravel()[inside]
    keep = np.bincount(ids, nuclei_prob.ravel()[inside], minlength=1) >= min_prob * np.bincount(ids, minlength=1)
    return np.where(keep, np.arange(keep.size, dtype=np.int32), np.int32(0))[instance_map]


def _numbered(instance_map: NDArray[np.int32], min_area_px: int) -> tuple[int, NDArray[np.int32]]:
    """Drops small instances and numbers the rest 1 to N in their order; N + 1 and the map."""
    area = np.bincount(instance_map[instance_map > 0], minlength=1)
    keep = area >= max(min_area_px, 1)
    new_id = np.cumsum(keep, dtype=np.int32) * keep
    return int(keep.sum()) + 1, instance_map if keep[1:].all() else new_id[instance_map]


def _finite(values: NDArray[np.floating]) -> bool:
    """Whether there is no NaN or infinity: either would be the smallest or the largest."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))

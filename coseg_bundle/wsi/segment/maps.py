"""The maps of a slide: one value per pixel, whoever asks.

The network sees windows that overlap, and says slightly different things about the same pixel in each. The map of the
slide is their mean, weighted by the distance from the window's border, and every later step works on that one map: so
two neighbouring pieces of a slide never disagree about a nucleus between them. Values are kept in 8 bits, so that a
tile takes about 350 kB on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.engine.tensors import Images, all_finite, floored, joined, mean_pooled, to_numpy
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

if TYPE_CHECKING:
    from coseg_bundle.networks import HeadLayout

TISSUE_STEP = 4
"""Tissue is kept at this many times the network's pixel size: 1 um at 0.25 mpp."""

_LOGIT_STEPS, _HV_STEPS, _TYPE_STEPS, _SHARE_STEPS = 16, 127, 8, 127
"""Steps per unit: a nuclei logit, the hv map, a type logit, the disagreement."""


@dataclass(frozen=True)
class TileMaps:
    """What the network says about one tile.

    Attributes:
        fine: `(F, n, n)` int8 over the core and the seam around it: nuclei logit, hv map, and what there is of type
            logits and disagreement, in steps.
        tissue: Tissue logits `(C_t, m, m)` float16 over the same field, one value per `TISSUE_STEP` squared pixels.
    """

    fine: NDArray[np.int8]
    tissue: NDArray[np.float16]


@dataclass(frozen=True)
class FineMaps:
    """Maps of a box, in units again.

    Attributes:
        nuclei_logits: `(h, w)` float32; -8 where the network saw nothing.
        hv_map: `(2, h, w)` float32.
        type_logits: `(C_n + 1, h, w)` float32, meaningful on nuclei, or None.
        disagreement: `(h, w)` float32, of the nuclei, or None.
    """

    nuclei_logits: NDArray[np.float32]
    hv_map: NDArray[np.float32]
    type_logits: NDArray[np.float32] | None
    disagreement: NDArray[np.float32] | None


TileSource = Callable[[int], TileMaps | None]
"""Gives the maps of a tile by its index, or None for one that the network did not see."""


@dataclass(frozen=True)
class MapLayout:
    """Which maps there are, and on which grid; light enough for processes without the network's libraries.

    Args:
        grid: Tiles at the network's resolution; core and halo are multiples of `TISSUE_STEP`.
        tissue_classes: Number of tissue classes.
        type_channels: Number of type logits, the background's included; 0 without types.
        disagreement: Whether there is a disagreement.
        seam_px: How far beyond its core a tile is used, to blend it with its neighbours; the rest of the halo only
            gives the network its view.

    Raises:
        ValueError: The sizes do not fit.
    """

    grid: TileGrid
    tissue_classes: int
    type_channels: int = 0
    disagreement: bool = True
    seam_px: int = 32

    def __post_init__(self) -> None:
        sizes = (self.grid.core_px, self.grid.halo_px, self.grid.offset_px, self.seam_px)
        widest = min(self.grid.halo_px, self.grid.core_px // 2)
        if any(size % TISSUE_STEP for size in sizes) or not 0 <= self.seam_px <= widest:
            raise ValueError(
                f"Expected core, halo, offset and seam in multiples of {TISSUE_STEP}, the seam no wider than the halo "
                f"and half a core; got {sizes}."
            )

    @classmethod
    def of(cls, layout: HeadLayout, grid: TileGrid) -> MapLayout:
        """The maps of a network."""
        types = layout.nuclei_types + 1 if layout.nuclei_types else 0
        return cls(grid, layout.tissue_classes, types, layout.disagreement, seam_of(grid))

    @property
    def kept_px(self) -> int:
        """Side of the field that a tile keeps."""
        return self.grid.core_px + 2 * self.seam_px

    @property
    def fine_channels(self) -> int:
        """Number of 8-bit maps of a tile."""
        return 3 + self.type_channels + self.disagreement

    @property
    def tissue_size(self) -> tuple[int, int]:
        """Height and width of the slide's tissue map."""
        return -(-self.grid.height // TISSUE_STEP), -(-self.grid.width // TISSUE_STEP)

    def encode(self, pred: Images, layout: HeadLayout) -> list[TileMaps]:
        """The network's output `(B, C, P, P)` over whole windows becomes maps to keep, computed where `pred` lies."""
        cut = self.grid.halo_px - self.seam_px
        pred = pred[..., cut : cut + self.kept_px, cut : cut + self.kept_px]
        if not all_finite(pred):
            raise ValueError("The network's output has values that are not finite; the network's weights are broken.")
        parts = layout.split(pred)
        logit = floored(parts["nuclei_logits"] * _LOGIT_STEPS)  # it keeps the sign, so the mask stays as it was
        fine = [logit, (parts["hv_map"].clip(-1, 1) * _HV_STEPS).round()]
        if self.type_channels:
            fine.append((parts["type_logits"] * _TYPE_STEPS).round() * (logit >= -_LOGIT_STEPS))
        if self.disagreement:
            fine.append((parts["disagreement"][:, 1:] * _SHARE_STEPS).round() * (logit >= -_LOGIT_STEPS))
        steps = to_numpy(joined(fine, 1).clip(-128, 127), np.int8)
        tissue = to_numpy(mean_pooled(parts["tissue_logits"], TISSUE_STEP).clip(-6e4, 6e4), np.float16)
        return [TileMaps(*maps) for maps in zip(steps, tissue, strict=True)]

    def fine(self, tile_maps: TileSource, box: Box, channels: int | None = None) -> FineMaps:
        """The slide's maps in a box, at the network's resolution; only the nuclei logits are right with 1 channel."""
        steps, weight = self._blend(tile_maps, box, 1, "fine", channels or self.fine_channels)
        seen = weight > 0
        logits = np.where(seen, (steps[0] + 0.5) / _LOGIT_STEPS, -8).astype(np.float32)
        types = slice(3, 3 + self.type_channels)
        return FineMaps(
            logits,
            steps[1:3] / np.float32(_HV_STEPS),
            steps[types] / np.float32(_TYPE_STEPS) if self.type_channels else None,
            np.clip(steps[-1] / np.float32(_SHARE_STEPS), 0, 1) if self.disagreement else None,
        )

    def tissue(self, tile_maps: TileSource, box: Box) -> NDArray[np.float32]:
        """The slide's tissue logits `(C_t, h, w)` in a box of the tissue map; the background where nothing was seen."""
        logits, weight = self._blend(tile_maps, box, TISSUE_STEP, "tissue", self.tissue_classes)
        logits[0][weight == 0] = 1
        return logits

    def tiles(self, box: Box) -> list[int]:
        """Tiles that the maps of a box, at the network's resolution, are made of."""
        return self.grid.touching(box, self.seam_px)

    def _blend(
        self, tile_maps: TileSource, box: Box, step: int, name: str, channels: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weighted mean over tiles, and the sum of the weights. Weights and 8-bit values are whole numbers, so that
        the mean of equal values is that value exactly."""
        total = np.zeros((channels, box.height, box.width), np.float32)
        weight = np.zeros((box.height, box.width), np.float32)
        ramp = _ramp(self.kept_px // step, self.seam_px // step)
        field = Box(box.x0 * step, box.y0 * step, box.x1 * step, box.y1 * step)
        for index in self.tiles(field):
            maps = tile_maps(index)
            if maps is None:
                continue
            window, cut = self.grid[index].window, self.grid.halo_px - self.seam_px
            x, y = (window.x0 + cut) // step, (window.y0 + cut) // step
            part = box.intersection(Box(x, y, x + self.kept_px // step, y + self.kept_px // step))
            if part.empty:
                continue
            here = np.s_[:, part.y0 - box.y0 : part.y1 - box.y0, part.x0 - box.x0 : part.x1 - box.x0]
            there = np.s_[:channels, part.y0 - y : part.y1 - y, part.x0 - x : part.x1 - x]
            share = ramp[there[1], None] * ramp[there[2]]
            total[here] += getattr(maps, name)[there] * share
            weight[here[1:]] += share
        total /= np.maximum(weight, np.float32(1))
        return total, weight


def seam_of(grid: TileGrid) -> int:
    """Three quarters of the halo are blended: the more, the less it shows where the tiles lie (docs/results.md)."""
    return min(grid.halo_px * 3 // 4, grid.core_px // 2) // TISSUE_STEP * TISSUE_STEP


def _ramp(side: int, seam: int) -> NDArray[np.float32]:
    """Weights along one axis: they rise over the seam and its mirror image inside the core, then stay."""
    near = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1
    return np.minimum(near, max(2 * seam, 1)).astype(np.float32)

"""Nuclei of a piece of a slide, measured on the slide's maps: by whatever pieces one goes, each nucleus comes once.

A nucleus belongs to the piece that holds its centroid. What it looks like depends on its component of the foreground
and on the filter's reach around that (docs/decisions/fixed-scale.md); so the window around a piece grows until no
component of its nuclei is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.hover import segment_instances
from coseg_bundle.postprocessing.instances import InstanceTable, instance_table
from coseg_bundle.postprocessing.probabilities import logistic
from coseg_bundle.wsi.segment.maps import MapLayout, TileSource
from coseg_bundle.wsi.segment.tiling import Box

if TYPE_CHECKING:
    from coseg_bundle.postprocessing.prediction import PostProcessing

PIECE_PX = 1280
"""Side of a piece at the network's resolution; about that where pieces are whole tiles."""

MARGIN_PX = 64
"""First margin around a piece: nuclei up to 32 um across at 0.25 mpp, in any clump that is no wider."""

LARGEST_MARGIN_PX = 512
"""Last margin: a component that reaches further out of its piece is no clump of nuclei, and may be cut."""


@dataclass(frozen=True)
class NucleiSettings:
    """How nuclei are separated; the part of `PostProcessing` that other processes need."""

    nuclei_threshold: float = 0.5
    sobel_size: int = 21
    min_area_px: int = 10
    edge_threshold: float | None = None
    min_prob: float = 0.0
    opening_px: int = 1

    @classmethod
    def of(cls, postprocessing: PostProcessing) -> NucleiSettings:
        """Takes the settings over; `minmax` cannot be cut into pieces.

        Raises:
            ValueError: The normalisation is not `fixed`.
        """
        if postprocessing.normalisation != "fixed":
            raise ValueError(
                "Whole slides need normalisation: fixed; with minmax a nucleus depends on how the slide is cut."
            )
        return cls(
            postprocessing.nuclei_threshold,
            postprocessing.sobel_size,
            postprocessing.min_nucleus_area_px,
            postprocessing.edge_threshold,
            postprocessing.min_nucleus_prob,
            postprocessing.nucleus_opening_px,
        )

    @property
    def reach_px(self) -> int:
        """How far around a component its nuclei depend on the maps: the Sobel filter and the blur after it."""
        return self.sobel_size // 2 + 2


@dataclass(frozen=True)
class NucleiTable:
    """Nuclei as columns of N rows, in pixels of level 0.

    Attributes:
        polygons: `(N,)` shapely polygons on the network's pixels (see `contours`), rounded to 1/100 px;
            counterclockwise by their coordinates, inside the slide.
        centroid_xy: `(N, 2)` float64.
        area_um2: `(N,)` float64.
        type_id: `(N,)` uint8, id of the nuclei class, 1 and up.
        type_prob: `(N,)` float32, probability of the class; NaN without types.
        nuclei_prob: `(N,)` float32, mean nuclei probability inside.
        disagreement: `(N,)` float32 in [0, 1]; NaN where the network has none.
        tissue_id: `(N,)` int16, tissue class at the centroid; -1 until the tissue is known.
        tissue_border_um: `(N,)` float32, distance from the centroid to the nearest other tissue class, at most
            `coseg_bundle.wsi.segment.tissue.LARGEST_DISTANCE_UM`; NaN until the tissue is known.
    """

    polygons: NDArray[np.object_]
    centroid_xy: NDArray[np.float64]
    area_um2: NDArray[np.float64]
    type_id: NDArray[np.uint8]
    type_prob: NDArray[np.float32]
    nuclei_prob: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    tissue_id: NDArray[np.int16]
    tissue_border_um: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.area_um2)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> NucleiTable:
        """The rows of a mask or an index array."""
        return NucleiTable(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def at_tissue(self, tissue_id: NDArray[np.int16], tissue_border_um: NDArray[np.float32]) -> NucleiTable:
        """The same nuclei, with what the tissue map says of them."""
        return replace(self, tissue_id=tissue_id, tissue_border_um=tissue_border_um)

    @classmethod
    def concatenate(cls, tables: list[NucleiTable]) -> NucleiTable:
        """The rows of all tables, in order."""
        tables = tables or [cls.of(instance_table(np.zeros((1, 1), np.int32)), 0, 0, 1.0, 1.0, (1, 1))]
        columns: dict[str, Any] = {f.name: [getattr(t, f.name) for t in tables] for f in fields(cls)}
        return cls(**{name: np.concatenate(values) for name, values in columns.items()})

    @classmethod
    def of(
        cls, table: InstanceTable, x: int, y: int, scale: float, network_mpp: float, size_xy: tuple[int, int]
    ) -> NucleiTable:
        """Brings instances of a window to level 0.

        Args:
            table: Instances in pixels of the window.
            x: Left edge of the window at the network's resolution.
            y: Top edge.
            scale: Pixels of level 0 per pixel of the network.
            network_mpp: Microns per pixel of the network.
            size_xy: Width and height of the slide, px of level 0: the network's last pixel may reach beyond by half of
                its own.
        """
        return cls(
            polygons=_polygons(table.contours_xy, np.array([x, y]), scale, size_xy),
            centroid_xy=(table.centroid_xy + np.array([x, y])) * scale,
            area_um2=table.area_px.astype(np.float64) * network_mpp**2,
            type_id=np.maximum(table.type_id, 1).astype(np.uint8),
            type_prob=table.type_prob,
            nuclei_prob=table.nuclei_prob,
            disagreement=table.disagreement,
            tissue_id=np.full(len(table), -1, np.int16),
            tissue_border_um=np.full(len(table), np.nan, np.float32),
        )


def find_nuclei(
    layout: MapLayout, tile_maps: TileSource, core: Box, settings: NucleiSettings
) -> tuple[InstanceTable, tuple[int, int]]:
    """Nuclei whose centroids lie in a box.

    Args:
        layout: What the maps hold.
        tile_maps: Maps of the tiles; all of `needed_box` must be there, and more where large clumps are.
        core: The box, at the network's resolution.
        settings: How nuclei are separated.

    Returns:
        The instances, and the corner (x, y) of the window that their coordinates count from.
    """
    window, keep = _window(layout, tile_maps, core, settings)
    if window.empty:
        return instance_table(np.zeros((1, 1), np.int32)), (core.x0, core.y0)
    maps = layout.fine(tile_maps, window)
    probability = np.where(keep, logistic(maps.nuclei_logits), 0).astype(np.float32)
    instances = segment_instances(
        probability,
        maps.hv_map,
        nuclei_threshold=settings.nuclei_threshold,
        sobel_size=settings.sobel_size,
        edge_threshold=settings.edge_threshold,
        min_area_px=settings.min_area_px,
        min_prob=settings.min_prob,
        opening_px=settings.opening_px,
    )
    table = instance_table(
        instances, nuclei_prob=probability, type_logits=maps.type_logits, disagreement=maps.disagreement
    )
    x, y = (table.centroid_xy + np.array([window.x0, window.y0])).T
    owned = (core.x0 <= x) & (x < core.x1) & (core.y0 <= y) & (y < core.y1)
    return table.select(owned), (window.x0, window.y0)


def needed_box(core: Box, layout: MapLayout) -> Box:
    """The box whose maps `find_nuclei` asks for first."""
    return core.grown(MARGIN_PX).intersection(layout.grid.plane)


def _window(
    layout: MapLayout, tile_maps: TileSource, core: Box, settings: NucleiSettings
) -> tuple[Box, NDArray[np.bool_]]:
    """The box that holds every component that may own a centroid in the core, with the reach around it, and the mask of
    these components in it."""
    margin, reach, plane = MARGIN_PX, settings.reach_px, layout.grid.plane
    while True:
        outer = core.grown(margin).intersection(plane)
        foreground = logistic(layout.fine(tile_maps, outer, 1).nuclei_logits) >= settings.nuclei_threshold
        _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=8)
        x0, y0 = stats[:, cv2.CC_STAT_LEFT] + outer.x0, stats[:, cv2.CC_STAT_TOP] + outer.y0
        x1, y1 = x0 + stats[:, cv2.CC_STAT_WIDTH], y0 + stats[:, cv2.CC_STAT_HEIGHT]
        inside = (x0 < core.x1) & (x1 > core.x0) & (y0 < core.y1) & (y1 > core.y0)
        inside[0] = False  # the background
        cut = (x0 < outer.x0 + reach) & (outer.x0 > plane.x0) | (y0 < outer.y0 + reach) & (outer.y0 > plane.y0)
        cut |= (x1 > outer.x1 - reach) & (outer.x1 < plane.x1) | (y1 > outer.y1 - reach) & (outer.y1 < plane.y1)
        if margin >= LARGEST_MARGIN_PX or not (inside & cut).any():
            break
        margin *= 2
    if not inside.any():
        return Box(0, 0, 0, 0), foreground
    box = Box(*(int(f(v[inside])) for f, v in ((np.min, x0), (np.min, y0), (np.max, x1), (np.max, y1))))
    window = box.grown(reach).intersection(outer)
    part = labels[window.y0 - outer.y0 : window.y1 - outer.y0, window.x0 - outer.x0 : window.x1 - outer.x0]
    return window, inside[part]


def _polygons(
    contours_xy: tuple[NDArray[Any], ...], corner_xy: NDArray[np.int64], scale: float, size_xy: tuple[int, int]
) -> NDArray[Any]:
    import shapely

    if not contours_xy:
        return np.empty(0, object)
    points = np.minimum(np.round((np.concatenate(contours_xy) + corner_xy) * scale, 2), size_xy)
    ring = np.repeat(np.arange(len(contours_xy)), [len(contour) for contour in contours_xy])
    return np.asarray(shapely.polygons(shapely.linearrings(points, indices=ring)))

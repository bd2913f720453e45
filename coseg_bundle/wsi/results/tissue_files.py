"""The tissue of a slide as files: a pyramid of class ids, and polygons for QuPath."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.tissue import smallest_region
from coseg_bundle.writers.geojson import tissue_line, write_features
from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.run.regions import region_mask
from coseg_bundle.wsi.segment.maps import TISSUE_STEP
from coseg_bundle.wsi.segment.tiling import Box, TileGrid
from coseg_bundle.wsi.segment.tissue import PIECE_PX, TissueRegion, tissue_map

_NAMESPACE = UUID("0f6a3c0e-4a2e-5b37-8f43-7c7f2c0d9e55")
_TILE = 512
_SMALLEST_LEVEL = 1024


class TissueFile:
    """A map of class ids in a file, zeros to begin with. Each access maps the file anew, so that what was read does not
    add up in the memory of the process.

    Args:
        path: The file; an older one is replaced.
        height: Height of the map.
        width: Width of the map.
    """

    def __init__(self, path: Path, height: int, width: int) -> None:
        self.path, self.shape = path, (height, width)
        with path.open("wb") as file:
            file.truncate(height * width)

    def write(self, box: Box, classes: NDArray[np.uint8]) -> None:
        """Sets a box."""
        self._mapped("r+")[box.y0 : box.y1, box.x0 : box.x1] = classes

    def read(self, box: Box, step: int = 1) -> NDArray[np.uint8]:
        """Every `step`-th pixel of a box, in both directions."""
        return np.array(self._mapped("r")[box.y0 : box.y1 : step, box.x0 : box.x1 : step])

    def _mapped(self, mode: Literal["r", "r+"]) -> NDArray[np.uint8]:
        return np.memmap(self.path, np.uint8, mode, shape=self.shape)


def stitch_tissue(journal: Journal) -> TissueFile:
    """The slide's tissue map, made from the maps of its tiles piece by piece; 0 outside of the foreground."""
    plane = journal.tissue_plane
    result = TissueFile(journal.work / "tissue", plane.height, plane.width)
    plan, foreground = journal.plan, partial(_foreground, journal)
    smallest = smallest_region(plan.min_tissue_area_px, plan.mpp / plan.network_mpp)
    for piece in TileGrid(plane.width, plane.height, PIECE_PX, 0):
        field = Box(*(side * TISSUE_STEP for side in piece.core))
        if journal.foreground.isdisjoint(journal.layout.tiles(field)):
            continue
        result.write(piece.core, tissue_map(journal.layout, journal.tissue_maps, piece.core, smallest, foreground))
    return result


def _foreground(journal: Journal, box: Box) -> NDArray[np.bool_]:
    """The foreground's mask in a box of the tissue map."""
    plane = journal.tissue_plane
    return sampled(journal.foreground_mask, (plane.height, plane.width), box)


def keep_regions(journal: Journal, tissue: TissueFile) -> None:
    """Sets all outside the regions of interest to 0, if there are any.

    Only now: what their border cuts off would be too small to stay, and nuclei there would lie in other tissue.
    """
    if journal.plan.regions_of_interest is None:
        return
    for piece in TileGrid(tissue.shape[1], tissue.shape[0], PIECE_PX, 0):
        found = tissue.read(piece.core)
        if found.any():
            tissue.write(piece.core, np.where(region_mask(journal, piece.core), found, 0).astype(np.uint8))


def sampled(thumbnail: NDArray[Any], shape: tuple[int, int], box: Box) -> NDArray[Any]:
    """What a picture of a whole plane says in a box of it.

    Args:
        thumbnail: `(h, w)` over the plane, at any resolution.
        shape: Height and width of the plane.
        box: Of the plane.
    """
    rows = (np.arange(box.y0, box.y1) * 2 + 1) * thumbnail.shape[0] // (2 * shape[0])
    columns = (np.arange(box.x0, box.x1) * 2 + 1) * thumbnail.shape[1] // (2 * shape[1])
    return np.asarray(thumbnail[rows[:, None], columns])


def write_pyramid(
    path: Path, classes: TissueFile, mpp: float, slide: str, corner_um: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Writes an OME-TIFF pyramid, a row of tiles at a time.

    Args:
        path: The file.
        classes: The class ids.
        mpp: Microns per pixel.
        slide: The slide's name; the file's identity is derived from it, so that the same result gives the same file.
        corner_um: Where the map's corner lies on the canvas of the slide, um.
    """
    import tifffile

    levels = 1
    while max(classes.shape) >> levels >= _SMALLEST_LEVEL // 2 and levels < 8:
        levels += 1
    metadata: dict[str, Any] = {"axes": "YX", "UUID": f"urn:uuid:{uuid5(_NAMESPACE, slide)}"}
    metadata |= {f"PhysicalSize{axis}{unit}": value for axis in "XY" for unit, value in (("", mpp), ("Unit", "µm"))}
    if any(corner_um):
        plane = {f"Position{axis}": [value] for axis, value in zip("XY", corner_um, strict=True)}
        metadata["Plane"] = plane | {f"Position{axis}Unit": ["µm"] for axis in "XY"}
    with tifffile.TiffWriter(path, ome=True, bigtiff=classes.shape[0] * classes.shape[1] > 2**31) as file:
        for level in range(levels):
            file.write(
                _tiles(classes, 2**level),
                shape=tuple(-(-side // 2**level) for side in classes.shape),
                dtype=np.uint8,
                tile=(_TILE, _TILE),
                compression="deflate",
                photometric="minisblack",
                resolution=(1e4 / (mpp * 2**level), 1e4 / (mpp * 2**level)),
                resolutionunit="CENTIMETER",
                **({"subifds": levels - 1, "metadata": metadata} if level == 0 else {"subfiletype": 1}),
            )


def write_regions(
    path: Path, regions: Iterable[TissueRegion], classes: ClassMap, slide: str, place: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Writes polygons as GeoJSON annotations, one per line; returns the area of each class, `(C_t,)` um2.

    Args:
        path: The file.
        regions: What is written.
        classes: Tissue class names.
        slide: The slide's name, for the ids of the regions.
        place: Where pixel (0, 0) lies, as `Plan.place`.
    """
    import shapely

    areas = np.zeros(len(classes))

    def lines() -> Iterator[str]:
        for number, region in enumerate(regions):
            areas[region.tissue_id] += region.area_um2
            identity, geometry = str(uuid5(_NAMESPACE, f"{slide} {number}")), shapely.to_geojson(region.polygon)
            yield tissue_line(identity, geometry, region.tissue_id, {"Area um2": round(region.area_um2, 2)}, classes)

    write_features(path, lines(), place)
    return areas


def _tiles(classes: TissueFile, step: int) -> Iterator[NDArray[np.uint8]]:
    height, width = classes.shape
    for y in range(0, height, _TILE * step):
        row = classes.read(Box(0, y, width, min(height, y + _TILE * step)), step)
        for x in range(0, row.shape[1], _TILE):
            part = row[:, x : x + _TILE]
            tile = np.zeros((_TILE, _TILE), np.uint8)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile

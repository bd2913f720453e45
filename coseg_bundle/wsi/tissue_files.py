"""The tissue of a slide as files: a pyramid of class ids, and polygons for QuPath."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.wsi.tiling import Box
from coseg_bundle.wsi.tissue import TissueRegion

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


def write_pyramid(path: Path, classes: TissueFile, mpp: float, slide: str) -> None:
    """Writes an OME-TIFF pyramid, a row of tiles at a time.

    Args:
        path: The file.
        classes: The class ids.
        mpp: Microns per pixel.
        slide: The slide's name; the file's identity is derived from it, so that the same result gives the same file.
    """
    import tifffile

    levels = 1
    while max(classes.shape) >> levels >= _SMALLEST_LEVEL // 2 and levels < 8:
        levels += 1
    metadata: dict[str, Any] = {"axes": "YX", "UUID": f"urn:uuid:{uuid5(_NAMESPACE, slide)}"}
    metadata |= {f"PhysicalSize{axis}{unit}": value for axis in "XY" for unit, value in (("", mpp), ("Unit", "µm"))}
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


def write_regions(path: Path, regions: Iterable[TissueRegion], classes: ClassMap, slide: str) -> None:
    """Writes polygons as GeoJSON annotations, one per line."""
    import shapely

    with path.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for number, region in enumerate(regions):
            properties = {
                "objectType": "annotation",
                "classification": {
                    "name": classes.name_of(region.tissue_id),
                    "color": list(classes.colour_of(region.tissue_id)),
                },
                "measurements": {"Area um2": round(region.area_um2, 2)},
            }
            feature = (
                f'{{"type":"Feature","id":"{uuid5(_NAMESPACE, f"{slide} {number}")}",'
                f'"geometry":{shapely.to_geojson(region.polygon)},'
                f'"properties":{json.dumps(properties, separators=(",", ":"))}}}'
            )
            file.write((",\n" if number else "\n") + feature)
        file.write("\n]}\n")


def _tiles(classes: TissueFile, step: int) -> Iterator[NDArray[np.uint8]]:
    height, width = classes.shape
    for y in range(0, height, _TILE * step):
        row = classes.read(Box(0, y, width, min(height, y + _TILE * step)), step)
        for x in range(0, row.shape[1], _TILE):
            part = row[:, x : x + _TILE]
            tile = np.zeros((_TILE, _TILE), np.uint8)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile

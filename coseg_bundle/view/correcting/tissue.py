"""The tissue regions of a result, corrected, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from coseg_bundle.view.correcting.labels import areas, box_of, free
from coseg_bundle.view.correcting.patches import Patch
from coseg_bundle.view.results import Result

_SPECK_PX = 4
"""Area of what is left where borders meet, px of level 0; it is no region."""


def corrected_regions(result: Result, patches: Sequence[Patch]) -> list[dict[str, Any]]:
    """Class, area and box of each region, as `Result.tissue_regions`: those that no correction touches are as they were
    found, the others end where a correction begins, or go on in it.

    Args:
        result: What was corrected.
        patches: Its corrections, in order; later ones hold where they overlap.
    """
    import shapely

    if not patches:
        return result.tissue_regions
    found = result.tissue_shapes
    corrected = shapely.union_all([box_of(patch.box) for patch in patches])
    touched = shapely.intersects(found, corrected)
    rows = [row for row, gone in zip(result.tissue_regions, touched, strict=True) if not gone]
    parts: dict[str, list[Any]] = defaultdict(list)
    for number, row in enumerate(result.tissue_regions):
        if touched[number]:
            parts[row["name"]].append(shapely.difference(shapely.make_valid(found[number]), corrected))
    for number, patch in enumerate(patches):
        for class_id, rings in patch.tissue:
            region = shapely.make_valid(shapely.Polygon(rings[0], rings[1:]))
            parts[result.tissue_classes.names[class_id]].append(shapely.intersection(region, free(patches, number)))
    return [*rows, *(row for name, shapes in parts.items() for row in _rows(name, shapes, result.mpp))]


def _rows(name: str, shapes: list[Any], mpp: float | None) -> Iterator[dict[str, Any]]:
    import shapely

    for part in areas(shapely.union_all(shapes, grid_size=1)):  # on whole px, or seams would part what belongs together
        if part.area > _SPECK_PX:
            area = part.area * mpp**2 if mpp else None
            yield {"name": name, "area_um2": area, "area_px": part.area, "box": [*part.bounds]}

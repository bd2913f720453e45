"""Nuclei that other programs saved as a label map (Cellpose, StarDist, InstanSeg) as something to measure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.foreign import read_nuclei_map
from coseg_bundle.measures.foreign.ground import NO_CLASS, Ground, plane_of
from coseg_bundle.measures.source import Source, middle_um2
from coseg_bundle.postprocessing.instances import InstanceTable, instance_table
from coseg_bundle.postprocessing.tissue import tissue_polygons
from coseg_bundle.writers.nuclei_table import nuclei_columns
from coseg_bundle.writers.summary import doubts
from coseg_bundle.wsi.read.backend import Origin

if TYPE_CHECKING:
    import pyarrow as pa

_NUCLEI, _TISSUE = ClassMap(("background", NO_CLASS)), ClassMap(("tissue",))


@contextmanager
def label_map_nuclei(
    path: Path, slide: Path | None = None, mpp: float | None = None, origin: Origin | None = None
) -> Iterator[Source]:
    """Nuclei of a label map, of no class.

    Args:
        path: PNG, TIFF, NPY or NIfTI, a pixel for each of level 0, as `data.images.read_instances` takes it.
        slide: The slide or image that it is of: it says the resolution, and where there is tissue.
        mpp: Microns per pixel, instead.
        origin: Where (0, 0) lies on slides that say which part of the glass was scanned; as in QuPath without.

    Raises:
        ImageFileError: The file is no map of nuclei, has another size than the slide, or nothing says the resolution.
    """
    instances, notes = read_nuclei_map(path)
    ground = Ground.of(path, slide, mpp, origin or "bounds")
    height, width = instances.shape
    if ground.size_xy not in (None, (width, height)):
        w, h = ground.size_xy
        other: Origin = "bounds" if origin == "canvas" else "canvas"
        fits = Ground.of(path, slide, mpp, other).size_xy == (width, height)
        remedy = f"give --origin {other}" if fits else "save the map at the full resolution of the image that it is of"
        raise ImageFileError(
            f"{path}: expected the size of {slide}, {w} x {h} pixels, got {width} x {height}; {remedy}."
        )
    rows, left_out = _rows(instance_table(instances), ground.mpp)
    plane = plane_of(ground.size_xy, ground.mpp, ground.kinds) if ground.size_xy else None
    if plane is not None and (instances < 0).any():
        plane = replace(plane, within=_labelled(instances))
        left_out += (f"{100 * (instances < 0).mean():.2g} % of the map, which is unlabelled (-1)",)
    yield Source(
        path,
        "label map",
        slide,
        ground.mpp,
        ground.size_xy,
        _NUCLEI,
        _TISSUE,
        lambda columns: iter([rows.select(list(columns or rows.column_names))]),
        rows.num_rows,
        plane,
        1.0,
        origin or "bounds",
        ground.origin_xy,
        left_out=ground.left_out + left_out,
        notes=notes,
        about={"doubts": doubts(rows.num_rows, middle_um2(rows), mpp, ground.stated_mpp)},
        scanned_xy=ground.scanned_xy,
    )


def _labelled(instances: NDArray[np.int32]) -> tuple[Any, ...]:
    """Where a map is labelled, as polygons (shapely)."""
    import shapely

    regions = tissue_polygons((instances >= 0).astype(np.uint8), (0,))
    return tuple(shapely.Polygon(region.rings_xy[0], region.rings_xy[1:]) for region in regions)


def _rows(table: InstanceTable, mpp: float) -> tuple[pa.Table, tuple[str, ...]]:
    """The nuclei, and a sentence on those whose outline holds more or less than their pixels."""
    import shapely

    polygons = np.array([shapely.Polygon(ring) for ring in table.contours_xy], object)
    other = int((abs(shapely.area(polygons) - table.area_px) > 0.5).sum()) if len(table) else 0
    unknown = np.full(len(table), np.nan, np.float32)
    rows = nuclei_columns(
        {
            "id": table.instance_id.astype(np.int64),
            "geometry": polygons,
            "x": table.centroid_xy[:, 0],
            "y": table.centroid_xy[:, 1],
            "area_um2": table.area_px * mpp**2,
            **dict.fromkeys(("type_prob", "nuclei_prob", "disagreement", "tissue_border_um"), unknown),
        },
        np.ones(len(table), np.int8),
        np.zeros(len(table), np.int16),
        _NUCLEI,
        _TISSUE,
    )
    said = f"holes and loose parts of {other} nuclei, in their outlines and shapes; areas are of their pixels"
    return rows, (said,) if other else ()

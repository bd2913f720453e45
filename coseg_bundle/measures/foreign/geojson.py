"""Nuclei that other programs saved as objects: GeoJSON (QuPath, CellViT, HoVer-NeXt, StarDist), TIAToolbox' stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.annotations import Annotations, Region, annotations_of
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.json_files import place_in, read_json
from coseg_bundle.data.labels.nuclei import REGION, check_classes, nuclei_of, on_image
from coseg_bundle.measures.foreign.annotation_store import STORE, read_store
from coseg_bundle.measures.foreign.ground import NO_CLASS, Ground, plane_of
from coseg_bundle.measures.groups.areas import TissuePlane
from coseg_bundle.measures.nuclei.shapes import areas_and_centroids, pixels_of
from coseg_bundle.measures.source import Source, middle_um2
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.nuclei_table import nuclei_columns
from coseg_bundle.writers.summary import doubts
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.segment.foreground import TISSUE

if TYPE_CHECKING:
    import pyarrow as pa

_MOVED = 0.05
"""Share of the nuclei that lie on tissue with another origin alone, from which on it is said."""


@contextmanager
def foreign_nuclei(
    path: Path, slide: Path | None = None, mpp: float | None = None, given: Origin | None = None
) -> Iterator[Source]:
    """Nuclei of a GeoJSON or an annotation store.

    Args:
        path: The file; coordinates in pixels of level 0.
        slide: The slide or image that they lie on: it says the resolution, and where there is tissue.
        mpp: Microns per pixel of level 0, instead.
        given: Where (0, 0) lies in a file whose member `coseg` (`writers.geojson.write_features`) does not say it;
            without, as in QuPath, and in a store at the corner of the glass, as TIAToolbox reads slides.

    Raises:
        ImageFileError: The file holds no nuclei, says another origin, or nothing says the resolution.
    """
    import shapely

    annotations, origin, origin_xy = _annotations(path, given)
    ground = Ground.of(path, slide, mpp, origin)
    size, said, kinds, left_out = ground.size_xy, ground.mpp, ground.kinds, ground.left_out
    origin_xy = ground.origin_xy or origin_xy
    everywhere = nuclei_of(annotations)
    elsewhere: tuple[str, ...] = ()
    if size is not None and not (given or annotations.is_ours):
        elsewhere = _elsewhere(
            everywhere.regions, plane_of(size, said, kinds), size, ground.scanned_xy or (0, 0), origin
        )
    try:
        nuclei = on_image(everywhere, size or (inf, inf), path)  # of which (0, 0) is the corner in any case
    except ImageFileError as error:
        raise ImageFileError(f"{path}: {elsewhere[0]}." if elsewhere else str(error)) from error
    check_classes({region.name for region in nuclei.regions}, path)
    names = [region.name or NO_CLASS for region in nuclei.regions]
    first = "background"  # of no nucleus, whose classes follow
    while first in names:
        first = f"no {first}"
    classes = ClassMap((first, *(sorted(set(names)) or [NO_CLASS])))
    rows, beyond = _with_centroids_inside(_rows(nuclei.regions, names, said, classes), size or (inf, inf))
    left_out += beyond
    plane = None
    if size is not None:
        within, limits = _annotated(annotations, rows)
        plane = replace(plane_of(size, said, kinds), within=within)
        left_out += limits
    ours = annotations.is_ours and not nuclei.frames  # beside a frame lies what a person drew
    outline_px = pixels_of(shapely.from_wkb(rows["geometry"].to_numpy())) if ours else 0.0
    found = doubts(rows.num_rows, middle_um2(rows), mpp, ground.stated_mpp)
    yield Source(
        path,
        "geojson",
        slide,
        said,
        size,
        classes,
        ClassMap(("tissue",)),
        lambda columns: iter([rows.select(list(columns or rows.column_names))]),
        rows.num_rows,
        plane,
        outline_px,
        origin,
        origin_xy,
        left_out=left_out + nuclei.notes,
        notes=tuple(f"{path}: {note}" for note in nuclei.notes),
        about={"doubts": doubts_about(path, (*found, *elsewhere))},
        refused=tuple(f"{path}: {reason}; it is left out." for reason in annotations.skipped),
        scanned_xy=None if annotations.is_ours else ground.scanned_xy,
    )


def _annotations(path: Path, given: Origin | None) -> tuple[Annotations, Origin, tuple[int, int] | None]:
    """What a file holds, how its slide is to be opened, and where (0, 0) is on the canvas, if it says that itself."""
    is_store = path.name.lower().endswith(STORE)
    content = read_store(path) if is_store else read_json(path, "a GeoJSON FeatureCollection of polygons")
    origin: Origin
    origin, origin_xy = place_in(content, path) or (given or ("canvas" if is_store else "bounds"), None)
    if given not in (None, origin):
        raise ImageFileError(f"{path}: its nuclei count with --origin {origin}, as it says; leave {given} away.")
    return annotations_of(content, path), origin, origin_xy


def _elsewhere(
    regions: Sequence[Region],
    plane: TissuePlane,
    size_xy: tuple[int, int],
    scanned_xy: tuple[int, int],
    origin: Origin,
) -> tuple[str, ...]:
    """A sentence, if more of the nuclei lie on tissue with the other origin."""
    if not regions or scanned_xy == (0, 0):
        return ()
    centres = np.array([region.rings_xy[0].mean(0) for region in regions])
    moved = centres - scanned_xy if origin == "bounds" else centres + scanned_xy
    on_tissue = [(plane.kinds_at(xy) == TISSUE) & np.all((xy >= 0) & (xy < size_xy), axis=1) for xy in (centres, moved)]
    here, there = map(int, np.sum(on_tissue, axis=1))
    if there - here <= _MOVED * len(regions):
        return ()
    other, corner = ("canvas", "the glass") if origin == "bounds" else ("bounds", "what was scanned")
    return (
        f"{here} of {len(regions)} nuclei lie on tissue, and {there} if they count from the corner of {corner}: then "
        f"give --origin {other}",
    )


def _with_centroids_inside(rows: pa.Table, size_xy: tuple[float, float]) -> tuple[pa.Table, tuple[str, ...]]:
    """The nuclei whose centroids lie on the slide, as those of our own results do; and a sentence on the others."""
    x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
    inside = (x >= 0) & (y >= 0) & (x < size_xy[0]) & (y < size_xy[1])
    beyond = int((~inside).sum())
    return rows.filter(inside), (f"{beyond} nuclei whose centroids lie outside the slide",) if beyond else ()


def _annotated(annotations: Annotations, rows: pa.Table) -> tuple[tuple[Any, ...] | None, tuple[str, ...]]:
    """The `Region*` around what was annotated, as saved corrections have them, if no nucleus lies outside of them all;
    and a sentence on what that means for areas."""
    import shapely

    found = tuple(_polygon(region.rings_xy) for region in annotations.regions if region.name == REGION)
    if not found:
        return None, ()
    whole = shapely.union_all(found)
    shapely.prepare(whole)
    outside = rows.num_rows - int(shapely.intersects(whole, shapely.from_wkb(rows["geometry"].to_numpy())).sum())
    if outside:
        said = f"areas are the whole slide's, though the file has {len(found)} {REGION}: {outside} nuclei lie outside"
        return None, (said,)
    return found, (f"all outside of the file's {len(found)} {REGION}, which hold all of its nuclei",)


def _rows(regions: Sequence[Region], names: Sequence[str], mpp: float, classes: ClassMap) -> pa.Table:
    polygons = np.empty(len(regions), object)
    polygons[:] = [_polygon(region.rings_xy) for region in regions]
    area, centroid = areas_and_centroids(polygons) if len(polygons) else (np.zeros(0), np.zeros((0, 2)))
    unknown = np.full(len(regions), np.nan, np.float32)
    return nuclei_columns(
        {
            "id": np.arange(1, len(regions) + 1),
            "geometry": polygons,
            "x": centroid[:, 0],
            "y": centroid[:, 1],
            "area_um2": area * mpp**2,
            **dict.fromkeys(("type_prob", "nuclei_prob", "disagreement", "tissue_border_um"), unknown),
        },
        np.array([classes.id_of(name) for name in names], np.int8),
        np.zeros(len(regions), np.int16),
        classes,
        ClassMap(("tissue",)),
    )


def _polygon(rings_xy: Sequence[NDArray[np.float64]]) -> Any:
    """What an even number of rings does not enclose is a hole."""
    import shapely

    polygons = [shapely.Polygon(ring) for ring in rings_xy]
    return polygons[0] if len(polygons) == 1 else reduce(shapely.symmetric_difference, polygons)

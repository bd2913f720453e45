"""Corrections as a label: objects for QuPath, for MONAI Label's server, and for a training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from coseg_bundle.service.shapes import Box
from coseg_bundle.view.correcting.patches import Patch, corrected, outline_of
from coseg_bundle.view.correcting.surroundings import Values, known_values
from coseg_bundle.view.nuclei import UNKNOWN
from coseg_bundle.view.results import Result
from coseg_bundle.writers.geojson import nuclei_lines, tissue_line
from coseg_bundle.writers.nuclei_table import MEASURES

_NAMESPACE = UUID("8c0d5b0e-2a55-5b0c-9d1e-55c1f0a7c4d9")
_REGION = {"objectType": "annotation", "classification": {"name": "Region*", "color": [160, 160, 160]}}


def label_features(result: Result, patches: Sequence[Patch]) -> Iterator[str]:
    """A `Region*` around each part that was corrected, and the nuclei and tissue that hold in it, as GeoJSON features.

    Args:
        result: What was corrected.
        patches: Its corrections, in order; later ones hold where they overlap.
    """
    stem = str(uuid5(_NAMESPACE, result.name))
    _, of_patches = corrected(result, patches)
    _, known = known_values(result, patches)
    for number, (patch, kept) in enumerate(zip(patches, of_patches, strict=True)):
        own = f"{stem} {number}"
        yield from _regions(own, free(patches, number))
        yield from _nuclei(own, result, patch, known[number], np.flatnonzero(kept))
        yield from _tissue(own, result, patch, free(patches, number))


def place_of(result: Result) -> dict[str, Any]:
    """Where pixel (0, 0) of a label lies, as `write_features` takes it."""
    x, y = result.reader.origin_xy if result.reader else (0, 0)
    return {"origin": result.origin, "origin_x_px": x, "origin_y_px": y}


def _regions(own: str, free: Any) -> Iterator[str]:
    import shapely

    for part in areas(free):
        identity, geometry = str(uuid5(_NAMESPACE, f"{own} {part.wkt}")), shapely.to_geojson(part)
        yield f'{{"type":"Feature","id":"{identity}","geometry":{geometry},"properties":{json.dumps(_REGION)}}}'


def _nuclei(own: str, result: Result, patch: Patch, known: Values, rows: Any) -> Iterator[str]:
    import shapely

    tissues = patch.population.tissues[rows].astype(int)
    return nuclei_lines(
        ids=[str(uuid5(_NAMESPACE, f"{own} nucleus {row}")) for row in rows],
        names=[int(row) + 1 for row in rows],
        geometry=[shapely.to_geojson(shapely.Polygon(np.round(outline_of(patch, row), 2))) for row in rows],
        type_id=patch.population.types[rows].astype(int),
        tissue_id=np.where(tissues == UNKNOWN, -1, tissues),
        measures={name: column[rows] for name, column in known.items() if name in MEASURES},
        classes=result.nuclei_classes,
        tissue_classes=result.tissue_classes,
    )


def _tissue(own: str, result: Result, patch: Patch, free: Any) -> Iterator[str]:
    import shapely

    for place, (class_id, rings) in enumerate(patch.tissue):
        whole = shapely.intersection(shapely.make_valid(shapely.Polygon(rings[0], rings[1:])), free)
        for count, part in enumerate(areas(whole)):
            identity = str(uuid5(_NAMESPACE, f"{own} tissue {place} {count}"))
            yield tissue_line(identity, shapely.to_geojson(part), class_id, {}, result.tissue_classes)


def areas(geometry: Any) -> list[Any]:
    """Its polygons; nothing is one too for shapely."""
    import shapely

    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area > 0]


def free(patches: Sequence[Patch], number: int) -> Any:
    """The part of a patch's box that no later one covers."""
    import shapely

    own = box_of(patches[number].box)
    x, y, width, height = np.reshape([*{patch.box for patch in patches[number + 1 :]}], (-1, 4)).T
    boxes = shapely.box(x, y, x + width, y + height)
    return shapely.difference(own, shapely.union_all(boxes[shapely.intersects(boxes, own)]))


def box_of(box: Box) -> Any:
    """A box as a polygon (shapely)."""
    import shapely

    return shapely.box(box[0], box[1], box[0] + box[2], box[1] + box[3])

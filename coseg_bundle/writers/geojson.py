"""GeoJSON that QuPath opens: nuclei as detections, tissue regions as annotations, with classes and colours.

A Feature is a line of text. Lines are made many at a time and written as they come, so that memory stays small however
many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.instances import InstanceTable
from coseg_bundle.postprocessing.tissue import tissue_polygons
from coseg_bundle.writers.nuclei_table import MEASURES

_NAMESPACE = UUID("6d2b6e0c-6f0e-5d55-9f0b-4f6d2f1f7c11")
"""Object ids are derived from what an object is and where, so that the same result gives the same file."""


def nuclei_features(table: InstanceTable, classes: ClassMap, tissue_classes: ClassMap) -> Iterator[str]:
    """One Feature per nucleus of an image.

    Args:
        table: The instances; coordinates in pixels of the image, as QuPath counts them.
        classes: Nuclei class names; id 0 in the table means "of the only class there is".
        tissue_classes: Names of the tissue under each nucleus.
    """
    rings = [_closed(ring) for ring in table.contours_xy]
    ids = table.instance_id.tolist()
    return nuclei_lines(
        ids=[str(uuid5(_NAMESPACE, f"nucleus {i} {ring}")) for i, ring in zip(ids, rings, strict=True)],
        names=ids,
        geometry=[_polygon([ring]) for ring in rings],
        type_id=np.maximum(table.type_id, 1),
        tissue_id=table.tissue_id,
        measures={name: getattr(table, name) for name in ("area_px", "nuclei_prob", "type_prob", "disagreement")},
        classes=classes,
        tissue_classes=tissue_classes,
    )


def nuclei_lines(
    *,
    ids: Sequence[str],
    names: Sequence[int],
    geometry: Sequence[str],
    type_id: NDArray[np.integer],
    tissue_id: NDArray[np.integer],
    measures: Mapping[str, NDArray[Any]],
    classes: ClassMap,
    tissue_classes: ClassMap,
) -> Iterator[str]:
    """Features of N nuclei, detections in QuPath.

    Args:
        ids: N object ids (UUIDs).
        names: N names, which QuPath shows.
        geometry: N polygons as GeoJSON.
        type_id: `(N,)` nuclei classes.
        tissue_id: `(N,)` tissue classes; -1 where unknown.
        measures: `(N,)` numbers by the names of `MEASURES`, in the order of the file; NaN is left out.
        classes: Nuclei class names, for names and colours.
        tissue_classes: Tissue class names.
    """
    numbers = zip(*(_measured(name, values) for name, values in measures.items()), strict=True)
    kinds = [_json(_classification(classes, i)) for i in range(len(classes))]
    tissues = [*(f',"metadata":{{"tissue":{json.dumps(name)}}}' for name in tissue_classes.names), ""]  # -1: the last
    rows = zip(ids, names, geometry, type_id.tolist(), tissue_id.tolist(), numbers, strict=True)
    for object_id, name, polygon, kind, tissue, texts in rows:
        yield (
            f'{{"type":"Feature","id":"{object_id}","geometry":{polygon},"properties":{{"objectType":"detection",'
            f'"name":"{name}","classification":{kinds[kind]},"measurements":{{{",".join(filter(None, texts))}}}'
            f"{tissues[tissue]}}}}}"
        )


def tissue_features(tissue_map: NDArray[np.integer], classes: ClassMap) -> Iterator[str]:
    """One Feature per connected region of a tissue class of an image, holes included; class 0 is left out.

    Args:
        tissue_map: `(H, W)` class ids.
        classes: Tissue class names.
    """
    for number, region in enumerate(tissue_polygons(tissue_map, skip_ids=(0,)), start=1):
        rings = [_closed(ring) for ring in region.rings_xy]
        identity = str(uuid5(_NAMESPACE, f"tissue {number} {rings[0]}"))
        yield tissue_line(identity, _polygon(rings), region.tissue_id, {"Area px": float(region.area_px)}, classes)


def tissue_line(
    object_id: str, geometry: str, tissue_id: int, measurements: Mapping[str, float], classes: ClassMap
) -> str:
    """The Feature of a tissue region, an annotation in QuPath."""
    properties = {
        "objectType": "annotation",
        "classification": _classification(classes, tissue_id),
        "measurements": measurements,
    }
    return f'{{"type":"Feature","id":"{object_id}","geometry":{geometry},"properties":{_json(properties)}}}'


def write_features(path: Path, features: Iterable[str], about: Mapping[str, Any] | None = None) -> int:
    """Writes a FeatureCollection, one Feature per line, and returns their number.

    Args:
        path: The file.
        features: Features as text.
        about: What holds for all of them: a member `coseg` of the collection, which GeoJSON allows (RFC 7946, 6.1).
    """
    count = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        member = f'"coseg":{_json(about)},' if about else ""
        file.write('{"type":"FeatureCollection",' + member + '"features":[')
        for count, feature in enumerate(features, start=1):
            file.write((",\n" if count > 1 else "\n") + feature)
        file.write("\n]}\n")
    return count


def _measured(name: str, values: NDArray[Any]) -> list[str]:
    measure = MEASURES[name]
    rounded = np.round(values.astype(np.float64), measure.digits).tolist()
    return [f'"{measure.label}":{value:.15g}' if abs(value) < np.inf else "" for value in rounded]


def _classification(classes: ClassMap, class_id: int) -> dict[str, Any]:
    return {"name": classes.name_of(class_id), "color": list(classes.colour_of(class_id))}


def _closed(ring_xy: NDArray[np.integer] | NDArray[np.floating]) -> list[list[float]]:
    return [*ring_xy.tolist(), ring_xy[0].tolist()]


def _polygon(rings: list[list[list[float]]]) -> str:
    return _json({"type": "Polygon", "coordinates": rings})


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)

"""GeoJSON that QuPath opens: nuclei as detections, tissue regions as annotations, with classes and colours."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.instances import InstanceTable
from coseg_bundle.postprocessing.tissue import tissue_polygons

_NAMESPACE = uuid.UUID("6d2b6e0c-6f0e-5d55-9f0b-4f6d2f1f7c11")
"""Object ids are derived from what an object is and where, so that the same result gives the same file."""

Feature = dict[str, Any]


def nuclei_features(table: InstanceTable, classes: ClassMap, tissue_classes: ClassMap) -> Iterator[Feature]:
    """One Feature per nucleus.

    Args:
        table: The instances; coordinates in pixels of the image, as QuPath counts them.
        classes: Nuclei class names; id 0 in the table means "of the only class there is".
        tissue_classes: Names of the tissue under each nucleus.
    """
    for row in range(len(table)):
        name, colour = _class(classes, max(int(table.type_id[row]), 1))
        measurements = {
            "Area px": float(table.area_px[row]),
            "Nucleus probability": float(table.nuclei_prob[row]),
            "Class probability": float(table.type_prob[row]),
            "Disagreement": float(table.disagreement[row]),
        }
        properties: dict[str, Any] = {
            "objectType": "detection",
            "name": str(int(table.instance_id[row])),
            "classification": {"name": name, "color": colour},
            "measurements": {key: round(value, 4) for key, value in measurements.items() if math.isfinite(value)},
        }
        if table.tissue_id[row] >= 0:
            properties["metadata"] = {"tissue": tissue_classes.name_of(int(table.tissue_id[row]))}
        yield _feature([table.contours_xy[row]], properties, f"nucleus {table.instance_id[row]}")


def tissue_features(tissue_map: NDArray[np.integer], classes: ClassMap) -> Iterator[Feature]:
    """One Feature per connected region of a tissue class, holes included; class 0 is left out.

    Args:
        tissue_map: `(H, W)` class ids.
        classes: Tissue class names.
    """
    for number, region in enumerate(tissue_polygons(tissue_map, skip_ids=(0,)), start=1):
        name, colour = _class(classes, region.tissue_id)
        properties = {
            "objectType": "annotation",
            "classification": {"name": name, "color": colour},
            "measurements": {"Area px": float(region.area_px)},
        }
        yield _feature(list(region.rings_xy), properties, f"tissue {number}")


def write_features(path: Path, features: Iterable[Feature]) -> int:
    """Writes a FeatureCollection, one Feature per line, and returns their number; memory stays small."""
    count = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for count, feature in enumerate(features, start=1):
            file.write((",\n" if count > 1 else "\n") + json.dumps(feature, separators=(",", ":"), allow_nan=False))
        file.write("\n]}\n")
    return count


def _class(classes: ClassMap, class_id: int) -> tuple[str, list[int]]:
    return classes.name_of(class_id), list(classes.colour_of(class_id))


def _feature(rings_xy: list[NDArray[np.integer]], properties: dict[str, Any], identity: str) -> Feature:
    closed = [[*ring.tolist(), ring[0].tolist()] for ring in rings_xy]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, f"{identity} {closed[0]}")),
        "geometry": {"type": "Polygon", "coordinates": closed},
        "properties": properties,
    }

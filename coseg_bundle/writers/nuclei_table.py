"""The nuclei table as files: which columns there are, what they are called where, CSV and GeoParquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.prediction import Prediction

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Measure:
    """A number that each nucleus has.

    Attributes:
        column: Its name in CSV and GeoParquet.
        label: Its name in GeoJSON, which QuPath shows.
        digits: Decimals that are written as text.
    """

    column: str
    label: str
    digits: int = 4


MEASURES = {
    measure.column: measure
    for measure in (
        Measure("area_px", "Area px"),
        Measure("area_um2", "Area um2", 3),
        Measure("nuclei_prob", "Nucleus probability"),
        Measure("type_prob", "Class probability"),
        Measure("disagreement", "Disagreement"),
        Measure("tissue_border_um", "Tissue border um", 2),
        Measure("perimeter_um", "Perimeter um", 2),
        Measure("equivalent_diameter_um", "Equivalent diameter um", 2),
        Measure("major_axis_um", "Major axis um", 2),
        Measure("minor_axis_um", "Minor axis um", 2),
        Measure("eccentricity", "Eccentricity"),
        Measure("solidity", "Solidity"),
        Measure("orientation_deg", "Orientation deg", 1),
        Measure("circularity", "Circularity"),
        Measure("haematoxylin_od", "Haematoxylin OD"),
        Measure("haematoxylin_od_sd", "Haematoxylin OD sd"),
        Measure("eosin_od", "Eosin OD"),
        Measure("eosin_od_sd", "Eosin OD sd"),
        Measure("ring_haematoxylin_od", "Ring haematoxylin OD"),
        Measure("ring_eosin_od", "Ring eosin OD"),
        Measure("nearest_um", "Nearest nucleus um", 2),
        Measure("neighbours_25um", "Neighbours within 25 um", 0),
        Measure("neighbours_50um", "Neighbours within 50 um", 0),
        Measure("local_density_per_mm2", "Local density per mm2", 1),
        Measure("tumor_um", "Distance to tumor um", 2),
    )
}
"""What each nucleus may have, by column. `docs/measures.md` defines what `coseg measure` adds."""

_CSV = (
    "instance_id centroid_x centroid_y x_min y_min x_max y_max area_px area_um2 type type_prob nuclei_prob tissue "
    "disagreement"
).split()


def write_csv(path: Path, prediction: Prediction, tissue_classes: ClassMap, nuclei_classes: ClassMap) -> None:
    """Writes an image's instance table as CSV; what is not known is an empty cell."""
    table, mpp = prediction.instances, prediction.mpp
    corners = dict(zip(("x_min", "y_min", "x_max", "y_max"), table.bbox_xyxy.T, strict=True))
    columns: dict[str, Any] = {"instance_id": table.instance_id, "area_px": table.area_px, **corners}
    columns |= {f"centroid_{axis}": _text(values, 2) for axis, values in zip("xy", table.centroid_xy.T, strict=True)}
    area_um2 = table.area_px * mpp**2 if mpp else np.full(len(table), np.nan)
    measured = {"area_um2": area_um2, **{name: getattr(table, name) for name in _PROBABILITIES}}
    columns |= {name: _text(values, MEASURES[name].digits) for name, values in measured.items()}
    columns["type"] = [nuclei_classes.name_of(max(i, 1)) for i in table.type_id.tolist()]
    columns["tissue"] = [tissue_classes.name_of(i) if i >= 0 else "" for i in table.tissue_id.tolist()]
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_CSV)
        writer.writerows(zip(*(columns[name] for name in _CSV), strict=True))


def _text(values: NDArray[Any], digits: int) -> list[str]:
    return [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in values]


_PROBABILITIES = ("type_prob", "nuclei_prob", "disagreement")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def schema() -> pa.Schema:
    """Columns of a slide's `nuclei.parquet`; coordinates in pixels of level 0."""
    import pyarrow as pa

    names = pa.dictionary(pa.int8(), pa.string())
    return pa.schema(
        [
            ("id", pa.int64()),
            ("geometry", pa.binary()),
            ("x", pa.float64()),
            ("y", pa.float64()),
            ("area_um2", pa.float32()),
            ("type", names),
            ("type_prob", pa.float32()),
            ("nuclei_prob", pa.float32()),
            ("disagreement", pa.float32()),
            ("tissue", names),
            ("tissue_border_um", pa.float32()),
            ("bbox", pa.struct([(edge, pa.float64()) for edge in _EDGES])),
        ]
    )


def nuclei_columns(
    columns: Mapping[str, NDArray[Any]],
    type_id: NDArray[np.integer],
    tissue_id: NDArray[np.integer],
    nuclei_classes: ClassMap,
    tissue_classes: ClassMap,
) -> pa.Table:
    """Nuclei that are all in memory, in columns as in `schema`.

    Args:
        columns: `id`, `geometry` (shapely polygons), `x`, `y` and the numbers, `(N,)` each; NaN where unknown.
        type_id: `(N,)` nuclei classes.
        tissue_id: `(N,)` tissue classes.
        nuclei_classes: Nuclei class names.
        tissue_classes: Tissue class names.
    """
    import pyarrow as pa
    import shapely

    named = {"type": (type_id, nuclei_classes), "tissue": (tissue_id, tissue_classes)}
    arrays = []
    for field in schema():
        if field.name in named:
            ids, classes = named[field.name]
            array = pa.DictionaryArray.from_arrays(pa.array(np.asarray(ids, np.int8)), list(classes.names))
        elif field.name == "geometry":
            oriented = shapely.orient_polygons(columns["geometry"]) if len(columns["geometry"]) else columns["geometry"]
            array = pa.array(shapely.to_wkb(oriented).astype(object), pa.binary())
        elif field.name == "bbox":
            edges = shapely.bounds(columns["geometry"]).reshape(-1, 4)
            array = pa.StructArray.from_arrays([pa.array(edge) for edge in edges.T], list(_EDGES))
        else:
            array = pa.array(columns[field.name], from_pandas=True)  # NaN becomes null
        arrays.append(array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema())


def geo_metadata(bounds: Sequence[float] | None, also: Sequence[str] = ()) -> dict[str, str]:
    """GeoParquet's entry in the file's metadata (version 1.1): a plane of pixels, no place on Earth.

    Orientation is that of the coordinates as numbers; y grows downwards, so on a screen outlines run clockwise. The
    column `bbox` lets readers take only the row groups that a box touches.

    Args:
        bounds: Left, top, right and bottom of all polygons; None where there is none.
        also: Kinds of geometry that there may be beside polygons.
    """
    kinds = ["Polygon", *also]
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": kinds, "crs": None, "edges": "planar"}
    column |= {"orientation": "counterclockwise"}
    column |= {"covering": {"bbox": {edge: ["bbox", edge] for edge in _EDGES}}}
    if bounds is not None:
        column["bbox"] = [float(value) for value in bounds]
    return {"geo": json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})}

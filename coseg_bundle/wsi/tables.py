"""Nuclei tables as files: pieces for the journal, and columns for GeoParquet and GeoJSON. No step goes row by row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.wsi.nuclei import NucleiTable

if TYPE_CHECKING:
    import pyarrow as pa

_NAMESPACE = UUID("8f0d6c52-55d4-5d0e-9c64-3f1d0a9d2b11")


def write_piece(path: Path, nuclei: NucleiTable) -> None:
    """Writes a table as an Arrow file, polygons as WKB."""
    import pyarrow as pa
    import pyarrow.feather
    import shapely

    columns: dict[str, Any] = {"geometry": pa.array(shapely.to_wkb(nuclei.polygons).astype(object), pa.binary())}
    columns |= {"x": nuclei.centroid_xy[:, 0], "y": nuclei.centroid_xy[:, 1]}
    columns |= {name: getattr(nuclei, name) for name in _NUMBERS}
    pyarrow.feather.write_feather(pa.table(columns), str(path), compression="uncompressed")


_NUMBERS = ("area_um2", "type_id", "type_prob", "nuclei_prob", "disagreement")


def read_piece(path: Path) -> pa.Table:
    """Reads what `write_piece` wrote: `geometry`, `x`, `y` and the numbers."""
    import pyarrow.feather

    return pyarrow.feather.read_table(str(path), memory_map=False)


def schema() -> pa.Schema:
    """Columns of `nuclei.parquet`; coordinates in pixels of level 0."""
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
        ]
    )


def to_columns(
    piece: pa.Table,
    first_id: int,
    tissue_id: NDArray[np.int16],
    tissue_border_um: NDArray[np.float32],
    nuclei_classes: ClassMap,
    tissue_classes: ClassMap,
) -> pa.Table:
    """Columns as in `schema` of a piece of the journal.

    Args:
        piece: What `read_piece` gives.
        first_id: Id of the first nucleus.
        tissue_id: `(N,)` tissue classes.
        tissue_border_um: `(N,)` distances.
        nuclei_classes: Nuclei class names.
        tissue_classes: Tissue class names.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def named(ids: Any, classes: ClassMap) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(np.asarray(ids, np.int8)), list(classes.names))

    def known(name: str) -> pa.Array:
        return pc.if_else(pc.is_nan(piece[name]), None, piece[name]).cast(pa.float32())

    columns = [
        pa.array(np.arange(first_id, first_id + piece.num_rows)),
        piece["geometry"],
        piece["x"],
        piece["y"],
        piece["area_um2"].cast(pa.float32()),
        named(piece["type_id"], nuclei_classes),
        known("type_prob"),
        known("nuclei_prob"),
        known("disagreement"),
        named(tissue_id, tissue_classes),
        pa.array(tissue_border_um),
    ]
    return pa.Table.from_arrays(columns, schema=schema())


def geo_metadata(bounds: Sequence[float] | None) -> dict[str, str]:
    """GeoParquet's entry in the file's metadata (version 1.1): a plane of pixels, no place on Earth."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None, "edges": "planar"}
    if bounds is not None:
        column["bbox"] = [float(value) for value in bounds]
    return {"geo": json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})}


class NucleiFeatures:
    """Lines of GeoJSON that QuPath opens, made a table at a time.

    Args:
        slide: Name of the slide; object ids are derived from it, so that the same result gives the same file.
        nuclei_classes: Nuclei class names, for their colours.
        tissue_classes: Tissue class names.
    """

    def __init__(self, slide: str, nuclei_classes: ClassMap, tissue_classes: ClassMap) -> None:
        self._id = str(uuid5(_NAMESPACE, slide))[:24]
        self._classes = [
            json.dumps({"name": name, "color": list(nuclei_classes.colour_of(i))}, separators=(",", ":"))
            for i, name in enumerate(nuclei_classes.names)
        ]
        self._tissues = [json.dumps(name) for name in tissue_classes.names]

    def lines(self, table: pa.Table) -> pa.Array:
        """One Feature per row, as strings."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import shapely

        def text(name: str, digits: int = 4) -> Any:
            return pc.fill_null(pc.round(table[name].cast(pa.float64()), digits).cast(pa.string()), "")

        def measured(label: str, name: str, digits: int = 4) -> Any:
            entry = pc.binary_join_element_wise(f',"{label}":', text(name, digits), "")
            return pc.if_else(pc.is_valid(table[name]), entry, "")

        def named(name: str, words: list[str]) -> Any:
            return pa.array(words).take(table[name].combine_chunks().indices)

        geometry = shapely.to_geojson(shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)))
        ids = table["id"].cast(pa.string())
        return pc.binary_join_element_wise(
            f'{{"type":"Feature","id":"{self._id}',
            pc.utf8_lpad(ids, 12, "0"),
            '","geometry":',
            pa.array(geometry.astype(object), pa.string()),
            ',"properties":{"objectType":"detection","name":"',
            ids,
            '","classification":',
            named("type", self._classes),
            ',"measurements":{"Area um2":',
            text("area_um2", 3),
            measured("Nucleus probability", "nuclei_prob"),
            measured("Class probability", "type_prob"),
            measured("Disagreement", "disagreement"),
            measured("Tissue border um", "tissue_border_um", 2),
            '},"metadata":{"tissue":',
            named("tissue", self._tissues),
            "}}}",
            "",
        )

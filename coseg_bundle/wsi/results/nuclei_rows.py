"""A slide's table of nuclei as a file, written part by part: GeoParquet, or CSV where there is no pyarrow."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.classes import ClassMap
from coseg_bundle.engine.choice import is_installed
from coseg_bundle.writers.nuclei_table import MEASURES, geo_metadata, nuclei_columns, schema
from coseg_bundle.wsi.segment.nuclei import NucleiTable

PARQUET, CSV = "nuclei.parquet", "nuclei.csv"
"""One of them is written; the second one has no outlines, which `nuclei.geojson` has."""

logger = logging.getLogger(__name__)


class ParquetRows:
    """`nuclei.parquet`: GeoParquet, a row group for each call of `write`.

    Args:
        folder: Where it is written.
        nuclei_classes: Nuclei class names.
        tissue_classes: Tissue class names.
    """

    def __init__(self, folder: Path, nuclei_classes: ClassMap, tissue_classes: ClassMap) -> None:
        import pyarrow.parquet as pq

        self._classes = (nuclei_classes, tissue_classes)
        self._file = pq.ParquetWriter(folder / PARQUET, schema(), compression="zstd", store_schema=False)

    def write(self, nuclei: NucleiTable, first_id: int) -> None:
        """Writes some rows; the first one has this id."""
        rows = nuclei_columns(_columns(nuclei, first_id), nuclei.type_id, nuclei.tissue_id, *self._classes)
        self._file.write_table(rows, row_group_size=len(nuclei))

    def describe(self, bounds: Sequence[float] | None, about: dict[str, Any]) -> None:
        """Says where all polygons lie, and of which slide they are."""
        self._file.add_key_value_metadata({**geo_metadata(bounds), "coseg": json.dumps(about)})

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


class CsvRows:
    """`nuclei.csv`: the same columns but for geometry and box; what is not known is an empty cell.

    Args:
        folder: Where it is written.
        nuclei_classes: Nuclei class names.
        tissue_classes: Tissue class names.
    """

    COLUMNS = (
        "id x y area_um2 type type_prob nuclei_prob disagreement tissue tissue_border_um"
    ).split()

    def __init__(self, folder: Path, nuclei_classes: ClassMap, tissue_classes: ClassMap) -> None:
        self._classes = (nuclei_classes, tissue_classes)
        self._file = (folder / CSV).open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(self.COLUMNS)
        logger.info("Nuclei as %s: %s needs pyarrow; pip install 'coseg-bundle[full]'.", CSV, PARQUET)

    def write(self, nuclei: NucleiTable, first_id: int) -> None:
        """Writes some rows; the first one has this id."""
        columns = _columns(nuclei, first_id)
        for name, values in columns.items():
            if name in ("x", "y") or name in MEASURES:
                digits = MEASURES[name].digits if name in MEASURES else 2
                columns[name] = [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in values]
        types, tissues = self._classes
        columns["type"] = [types.names[number] for number in nuclei.type_id.tolist()]
        columns["tissue"] = [tissues.names[number] for number in nuclei.tissue_id.tolist()]
        self._rows.writerows(zip(*(columns[name] for name in self.COLUMNS), strict=True))

    def describe(self, bounds: Sequence[float] | None, about: dict[str, Any]) -> None:
        """Says nothing: there is no place for it; `nuclei.geojson` has it."""

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def nuclei_rows(folder: Path, nuclei_classes: ClassMap, tissue_classes: ClassMap) -> ParquetRows | CsvRows:
    """The file that this installation can write."""
    kind = ParquetRows if is_installed("pyarrow") else CsvRows
    return kind(folder, nuclei_classes, tissue_classes)


def _columns(nuclei: NucleiTable, first_id: int) -> dict[str, Any]:
    x, y = nuclei.centroid_xy.T
    columns = {"id": np.arange(first_id, first_id + len(nuclei)), "geometry": nuclei.polygons, "x": x, "y": y}
    names = ("area_um2", "type_prob", "nuclei_prob", "disagreement", "tissue_border_um")
    return columns | {name: getattr(nuclei, name) for name in names}

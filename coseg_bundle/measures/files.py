"""The files of a folder of measures: nuclei in a stream, tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.measures.groups.rows import as_text
from coseg_bundle.measures.source import Source
from coseg_bundle.writers.folders import MEASURED
from coseg_bundle.writers.nuclei_table import geo_metadata

if TYPE_CHECKING:
    import pyarrow as pa

NUCLEI, RECORD, REPORT = "nuclei.parquet", MEASURED, "report.html"
_ROWS = 50_000
"""Nuclei in a row group."""


class NucleiWriter:
    """Writes `nuclei.parquet`, and `nuclei.csv` beside it, part by part.

    Args:
        folder: Where to.
        csv: Whether to write CSV too.
        source: Where the nuclei come from.
    """

    def __init__(self, folder: Path, csv: bool, source: Source) -> None:
        self._folder, self._csv, self._source = folder, csv, source
        self._parquet: Any = None
        self._text: Any = None
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def __enter__(self) -> NucleiWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._parquet, self._text):
            if file is not None:
                file.close()

    def write(
        self,
        parts: Iterable[tuple[pa.Table, Mapping[str, NDArray[np.float32]]]],
        tumor_um: NDArray[np.float32] | None,
        regions: Sequence[str],
        pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    ) -> dict[str, NDArray[np.float32]]:
        """Writes all parts; returns what was measured, `(N,)` by column.

        Args:
            parts: Rows, and what was measured of each.
            tumor_um: `(N,)` distances to the tumour, where they were measured.
            regions: Names of the regions.
            pairs: Positions of nuclei, sorted, and of the regions that hold them.
        """
        import pyarrow as pa
        import shapely

        kept: dict[str, NDArray[np.float32]] = {}
        start = 0
        for rows, measured in parts:
            stop = start + rows.num_rows
            if regions:
                first, last = np.searchsorted(pairs[0], [start, stop])
                rows = rows.append_column("region", _region_names(regions, pairs, first, last, start, rows.num_rows))
            more = dict(measured) if tumor_um is None else {**measured, "tumor_um": tumor_um[start:stop]}
            for name, values in more.items():
                rows = rows.append_column(name, pa.array(values, from_pandas=True))
            if rows.num_rows:
                low = shapely.bounds(shapely.from_wkb(rows["geometry"].to_numpy()))
                self._bounds[:2] = np.minimum(self._bounds[:2], low[:, :2].min(0))
                self._bounds[2:] = np.maximum(self._bounds[2:], low[:, 2:].max(0))
            self._append(rows)
            for name, values in measured.items():
                kept.setdefault(name, np.empty(self._source.count, np.float32))[start:stop] = values
            start = stop
        geo = geo_metadata(
            self._bounds.tolist() if start else None, ("MultiPolygon",) if self._source.kind == "geojson" else ()
        )
        self._parquet.add_key_value_metadata(geo)
        return kept

    def _append(self, rows: pa.Table) -> None:
        import pyarrow.csv
        import pyarrow.parquet as pq

        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._folder / NUCLEI, rows.schema, compression="zstd", store_schema=False)
        self._parquet.write_table(rows, row_group_size=_ROWS)
        if self._csv:
            text = rows.drop_columns([name for name in ("geometry", "bbox") if name in rows.column_names])
            if self._text is None:
                self._text = pyarrow.csv.CSVWriter(self._folder / "nuclei.csv", text.schema)
            self._text.write_table(text)


def _region_names(
    regions: Sequence[str],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    first: int,
    last: int,
    start: int,
    count: int,
) -> pa.Array:
    """The region of each nucleus; several are joined by ` | `."""
    import pyarrow as pa

    names: list[str | None] = [None] * count
    nuclei, numbers = pairs[0][first:last] - start, pairs[1][first:last]
    for nucleus, number in zip(nuclei.tolist(), numbers.tolist(), strict=True):
        before = names[nucleus]
        names[nucleus] = regions[number] if before is None else f"{before} | {regions[number]}"
    return pa.array(names, pa.string()).dictionary_encode()


def class_ids(names: pa.ChunkedArray, classes: ClassMap) -> NDArray[np.int8]:
    """Class ids of a column of names."""
    column = names.dictionary_encode().unify_dictionaries().combine_chunks()
    own = np.array([classes.id_of(name) for name in column.dictionary.to_pylist()], np.int8)
    return own[column.indices.to_numpy()] if len(column) else np.zeros(0, np.int8)


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """Writes a table as CSV."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(as_text(table))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Writes rows as CSV; what a row lacks is empty."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)


def each_row(path: Path) -> Iterator[dict[str, str]]:
    """Reads what `write_table` or `write_rows` wrote, row by row."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows of `each_row`."""
    return list(each_row(path))

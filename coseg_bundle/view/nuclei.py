"""The nuclei of a folder of results, as columns; their outlines are read where somebody looks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.writers.nuclei_table import MEASURES

UNKNOWN = 255
"""Code of a class that is not known."""

CELL_UM, CELL_PX = 512.0, 1024
"""Side of the squares that outlines are sent in; the second where the resolution is not known."""

_WORDS = {"type": "class", "tissue": "tissue"}
_LEFT_OUT = (
    "id",
    "instance_id",
    "geometry",
    "bbox",
    "x",
    "y",
    "centroid_x",
    "centroid_y",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
)
_ROW_GROUPS = 12
"""Row groups of `nuclei.parquet` whose outlines are kept: 20 MB each."""

Rings = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Outlines of N nuclei: offsets `(N + 1,)` into points `(P, 2)`, px of level 0; first points are not repeated."""


@dataclass(frozen=True)
class Column:
    """What is known about each nucleus.

    Attributes:
        name: As in the file.
        label: For people.
        values: `(N,)` float32, NaN where unknown; or uint8, positions in `names`, `UNKNOWN` where unknown.
        names: Class names, if it is a class.
    """

    name: str
    label: str
    values: NDArray[Any]
    names: tuple[str, ...] = ()


class Nuclei:
    """The nuclei of a slide or an image; row `i` is row `i` of the file.

    Args:
        points_xy: `(N, 2)` centroids, px of level 0.
        ids: `(N,)` ids in the file.
        columns: What is known about them; `type` and `tissue` among them.
        outlines: Gives the outlines of rows.
        cell_px: Side of a cell.
    """

    def __init__(
        self,
        points_xy: NDArray[np.float64],
        ids: NDArray[np.int64],
        columns: tuple[Column, ...],
        outlines: Callable[[NDArray[np.int64]], Rings],
        cell_px: int,
    ) -> None:
        self.points_xy, self.ids, self.outlines, self.cell_px = points_xy, ids, outlines, cell_px
        self.columns = {column.name: column for column in columns}
        cells = np.maximum(points_xy // cell_px, 0).astype(np.int64)
        self._across = int(cells[:, 0].max(initial=0)) + 1
        numbers = cells[:, 1] * self._across + cells[:, 0]
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    def cells(self) -> list[tuple[int, int]]:
        """Column and row of every cell that holds nuclei."""
        return [(int(n % self._across), int(n // self._across)) for n in np.unique(self._sorted)]

    def rows_of(self, column: int, row: int) -> NDArray[np.int64]:
        """The nuclei whose centroids lie in a cell."""
        if not (0 <= column < self._across and row >= 0):
            return np.zeros(0, np.int64)
        number = row * self._across + column
        first, last = np.searchsorted(self._sorted, [number, number + 1])
        return self._order[first:last]

    def packed_outlines(self, column: int, row: int) -> bytes:
        """The outlines in a cell: uint32 N and P, N rows, N + 1 offsets, P points as float32 pairs; little-endian."""
        rows = self.rows_of(column, row)
        offsets, points = self.outlines(rows)
        head = np.concatenate([[len(rows), len(points)], rows, offsets]).astype("<u4")
        return head.tobytes() + points.astype("<f4").tobytes()


def read_parquet(path: Path, types: ClassMap, tissues: ClassMap, cell_px: int) -> Nuclei:
    """The nuclei of a slide, as `coseg slide` writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=list(_WORDS)) as file:
        table = file.read([name for name in file.schema_arrow.names if name not in ("geometry", "bbox")])
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    columns = []
    for field in table.schema:
        if field.name in _WORDS:
            classes = types if field.name == "type" else tissues
            columns.append(_from_dictionary(field.name, table[field.name], classes))
        elif field.name not in _LEFT_OUT and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            values = table[field.name].cast(pa.float32()).to_numpy().astype(np.float32)
            columns.append(Column(field.name, _label(field.name), values))
    points = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1).astype(np.float64)
    return Nuclei(points, table["id"].to_numpy(), tuple(columns), _parquet_outlines(path, sizes), cell_px)


_NEEDED = {"instance_id", "centroid_x", "centroid_y"}
"""Columns without which a table of nuclei says nothing."""


def read_csv(table: Path, geojson: Path, types: ClassMap, tissues: ClassMap, cell_px: int) -> Nuclei:
    """The nuclei of an image, as `coseg predict` writes them.

    Raises:
        ValueError: The table is damaged.
    """
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        rows = list(reader)
    if not _NEEDED <= set(names) or any(len(row) != len(names) for row in rows):
        raise ValueError(f"{table} is damaged: its columns are not those of nuclei; make the results anew.")
    texts = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    columns = []
    for name in names:
        if name in _WORDS:
            columns.append(_named(name, list(texts[name]), types if name == "type" else tissues))
        elif name not in _LEFT_OUT:
            columns.append(Column(name, _label(name), _numbers(texts[name]).astype(np.float32)))
    points = np.stack([_numbers(texts[f"centroid_{axis}"]) for axis in "xy"], axis=1)
    ids = _numbers(texts["instance_id"]).astype(np.int64)
    return Nuclei(points, ids, tuple(columns), _geojson_outlines(geojson, len(ids)), cell_px)


def read_measures(path: Path, nuclei: Nuclei) -> Nuclei:
    """The same nuclei with the columns of another table, which `coseg measure` wrote about them.

    Raises:
        ValueError: The table is not about these nuclei.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        fields = [field for field in file.schema_arrow if field.name not in (*_LEFT_OUT, *nuclei.columns)]
        names = [f.name for f in fields if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
        if not {"id", "x", "y"} <= set(file.schema_arrow.names):
            raise ValueError("it has no id, x and y")
        table = file.read(["id", "x", "y", *names])
    place = {name: table[name].to_numpy() for name in ("id", "x", "y")}
    order = np.argsort(nuclei.ids, kind="stable")
    rows = (
        order[np.searchsorted(nuclei.ids[order], place["id"]).clip(0, max(len(order) - 1, 0))] if len(order) else order
    )
    same = len(rows) == len(place["id"]) and np.array_equal(nuclei.ids[rows], place["id"])
    if not same or not np.allclose(nuclei.points_xy[rows], np.stack([place["x"], place["y"]], axis=1), atol=0.01):
        raise ValueError("it is about other nuclei")
    more = []
    for name in names:
        values = np.full(len(nuclei), np.nan, np.float32)
        values[rows] = table[name].cast(pa.float32()).to_numpy()
        more.append(Column(name, _label(name), values))
    columns = *nuclei.columns.values(), *more
    return Nuclei(nuclei.points_xy, nuclei.ids, columns, nuclei.outlines, nuclei.cell_px)


def no_nuclei(types: ClassMap, tissues: ClassMap, cell_px: int) -> Nuclei:
    """The table of a network that was not taught nuclei."""
    columns = _named("type", [], types), _named("tissue", [], tissues)
    return Nuclei(np.zeros((0, 2)), np.zeros(0, np.int64), columns, lambda rows: joined([]), cell_px)


def taken(rings: Rings, rows: NDArray[np.int64]) -> Rings:
    """The outlines of some rows."""
    offsets, points = rings
    lengths = np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    picked = np.repeat(offsets[:-1][rows] - ends[:-1], lengths) + np.arange(ends[-1])
    return ends.astype(np.int64), points[picked]


def joined(rings: list[NDArray[Any]]) -> Rings:
    """Outlines one behind the other."""
    ends = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])]).astype(np.int64)
    return ends, np.concatenate([np.zeros((0, 2)), *rings]).astype(np.float32)


def parts(rings: Rings) -> list[NDArray[np.float32]]:
    """Outlines one by one."""
    offsets, points = rings
    return np.split(points, offsets[1:-1]) if len(offsets) > 1 else []


def _named(name: str, texts: list[str], classes: ClassMap) -> Column:
    codes = {text: code for code, text in enumerate(classes.names)}
    values = np.array([codes.get(text, UNKNOWN) for text in texts], np.uint8)
    return Column(name, _WORDS[name], values, classes.names)


def _from_dictionary(name: str, column: Any, classes: ClassMap) -> Column:
    """A class that is stored as positions in a dictionary, as a million of them are."""
    codes = {text: code for code, text in enumerate(classes.names)}
    parts = [np.zeros(0, np.uint8)]
    for chunk in column.chunks:
        known = [codes.get(text, UNKNOWN) for text in chunk.dictionary.to_pylist()]
        indices = chunk.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        parts.append(np.array([*known, UNKNOWN], np.uint8)[indices])
    return Column(name, _WORDS[name], np.concatenate(parts), classes.names)


def _label(name: str) -> str:
    text = MEASURES[name].label if name in MEASURES else name.replace("_", " ")
    return re.sub(r" (um2|um|px)$", r", \1", text).replace("um2", "µm²").replace("mm2", "mm²").replace(", um", ", µm")


def _numbers(texts: Any) -> NDArray[np.float64]:
    return np.array([float(text) if text else np.nan for text in texts], np.float64)


def _parquet_outlines(path: Path, sizes: list[int]) -> Callable[[NDArray[np.int64]], Rings]:
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    lock = Lock()

    @lru_cache(_ROW_GROUPS)
    def group(number: int) -> Any:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, ["geometry"])["geometry"].combine_chunks()

    def outlines(rows: NDArray[np.int64]) -> Rings:
        import shapely

        groups = np.searchsorted(starts, rows, side="right") - 1
        geometry = np.empty(len(rows), object)
        for number in np.unique(groups).tolist():
            at = np.flatnonzero(groups == number)
            with lock:  # requests come together, and the cache alone would let each of them read
                found = group(number)
            geometry[at] = found.take(rows[at] - starts[number]).to_numpy(zero_copy_only=False)
        outer = shapely.get_exterior_ring(shapely.from_wkb(geometry))
        ends = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(outer))]).astype(np.int64)
        points = np.delete(shapely.get_coordinates(outer).astype(np.float32), ends[1:] - 1, axis=0)  # closing ones
        return ends - np.arange(len(ends)), points

    return outlines


def _geojson_outlines(path: Path, count: int) -> Callable[[NDArray[np.int64]], Rings]:
    @lru_cache(1)
    def everything() -> Rings:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        if len(features) != count:
            raise ValueError(f"{path} has {len(features)} nuclei, and the table beside it {count}; predict anew.")
        return joined([np.array(f["geometry"]["coordinates"][0][:-1], np.float64) for f in features])

    return lambda rows: taken(everything(), rows)

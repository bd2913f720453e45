"""Tables as files: what stands in the folder of results, with the corrections in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.view.correcting.patches import Patch, corrected
from coseg_bundle.view.correcting.surroundings import known_values
from coseg_bundle.view.nuclei import UNKNOWN, Column
from coseg_bundle.view.results import Result

_ROWS = 20_000


def nuclei_csv(result: Result, patches: Sequence[Patch]) -> Iterator[str]:
    """A row per nucleus that stands; what the table does not hold has no id, and what corrections may have changed is
    empty. Some thousand rows at a time."""
    nuclei, names = result.nuclei, list(result.nuclei.columns)
    standing, of_patches = corrected(result, patches)
    known, known_of_patches = known_values(result, patches)
    yield _lines([["id", "x", "y", *names]])
    for rows in np.array_split(np.flatnonzero(standing), max(1, len(nuclei) // _ROWS)):
        columns = [_texts(nuclei.columns[name], known[name][rows]) for name in names]
        yield _lines(zip(map(str, nuclei.ids[rows].tolist()), *_places(nuclei.points_xy[rows]), *columns, strict=True))
    for patch, kept, known in zip(patches, of_patches, known_of_patches, strict=True):
        columns = [_texts(nuclei.columns[name], known[name][kept]) for name in names]
        ids = [str(one) if one else "" for one in patch.ids[kept].tolist()]
        yield _lines(zip(ids, *_places(patch.population.points_xy[kept]), *columns, strict=True))


def regions_csv(regions: Sequence[dict[str, Any]]) -> str:
    """A row per drawn region: counts, areas and densities, as `numbers` gives them, beside its `name`."""
    flat = [_flat(region) for region in regions]
    names = list(dict.fromkeys(name for row in flat for name in row))
    return _lines([names, *([_text(row.get(name)) for name in names] for row in flat)])


def _flat(region: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in region.items() if not isinstance(value, list | dict)}
    row |= {{"count": "nuclei"}.get(name, f"nuclei {name}"): value for name, value in region.get("all", {}).items()}
    parts = [(f"{part['name']} ", part) for part in region.get("classes", [])]
    parts += [(f"in {part['name']}: ", part) for part in region.get("tissue", [])]
    for title, part in parts:
        while not row.keys().isdisjoint(title + name for name in part):  # a class called "nuclei"
            title = f"class {title}"
        row |= {title + name: value for name, value in part.items() if name != "name"}
    return row


def _lines(rows: Any) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


def _texts(column: Column, values: NDArray[Any]) -> list[str]:
    if column.names:
        return [column.names[code] if code != UNKNOWN else "" for code in values.tolist()]
    return [_text(round(value, 4)) for value in values.astype(float).tolist()]


def _places(points_xy: NDArray[np.float64]) -> list[list[str]]:
    return [[f"{value:.2f}" for value in axis.tolist()] for axis in points_xy.T]


def _text(value: Any) -> str:
    return "" if value is None or value != value else f"{value:.10g}" if isinstance(value, float) else str(value)

"""From nuclei and areas to rows: counts with intervals, densities, means and quantiles of each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.measures.groups.areas import BORDER_UM, Areas
from coseg_bundle.measures.groups.columns import COUNTED, area_columns, count_columns
from coseg_bundle.measures.groups.intervals import class_probability, count_intervals
from coseg_bundle.measures.groups.roles import Roles

QUANTILES = (0.1, 0.5, 0.9)
"""Of every measure, beside its mean."""

Columns = dict[str, NDArray[Any]]
"""A table: `(G,)` by column name."""

_DIRECTIONS = ("orientation_deg",)
"""Measures without a mean: -89 and 89 degrees are neighbours."""

_MM2 = 1e-6
"""Square millimetres in a square micron."""


@dataclass(frozen=True)
class MeasuredNuclei:
    """All nuclei of a slide, without their outlines.

    Attributes:
        xy: `(N, 2)` float64 centroids, px of level 0.
        type_id: `(N,)` nuclei classes.
        tissue_id: `(N,)` tissue classes.
        nuclei_prob: `(N,)` float32; NaN where it is not known.
        type_prob: `(N,)` float32; NaN where there are no classes.
        measures: `(N,)` float32 by column.
        tumor_um: `(N,)` float32, of those in stroma to the nearest tumour that was seen; there may be nearer one behind
            the border of what was segmented. None without such classes.
    """

    xy: NDArray[np.float64]
    type_id: NDArray[np.int8]
    tissue_id: NDArray[np.int8]
    nuclei_prob: NDArray[np.float32]
    type_prob: NDArray[np.float32]
    measures: Mapping[str, NDArray[np.float32]]
    tumor_um: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True)
class Classes:
    """Names, and what they stand for.

    Attributes:
        nuclei: Names, background first.
        tissue: Names.
        roles: Which of them are tumour, stroma and inflammatory nuclei.
    """

    nuclei: ClassMap
    tissue: ClassMap
    roles: Roles

    @classmethod
    def of(cls, nuclei: ClassMap, tissue: ClassMap, given: Mapping[str, Sequence[str]] | None = None) -> Classes:
        """Roles as they are given, the rest by name.

        Raises:
            ValueError: As `Roles.given`.
        """
        return cls(nuclei, tissue, Roles.given(given or {}, tissue.names, nuclei.names))


def group_rows(
    nuclei: MeasuredNuclei,
    rows: NDArray[np.integer],
    group: NDArray[np.integer],
    areas: Areas,
    classes: Classes,
    whole_um2: float,
) -> Columns:
    """A row for each of G groups of nuclei.

    Args:
        nuclei: All nuclei.
        rows: `(M,)` positions of those that are in a group; one may be in several.
        group: `(M,)` their groups, from 0.
        areas: Areas of the G groups.
        classes: Class names.
        whole_um2: Area of the whole, which shares are of.

    Returns:
        Columns as in `docs/measures.md`; NaN where something is not known.
    """
    mm2 = areas.total * _MM2
    with np.errstate(divide="ignore", invalid="ignore"):
        table: Columns = {"area_mm2": mm2, "share": areas.total / whole_um2}
        table |= _counts(nuclei, rows, group, mm2, classes)
        table |= _tissue(nuclei, rows, group, areas, classes)
    for name, values in nuclei.measures.items():
        if name in _DIRECTIONS:
            continue
        table |= _statistics(name, values[rows], group, len(mm2))
    return table


def _counts(
    nuclei: MeasuredNuclei,
    rows: NDArray[np.integer],
    group: NDArray[np.integer],
    mm2: NDArray[np.float64],
    classes: Classes,
) -> Columns:
    """Nuclei, all and by class: found, expected, interval, density."""
    groups, kinds = len(mm2), len(classes.nuclei) - 1
    type_id, p, type_p = nuclei.type_id[rows], nuclei.nuclei_prob[rows], nuclei.type_prob[rows]
    asked: list[tuple[str, NDArray[np.bool_], NDArray[Any]]] = [("nuclei", np.ones(len(rows), bool), p)]
    for i, name in enumerate(count_columns(classes.nuclei.names[1:]) if kinds > 1 else (), start=1):
        asked.append((name, type_id == i, class_probability(p, type_p, type_id, i, kinds)))
    table: Columns = {}
    for name, found, probability in asked:
        number = np.bincount(group[found], minlength=groups)
        interval = count_intervals(probability, group, groups)
        values: list[NDArray[Any]] = [number, interval.expected, interval.low, interval.high]
        values += [_per(count, mm2) for count in (number, interval.low, interval.high)]
        table |= {name + end: column for end, column in zip(COUNTED, values, strict=True)}
    return table


def _tissue(
    nuclei: MeasuredNuclei, rows: NDArray[np.integer], group: NDArray[np.integer], areas: Areas, classes: Classes
) -> Columns:
    """Areas by tissue class; tumour, stroma and infiltration where there are such classes."""
    roles, groups = classes.roles, len(areas.total)
    table: Columns = {}
    if len(classes.tissue) > 1:
        for i, name in enumerate(area_columns(classes.tissue.names)):
            table[name] = areas.by_tissue[:, i] * _MM2
    stroma = areas.by_tissue[:, list(roles.stroma)].sum(1)
    if roles.tumor and roles.stroma:
        tumor = areas.by_tissue[:, list(roles.tumor)].sum(1)
        table["tumor_stroma_ratio"] = _per(tumor, stroma)
        table["stroma_fraction"] = _per(stroma, tumor + stroma)
    if roles.stroma and roles.inflammatory:
        inside = np.isin(nuclei.type_id[rows], roles.inflammatory) & np.isin(nuclei.tissue_id[rows], roles.stroma)
        count = np.bincount(group[inside], minlength=groups)
        table["infiltration_per_mm2"] = _per(count, stroma * _MM2)
        if roles.tumor and nuclei.tumor_um is not None:
            distance = nuclei.tumor_um[rows]
            for i, limit in enumerate(BORDER_UM):
                near = np.bincount(group[inside & (distance <= limit)], minlength=groups)
                table[f"infiltration_{limit}um_per_mm2"] = _per(near, areas.near_tumor[:, i] * _MM2)
    return table


def _per(number: NDArray[Any], area: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ratio, NaN where there is no area."""
    return np.where(area > 0, number / np.where(area > 0, area, 1), np.nan)


def _statistics(name: str, values: NDArray[np.float32], group: NDArray[np.integer], groups: int) -> Columns:
    """Mean and quantiles (linear between the neighbours, as numpy's) of each group; NaN values are left out."""
    known = ~np.isnan(values)
    values, group = values[known], group[known]
    order = np.argsort(values)
    small = np.int16 if groups < 2**15 else np.int64  # 16 bits are sorted by counting
    order = order[np.argsort(group[order].astype(small), kind="stable")]
    values = values[order].astype(np.float64)
    size = np.bincount(group, minlength=groups)
    start = np.cumsum(size) - size
    some = size > 0
    mean = np.full(groups, np.nan)
    mean[some] = np.bincount(group[order], values, minlength=groups)[some] / size[some]
    table: Columns = {f"{name}_mean": mean}
    for quantile in QUANTILES:
        place = quantile * (size[some] - 1)
        below = np.floor(place).astype(np.int64)
        low, high = values[start[some] + below], values[start[some] + np.minimum(below + 1, size[some] - 1)]
        found = np.full(groups, np.nan)
        found[some] = low + (place - below) * (high - low)
        table[f"{name}_q{round(100 * quantile)}"] = found
    return table


def as_text(table: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Iterator[tuple[str, ...]]:
    """Rows in the order of the columns, numbers in six digits; what is not known is empty.

    Example:
        >>> list(as_text({"name": ["a", "b"], "area_mm2": np.array([2.0, np.nan]), "nuclei": np.array([3, 0])}))
        [('a', '2', '3'), ('b', '', '0')]
    """
    columns = [np.asarray(values) for values in table.values()]
    for start in range(0, len(columns[0]), _AS_TEXT):
        yield from zip(*(_texts(values[start : start + _AS_TEXT]) for values in columns), strict=True)


_AS_TEXT = 4096
"""Rows that are text in memory at a time: a grid has hundreds of thousands."""


def _texts(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    texts, known = np.full(len(values), "", object), np.isfinite(values)
    texts[known] = [_text(value) for value in values[known].tolist()]
    return list(texts)


def _text(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"

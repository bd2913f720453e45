"""The tables of a slide: rows for the whole, for each tissue and nuclei class, for regions, for the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.labels.regions import RegionOfInterest
from coseg_bundle.measures.groups.areas import Areas, Grid, Survey
from coseg_bundle.measures.groups.rows import Classes, Columns, MeasuredNuclei, group_rows


def slide_table(name: str, nuclei: MeasuredNuclei, found: Survey, classes: Classes) -> Columns:
    """One row for everything."""
    rows = np.arange(len(nuclei))
    whole = float(found.slide.total[0])
    return {"name": np.array([name])} | group_rows(nuclei, rows, np.zeros_like(rows), found.slide, classes, whole)


def tissue_table(nuclei: MeasuredNuclei, found: Survey, classes: Classes) -> Columns:
    """A row for each tissue class; together they are the slide."""
    of_class = np.diag(found.slide.by_tissue[0])
    areas = Areas(of_class, np.full((len(of_class), found.slide.near_tumor.shape[1]), np.nan))
    names = {"name": np.array(classes.tissue.names, object)}
    rows = np.arange(len(nuclei))
    return names | group_rows(nuclei, rows, nuclei.tissue_id.astype(int), areas, classes, float(found.slide.total[0]))


def class_table(nuclei: MeasuredNuclei, found: Survey, classes: Classes) -> Columns:
    """A row for each nuclei class, each on the whole area."""
    kinds = len(classes.nuclei) - 1
    areas = Areas(*(np.repeat(values, kinds, axis=0) for values in (found.slide.by_tissue, found.slide.near_tumor)))
    names = {"name": np.array(classes.nuclei.names[1:], object)}
    rows = np.arange(len(nuclei))
    return names | group_rows(nuclei, rows, nuclei.type_id - 1, areas, classes, float(found.slide.total[0]))


def region_table(
    regions: Sequence[RegionOfInterest],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    nuclei: MeasuredNuclei,
    found: Survey,
    classes: Classes,
) -> Columns:
    """A row for each region.

    Args:
        regions: The regions; what lies in two of them counts in both.
        pairs: Positions of nuclei and of the regions that hold them, as `regions_containing`.
        nuclei: All nuclei.
        found: Areas.
        classes: Class names.
    """
    names = {
        "name": np.array([region.name for region in regions], object),
        "class": np.array([region.class_name for region in regions], object),
    }
    return names | group_rows(nuclei, *pairs, found.regions, classes, float(found.slide.total[0]))


def grid_table(grid: Grid, nuclei: MeasuredNuclei, mpp: float, found: Survey, classes: Classes) -> Columns:
    """A row for each cell with an area or a nucleus; `x_um` and `y_um` are its upper left corner."""
    cell = grid.cell(*(nuclei.xy * mpp).T)
    used = np.flatnonzero((found.cells.total > 0) | (np.bincount(cell, minlength=len(grid)) > 0))
    row, column = np.divmod(used, grid.columns)
    names = {
        "name": np.array([f"{r}:{c}" for r, c in zip(row.tolist(), column.tolist(), strict=True)], object),
        "x_um": column * grid.side_um,
        "y_um": row * grid.side_um,
    }
    areas = Areas(found.cells.by_tissue[used], found.cells.near_tumor[used])
    rows, group = np.arange(len(nuclei)), np.searchsorted(used, cell)
    return names | group_rows(nuclei, rows, group, areas, classes, float(found.slide.total[0]))

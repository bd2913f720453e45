"""The nuclei of a slide as files: a table and GeoJSON side by side, with what the tissue map says about each nucleus.

Pieces of the journal come and go, so that memory does not grow with the slide or its nuclei.
"""

from __future__ import annotations

from contextlib import closing
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.labels.regions import regions_containing
from coseg_bundle.writers.geojson import nuclei_lines, write_features
from coseg_bundle.writers.summary import circle_width
from coseg_bundle.wsi.results.nuclei_rows import nuclei_rows
from coseg_bundle.wsi.results.tissue_files import TissueFile
from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.run.pieces import read_piece
from coseg_bundle.wsi.run.regions import horizon_of, inside_regions
from coseg_bundle.wsi.segment.nuclei import NucleiTable
from coseg_bundle.wsi.segment.tiling import Box
from coseg_bundle.wsi.segment.tissue import LARGEST_DISTANCE_UM, at_points

_NAMESPACE = UUID("8f0d6c52-55d4-5d0e-9c64-3f1d0a9d2b11")

_ROWS = 10_000
"""At least so many nuclei are written together, as a row group: those of pieces that lie together, a square millimetre or
two of dense tissue. So a reader of a part of the slide reads a part of the file."""

DENSITY_UM = 64.0
"""Side of the squares that nuclei are counted in for the overview."""

WIDTH_UM = 0.1
"""Steps that widths of nuclei are counted in."""


@dataclass
class NucleiStatistics:
    """Sums over nuclei: as many numbers as there are classes and squares of the overview.

    Attributes:
        by_class: `(C_n + 1,)` nuclei of each class.
        by_tissue: `(C_t,)` nuclei in each tissue class.
        density: `(h, w)` nuclei in each square of `cell_px` pixels of level 0.
        cell_px: Side of such a square.
        by_region: `(R,)` nuclei in each region of interest.
        regions: The polygons of these regions.
        area_um2: Sum of their areas.
        by_width: `(W,)` nuclei by their width, as circles of their areas, in steps of `WIDTH_UM`; the last and wider.
        bounds: Left, top, right and bottom of all polygons, px of level 0.
    """

    by_class: NDArray[np.int64]
    by_tissue: NDArray[np.int64]
    density: NDArray[np.int64]
    cell_px: float
    by_region: NDArray[np.int64]
    regions: list[Any]
    area_um2: float = 0.0
    by_width: NDArray[np.int64] = field(default_factory=lambda: np.zeros(round(30 / WIDTH_UM), np.int64))
    bounds: list[float] = field(default_factory=lambda: [np.inf, np.inf, -np.inf, -np.inf])

    @classmethod
    def of(cls, journal: Journal) -> NucleiStatistics:
        """Zeros for a slide."""
        plan = journal.plan
        cell = DENSITY_UM / plan.mpp
        squares = [int(np.ceil(side / cell)) for side in plan.size_xy[::-1]]
        tissue, nuclei = plan.result_classes
        regions = [region.polygon for region in plan.regions_of_interest or ()]
        sizes = {"by_class": len(nuclei), "by_tissue": len(tissue), "density": squares, "by_region": len(regions)}
        counts = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
        return cls(**counts, cell_px=cell, regions=regions)

    @property
    def nuclei(self) -> int:
        """How many nuclei there are."""
        return int(self.by_class.sum())

    @property
    def middle_area_um2(self) -> float | None:
        """Area of the middle one, by its width to half a `WIDTH_UM`; None where there is none."""
        if not self.nuclei:
            return None
        step = int(np.searchsorted(np.cumsum(self.by_width), self.nuclei / 2))
        return float(np.pi * ((step + 0.5) * WIDTH_UM) ** 2 / 4)

    def add(self, nuclei: NucleiTable) -> None:
        """Counts the nuclei of a piece."""
        import shapely

        self.by_class += np.bincount(nuclei.type_id, minlength=len(self.by_class))
        self.by_tissue += np.bincount(nuclei.tissue_id, minlength=len(self.by_tissue))
        last = np.array(self.density.shape[::-1]) - 1
        columns, rows = np.minimum(nuclei.centroid_xy / self.cell_px, last).astype(int).T
        np.add.at(self.density, (rows, columns), 1)
        if self.regions:
            inside = regions_containing(self.regions, *nuclei.centroid_xy.T)[1]
            self.by_region += np.bincount(inside, minlength=len(self.regions))
        self.area_um2 += float(nuclei.area_um2.sum())
        self.count_widths(nuclei.area_um2)
        x0, y0, x1, y1 = shapely.total_bounds(nuclei.polygons)
        old = self.bounds
        self.bounds = [min(old[0], x0), min(old[1], y0), max(old[2], x1), max(old[3], y1)]

    def count_widths(self, area_um2: NDArray[np.floating]) -> None:
        """Counts nuclei by their width."""
        steps = (circle_width(area_um2) / WIDTH_UM).astype(int)
        self.by_width += np.bincount(np.minimum(steps, len(self.by_width) - 1), minlength=len(self.by_width))


def write_nuclei(folder: Path, journal: Journal, tissue: TissueFile) -> NucleiStatistics:
    """Writes `nuclei.parquet` (without pyarrow `nuclei.csv`) and `nuclei.geojson`.

    Args:
        folder: Where they are written.
        journal: The run, all of its steps done.
        tissue: The slide's tissue map.
    """
    statistics = NucleiStatistics.of(journal)
    plan = journal.plan
    classes = plan.result_classes[::-1]
    with closing(nuclei_rows(folder, *classes)) as table:

        def lines() -> Iterator[str]:
            first_id = 1
            for nuclei in _grouped(_tables(journal, tissue, statistics)):
                table.write(nuclei, first_id)
                yield from _lines(nuclei, first_id, plan.slide, *classes)
                first_id += len(nuclei)

        write_features(folder / "nuclei.geojson", lines(), plan.place)
        table.describe(statistics.bounds if statistics.nuclei else None, {"slide": plan.slide, **plan.place})
    return statistics


def _tables(journal: Journal, tissue: TissueFile, statistics: NucleiStatistics) -> Iterator[NucleiTable]:
    """The nuclei of one piece after the other along a Z-order curve, with what the tissue map says about them."""
    margin = int(np.ceil(LARGEST_DISTANCE_UM / journal.tissue_mpp)) + 2
    horizon = horizon_of(journal)
    for index in sorted(journal.done()[1], key=partial(_along_z, journal.pieces.columns)):
        nuclei = read_piece(journal.piece_file(index))
        nuclei = nuclei.select(inside_regions(journal, nuclei.centroid_xy))
        if not len(nuclei):
            continue
        points = nuclei.centroid_xy
        in_map = points / journal.tissue_px
        low, high = np.floor(in_map.min(0)).astype(int), np.ceil(in_map.max(0)).astype(int)
        window = Box(*low, *high).grown(margin).intersection(journal.tissue_plane)
        ids, border = at_points(tissue.read(window), in_map - np.array([window.x0, window.y0]), journal.tissue_mpp)
        border[border > horizon.distance(points) * journal.plan.mpp - journal.tissue_mpp] = np.nan
        if "tissue" in journal.plan.untrained:
            border = np.full_like(border, np.nan)
        nuclei = nuclei.at_tissue(ids, border)
        statistics.add(nuclei)
        yield nuclei


def _along_z(columns: int, index: int) -> int:
    """Place of a piece on a Z-order (Morton) curve: pieces that lie together come one after the other."""
    row, column = divmod(index, columns)
    return sum((row >> bit & 1) << 2 * bit + 1 | (column >> bit & 1) << 2 * bit for bit in range(32))


def _lines(
    nuclei: NucleiTable, first_id: int, slide: str, nuclei_classes: ClassMap, tissue_classes: ClassMap
) -> Iterator[str]:
    """GeoJSON of nuclei; ids are derived from the slide's name, so that the same result gives the same file."""
    import shapely

    stem = str(uuid5(_NAMESPACE, slide))[:24]
    measures = ("area_um2", "nuclei_prob", "type_prob", "disagreement", "tissue_border_um")
    for start in range(0, len(nuclei), 10_000):
        part = nuclei.select(np.arange(start, min(start + 10_000, len(nuclei))))
        names = range(first_id + start, first_id + start + len(part))
        yield from nuclei_lines(
            ids=[f"{stem}{name:012d}" for name in names],
            names=list(names),
            geometry=shapely.to_geojson(part.polygons),
            type_id=part.type_id,
            tissue_id=part.tissue_id,
            measures={name: getattr(part, name).astype(np.float32) for name in measures},
            classes=nuclei_classes,
            tissue_classes=tissue_classes,
        )


def _grouped(tables: Iterator[NucleiTable]) -> Iterator[NucleiTable]:
    """Tables of at least `_ROWS` rows, of whole pieces."""
    group: list[NucleiTable] = []
    for table in tables:
        group.append(table)
        if sum(map(len, group)) >= _ROWS:
            yield NucleiTable.concatenate(group)
            group = []
    if group:
        yield NucleiTable.concatenate(group)

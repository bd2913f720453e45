"""From the journal to the results. Everything streams: memory does not grow with the slide or its nuclei."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle.classes import ClassMap
from coseg_bundle.wsi.job import SUMMARY, Job
from coseg_bundle.wsi.maps import TISSUE_STEP, TileMaps
from coseg_bundle.wsi.overview import draw_overview
from coseg_bundle.wsi.reader import SlideReader
from coseg_bundle.wsi.tables import NucleiFeatures, geo_metadata, read_piece, schema, to_columns
from coseg_bundle.wsi.tiling import Box, TileGrid
from coseg_bundle.wsi.tissue import LARGEST_DISTANCE_UM, PIECE_PX, TissueRegion, at_points, tissue_map, tissue_regions
from coseg_bundle.wsi.tissue_files import TissueFile, write_pyramid, write_regions

_ROWS = 50_000
"""Nuclei that are written together."""

_DENSITY_UM = 64.0
"""Side of the squares that nuclei are counted in for the overview."""


@dataclass
class _Statistics:
    """Sums over nuclei: as many numbers as there are classes and squares of the overview."""

    by_class: NDArray[np.int64]
    by_tissue: NDArray[np.int64]
    density: NDArray[np.int64]
    area_um2: float = 0.0
    bounds: list[float] = field(default_factory=lambda: [np.inf, np.inf, -np.inf, -np.inf])

    @property
    def nuclei(self) -> int:
        return int(self.by_class.sum())


class Merger:
    """Writes the results of a job whose steps are all done.

    Args:
        job: The job.
        reader: Its slide, for the overview.
    """

    def __init__(self, job: Job, reader: SlideReader) -> None:
        self.job, self.reader = job, reader
        self.tissue_classes = ClassMap(job.plan.tissue_classes)
        self.nuclei_classes = ClassMap(job.plan.nuclei_classes)
        self.tissue_px = TISSUE_STEP * job.scale  # pixels of level 0 per pixel of the tissue map
        self.tissue_mpp = TISSUE_STEP * job.plan.network_mpp
        height, width = job.layout.tissue_size
        self.tissue_plane = Box(0, 0, width, height)

    def run(self) -> dict[str, Any]:
        """Writes every file, the summary last, and removes the journal; returns the summary.

        Files are made in the journal's folder and moved when all are there. A run that is killed while they move makes
        them again.
        """
        staging = self.job.work / "results"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        tissue = self._tissue()
        areas = np.zeros(len(self.tissue_classes))
        regions = self._counted(self._regions(tissue), areas)
        write_regions(staging / "tissue.geojson", regions, self.tissue_classes, self.job.plan.slide)
        write_pyramid(staging / "tissue.ome.tif", tissue, self.tissue_mpp, self.job.plan.slide)
        statistics = self._nuclei(staging, tissue)
        cell = _DENSITY_UM / self.job.plan.mpp
        overview = draw_overview(self.reader, tissue, self.tissue_classes, statistics.density, cell, _DENSITY_UM)
        Image.fromarray(overview).save(staging / "overview.png")
        summary = self._summary(statistics, areas)
        (staging / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        for path in sorted(staging.iterdir(), key=lambda path: (path.name == SUMMARY, path.name)):
            os.replace(path, self.job.folder / path.name)
        shutil.rmtree(self.job.work, ignore_errors=True)
        return summary

    def _tissue(self) -> TissueFile:
        """The slide's tissue map, in a file."""
        plane = self.tissue_plane
        result = TissueFile(self.job.work / "tissue", plane.height, plane.width)
        for piece in TileGrid(plane.width, plane.height, PIECE_PX, 0):
            core = piece.core
            if not self._any_tile(core):
                continue
            found = tissue_map(self.job.layout, self._tissue_maps, core, self.job.plan.min_tissue_area_px)
            mask = self._foreground(core)
            result.write(core, np.where(mask, found, 0).astype(np.uint8))
        return result

    def _foreground(self, box: Box) -> NDArray[np.bool_]:
        """The foreground's mask in a box of the tissue map."""
        mask, plane = self.job.foreground_mask, self.tissue_plane
        rows = (np.arange(box.y0, box.y1) * 2 + 1) * mask.shape[0] // (2 * plane.height)
        columns = (np.arange(box.x0, box.x1) * 2 + 1) * mask.shape[1] // (2 * plane.width)
        return np.asarray(mask[rows[:, None], columns])

    def _tissue_maps(self, tile: int) -> TileMaps | None:
        return self.job.maps(tile, fine=False)

    def _any_tile(self, core: Box) -> bool:
        box = Box(*(side * TISSUE_STEP for side in core))
        return not self.job.foreground.isdisjoint(self.job.layout.tiles(box))

    def _regions(self, tissue: TissueFile) -> Iterator[TissueRegion]:
        return tissue_regions(tissue.read, self.tissue_plane, self.tissue_px, self.tissue_mpp)

    @staticmethod
    def _counted(regions: Iterator[TissueRegion], areas: NDArray[np.float64]) -> Iterator[TissueRegion]:
        for region in regions:
            areas[region.tissue_id] += region.area_um2
            yield region

    def _nuclei(self, staging: Path, tissue: TissueFile) -> _Statistics:
        """Writes nuclei.parquet and nuclei.geojson, side by side."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        cell = _DENSITY_UM / self.job.plan.mpp
        squares = [int(np.ceil(side / cell)) for side in self.job.plan.size_xy[::-1]]
        statistics = _Statistics(
            np.zeros(len(self.nuclei_classes), np.int64),
            np.zeros(len(self.tissue_classes), np.int64),
            np.zeros(squares, np.int64),
        )
        features = NucleiFeatures(self.job.plan.slide, self.nuclei_classes, self.tissue_classes)
        with (
            pq.ParquetWriter(staging / "nuclei.parquet", schema(), compression="zstd", store_schema=False) as parquet,
            (staging / "nuclei.geojson").open("wb") as geojson,
        ):
            geojson.write(b'{"type":"FeatureCollection","features":[')
            separator = b"\n"
            for tables in _grouped(self._tables(tissue, statistics, cell)):
                rows = pa.concat_tables(tables).combine_chunks()
                parquet.write_table(rows, row_group_size=_ROWS)
                for start in range(0, rows.num_rows, 10_000):
                    lines = features.lines(rows.slice(start, 10_000).combine_chunks())
                    geojson.write(separator + ",\n".join(lines.to_pylist()).encode())
                    separator = b",\n"
            geojson.write(b"\n]}\n")
            bounds = statistics.bounds if statistics.nuclei else None
            parquet.add_key_value_metadata(geo_metadata(bounds))
        return statistics

    def _tables(self, tissue: TissueFile, statistics: _Statistics, cell: float) -> Iterator[Any]:
        """The rows of one piece after the other, with what the tissue map says about them."""
        import shapely

        margin = int(np.ceil(LARGEST_DISTANCE_UM / self.tissue_mpp)) + 2
        for index in sorted(self.job.done()[1]):
            piece = read_piece(self.job.piece_file(index))
            if not piece.num_rows:
                continue
            points = np.stack([piece["x"].to_numpy(), piece["y"].to_numpy()], axis=1)
            in_map = points / self.tissue_px
            low, high = np.floor(in_map.min(0)).astype(int), np.ceil(in_map.max(0)).astype(int)
            window = Box(*low, *high).grown(margin).intersection(self.tissue_plane)
            around = tissue.read(window)
            ids, border = at_points(around, in_map - np.array([window.x0, window.y0]), self.tissue_mpp)
            yield to_columns(piece, statistics.nuclei + 1, ids, border, self.nuclei_classes, self.tissue_classes)
            statistics.by_class += np.bincount(piece["type_id"].to_numpy(), minlength=len(self.nuclei_classes))
            statistics.by_tissue += np.bincount(ids, minlength=len(self.tissue_classes))
            columns, rows = np.minimum(points / cell, np.array(statistics.density.shape[::-1]) - 1).astype(int).T
            np.add.at(statistics.density, (rows, columns), 1)
            statistics.area_um2 += float(piece["area_um2"].to_numpy().sum())
            x0, y0, x1, y1 = shapely.total_bounds(shapely.from_wkb(piece["geometry"].to_numpy(zero_copy_only=False)))
            old = statistics.bounds
            statistics.bounds = [min(old[0], x0), min(old[1], y0), max(old[2], x1), max(old[3], y1)]

    def _summary(self, statistics: _Statistics, areas: NDArray[np.float64]) -> dict[str, Any]:
        plan, job = self.job.plan, self.job
        failures = {tile: reason for tile in job.tiles if (reason := job.failure(tile))}
        nuclei = statistics.nuclei
        return {
            "slide": plan.slide,
            "width_px": plan.size_xy[0],
            "height_px": plan.size_xy[1],
            "mpp": plan.mpp,
            "network_mpp": plan.network_mpp,
            "nuclei": nuclei,
            "nuclei_by_class": dict(zip(plan.nuclei_classes[1:], statistics.by_class[1:].tolist(), strict=True)),
            "nuclei_by_tissue": dict(zip(plan.tissue_classes, statistics.by_tissue.tolist(), strict=True)),
            "nuclei_area_um2_mean": round(statistics.area_um2 / nuclei, 3) if nuclei else None,
            "tissue_area_um2": dict(zip(plan.tissue_classes[1:], areas[1:].round(1).tolist(), strict=True)),
            "tissue_map_mpp": self.tissue_mpp,
            "tiles": len(job.grid),
            "tiles_with_tissue": len(job.tiles),
            "unreadable_tiles": [self._place(tile, reason) for tile, reason in sorted(failures.items())],
            "settings": {
                k: plan.to_json()[k] for k in ("tile_px", "halo_px", "batch_size", "nuclei", "min_tissue_area_px")
            },
            "precision": plan.inference["precision"],
            "weights": plan.weights,
            "weights_sha256": plan.weights_sha256,
            "versions": {"python": platform.python_version(), "coseg-bundle": plan.version}
            | {name: version(name) for name in ("torch", "monai", "sam2", "pyarrow", "shapely")},
        }

    def _place(self, tile: int, reason: str) -> dict[str, Any]:
        core = self.job.grid[tile].core
        x, y, width, height = (round(v * self.job.scale) for v in (core.x0, core.y0, core.width, core.height))
        return {"x": x, "y": y, "width": width, "height": height, "reason": reason}


def _grouped(tables: Iterator[Any]) -> Iterator[list[Any]]:
    """Tables in lists of at least `_ROWS` rows."""
    group: list[Any] = []
    for table in tables:
        group.append(table)
        if sum(t.num_rows for t in group) >= _ROWS:
            yield group
            group = []
    if group:
        yield group

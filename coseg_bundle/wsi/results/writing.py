"""From the journal to the results. Everything streams: memory does not grow with the slide or its nuclei."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle.writers.summary import FILES, MADE_FROM, SUMMARY, doubts, sizes_in, versions
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.results.nuclei_files import DENSITY_UM, NucleiStatistics, write_nuclei
from coseg_bundle.wsi.results.nuclei_rows import CSV, PARQUET
from coseg_bundle.wsi.results.overview import draw_overview
from coseg_bundle.wsi.results.regions_file import write_regions_of_interest
from coseg_bundle.wsi.results.tissue_files import keep_regions, stitch_tissue, write_pyramid, write_regions
from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.segment.foreground import UNSCANNED, shares, with_missing
from coseg_bundle.wsi.segment.tissue import tissue_regions

FOREGROUND = "foreground.tif"
"""What there is over the slide, as numbers; `foreground.png` is its picture."""

OF_TASK = {"nuclei": (PARQUET, CSV, "nuclei.geojson"), "tissue": ("tissue.ome.tif", "tissue.geojson")}
"""Files that are left out where nobody taught the network the task."""


def write_slide_results(journal: Journal, reader: SlideReader) -> dict[str, Any]:
    """Writes every file, the summary last, and removes the journal; returns the summary.

    Files are made in the journal's folder and moved when all are there. A run that is killed while they move makes them
    again.

    Args:
        journal: The run, all of its steps done.
        reader: Its slide, for the overview.
    """
    plan = journal.plan
    staging = journal.work / "results"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    tissue_classes, _ = plan.result_classes
    tissue = stitch_tissue(journal)
    statistics = write_nuclei(staging, journal, tissue)
    keep_regions(journal, tissue)
    plane, pixel, mpp = journal.tissue_plane, journal.tissue_px, journal.tissue_mpp
    regions = tissue_regions(tissue.read, plane, pixel, mpp, plan.size_xy)
    areas = write_regions(staging / "tissue.geojson", regions, tissue_classes, plan.slide, plan.place)
    corner_um = (plan.origin_xy[0] * plan.mpp, plan.origin_xy[1] * plan.mpp)
    write_pyramid(staging / "tissue.ome.tif", tissue, journal.tissue_mpp, plan.slide, corner_um)
    overview = draw_overview(reader, tissue, tissue_classes, statistics.density, statistics.cell_px, DENSITY_UM, plan.untrained)
    Image.fromarray(overview).save(staging / "overview.png")
    kinds = with_missing(journal.kinds, reader)
    tifffile.imwrite(staging / FOREGROUND, kinds, compression="deflate", metadata=None)
    summary = _summary(journal, reader, statistics, areas, kinds)
    if plan.regions_of_interest is not None:
        summary["regions"] = write_regions_of_interest(
            staging, plan.regions_of_interest, statistics.by_region.tolist(), plan.mpp, plan.place
        )
    for name in (name for task in plan.untrained for name in OF_TASK.get(task, ())):
        for path in (staging / name, journal.folder / name):
            path.unlink(missing_ok=True)
    summary[FILES] = sizes_in(staging, sorted(path.name for path in staging.iterdir() if path.suffix != ".png"))
    (staging / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for name in (PARQUET, CSV):  # of a former run, perhaps of another installation
        if not (staging / name).is_file():
            (journal.folder / name).unlink(missing_ok=True)
    for path in sorted(staging.iterdir(), key=lambda path: (path.name == SUMMARY, path.name)):
        os.replace(path, journal.folder / path.name)
    shutil.rmtree(journal.work, ignore_errors=True)
    return summary


def _summary(
    journal: Journal,
    reader: SlideReader,
    statistics: NucleiStatistics,
    areas: NDArray[np.float64],
    kinds: NDArray[np.uint8],
) -> dict[str, Any]:
    plan = journal.plan
    failures = {tile: reason for tile in journal.tiles if (reason := journal.failure(tile))}
    nuclei, (tissue_classes, nuclei_classes) = statistics.nuclei, plan.result_classes
    return {
        "slide": plan.slide,
        "width_px": plan.size_xy[0],
        "height_px": plan.size_xy[1],
        "mpp": plan.mpp,
        "network_mpp": plan.network_mpp,
        **plan.place,
        "read_as": list(reader.notes),
        "unscanned": _unscanned(reader, kinds),
        "nuclei": nuclei,
        "nuclei_by_class": dict(zip(nuclei_classes.names[1:], statistics.by_class[1:].tolist(), strict=True)),
        "nuclei_by_tissue": dict(zip(tissue_classes.names, statistics.by_tissue.tolist(), strict=True)),
        "nuclei_area_um2_mean": round(statistics.area_um2 / nuclei, 3) if nuclei else None,
        "doubts": doubts(nuclei, statistics.middle_area_um2, plan.mpp, reader.stated_mpp),
        "tissue_area_um2": dict(zip(tissue_classes.names[1:], areas[1:].round(1).tolist(), strict=True)),
        "untrained": list(plan.untrained),
        "tissue_map_mpp": journal.tissue_mpp,
        "thumbnail": shares(kinds),
        "tiles": len(journal.grid),
        "tiles_with_tissue": len(journal.tiles),
        "unreadable_tiles": [_place(journal, tile, reason) for tile, reason in sorted(failures.items())],
        "precision": plan.inference["precision"],
        "weights": plan.weights,
        "weights_sha256": plan.weights_sha256,
        MADE_FROM: plan.record(),
        "versions": versions("coseg-bundle", "torch", "monai", "onnxruntime", "pyarrow", "shapely")
        | {"coseg-bundle": plan.version},
    }


def _unscanned(reader: SlideReader, kinds: NDArray[np.uint8]) -> dict[str, Any]:
    """What the file does not hold, and what its thumbnail shows as filled in."""
    fraction = float((kinds == UNSCANNED).mean())
    area = reader.size_xy[0] * reader.size_xy[1] * reader.mpp**2
    return {
        "missing_tiles": reader.missing_tiles,
        "fraction": round(fraction, 4),
        "area_um2": round(fraction * area, 1),
    }


def _place(journal: Journal, tile: int, reason: str) -> dict[str, Any]:
    core = journal.grid[tile].core
    x, y, width, height = (round(v * journal.scale) for v in (core.x0, core.y0, core.width, core.height))
    return {"x": x, "y": y, "width": width, "height": height, "reason": reason}

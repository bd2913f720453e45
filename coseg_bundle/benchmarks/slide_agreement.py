"""The real slide, cut twice into tiles that are shifted by half a core: do the same nuclei come out?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import shapely
import torch
from numpy.typing import NDArray

from coseg_bundle.benchmarks.timing import row
from coseg_bundle.inferers import Predictor
from coseg_bundle.wsi.reader import open_slide
from coseg_bundle.wsi.regions import segment_region


def lines(halos: tuple[int, ...] = (64, 128, 160)) -> Iterator[str]:
    """The section, halo by halo."""
    torch.set_num_threads(1)
    yield "\nTwo tilings of 0.12 mm2 of the real slide, shifted by half a core in x and y; tiles of 512 px"
    predictor = Predictor.from_bundle(tile_size=512)
    with open_slide(os.path.join(os.environ["COSEG_DATA"], "slides", "cmu-1-small-region.svs")) as reader:
        box = (700, 900, 700, 700)
        for halo in halos:
            offsets = (0, (512 - 2 * halo) // 8 * 4)
            tables = [
                segment_region(reader, predictor, box, halo_px=halo, offset_px=offset).nuclei for offset in offsets
            ]
            matched, first, second = same_nuclei(tables[0].polygons, tables[1].polygons)
            inside = sum(same_nuclei(table.polygons, table.polygons, 0.0)[0] - len(table) for table in tables)
            yield row(
                f"halo {halo} px: nuclei of both, F1 at IoU 0.5 (at least 0.97)",
                str(first),
                str(second),
                f"{2 * matched / (first + second):.4f}",
            )
            yield row("pairs of nuclei of one tiling that share area (0)", str(inside // 2))


def same_nuclei(a: NDArray[Any], b: NDArray[Any], iou: float = 0.5) -> tuple[int, int, int]:
    """Pairs of polygons of two arrays that overlap by more than `iou`, and the numbers of polygons."""
    first, second = shapely.STRtree(b).query(a, predicate="intersects")
    both = shapely.area(shapely.intersection(a[first], b[second]))
    either = shapely.area(a[first]) + shapely.area(b[second]) - both
    return int((both > iou * either).sum()), len(a), len(b)

"""The real slide, cut twice into tiles that are shifted by half a core: do the same nuclei come out?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import shapely
import torch
from numpy.typing import NDArray

from coseg_bundle.benchmarks.timing import row
from coseg_bundle.inferers import Predictor
from coseg_bundle.precision import resolve
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.segment.regions import segment_region

TILINGS = ((1088, 32), (1088, 32, 300), (1152, 64), (1024, 256))
"""Side of a tile, halo and shift, px; the shift is half a core where none is given. Where it is a multiple of 128 the
windows of attention stay where they are, but for the coarsest, of 256 px."""


def lines(
    tilings: Sequence[tuple[int, ...]] = TILINGS, box_xywh: tuple[float, float, float, float] | None = None
) -> Iterator[str]:
    """The section, tiling by tiling; about half an hour for the whole slide, less for a box of it (px of level 0)."""
    torch.set_num_threads(1)
    precision = resolve("auto", "cuda" if torch.cuda.is_available() else "cpu")
    yield "\nTwo tilings of the real slide, shifted in x and y: nuclei of both, F1 at IoU 0.5"
    yield row("precision", str(precision))
    with open_slide(os.path.join(os.environ["COSEG_DATA"], "slides", "cmu-1-small-region.svs")) as reader:
        for tile, halo, *given in tilings:
            predictor = Predictor.from_bundle(tile_size=tile, precision=precision)
            shift = given[0] if given else (tile - 2 * halo) // 8 * 4
            box = box_xywh or (0, 0, *reader.size_xy)
            tables = [
                segment_region(reader, predictor, box, tile_px=tile, halo_px=halo, offset_px=offset).nuclei
                for offset in (0, shift)
            ]
            matched, first, second = same_nuclei(tables[0].polygons, tables[1].polygons)
            inside = sum(same_nuclei(table.polygons, table.polygons, 0.0)[0] - len(table) for table in tables)
            share = f"{2 * matched / (first + second):.4f}"
            what = f"tiles of {tile} px, halo {halo} px, shifted by {shift} px (at least 0.97)"
            yield row(what, str(first), str(second), share)
            yield row("pairs of nuclei of one tiling that share area (0)", str(inside // 2))


def same_nuclei(a: NDArray[Any], b: NDArray[Any], iou: float = 0.5) -> tuple[int, int, int]:
    """Pairs of polygons of two arrays that overlap by more than `iou`, and the numbers of polygons."""
    first, second = shapely.STRtree(b).query(a, predicate="intersects")
    both = shapely.area(shapely.intersection(a[first], b[second]))
    either = shapely.area(a[first]) + shapely.area(b[second]) - both
    return int((both > iou * either).sum()), len(a), len(b)

"""How well polygons survive the way to a label map and back: drawn, painted, traced, compared.

python scripts/trace_back.py NUCLEI.geojson ...
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.polygons import paint_instances, polygon_pixels
from coseg_bundle.postprocessing.contours import trace_rings


def geometry(rings: Iterable[NDArray[Any]]) -> Any:
    """What the rings enclose by the even-odd rule."""
    whole = shapely.Polygon()
    for ring in rings:
        whole = whole.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
    return whole


def compare(path: str, side: int, min_area_px: float) -> tuple[NDArray[np.float64], NDArray[np.bool_], float, int]:
    """IoU of each nucleus, whether another covers part of it, area traced / drawn of the others, nuclei in the map."""
    regions, shape = read_annotations(path).regions, (side, side)
    instance_map, _ = paint_instances([r.rings_xy for r in regions], [r.area_px for r in regions], shape)
    traced = defaultdict(list)
    for ring in trace_rings(instance_map):
        traced[ring.label].append(ring.points_xy)
    visible = np.bincount(instance_map.ravel(), minlength=len(regions) + 1)
    rows = []
    for number, region in enumerate(regions, start=1):
        drawn = geometry(region.rings_xy).intersection(shapely.box(0, 0, side, side))
        back = geometry(traced[number])
        covered = visible[number] < len(polygon_pixels(region.rings_xy, shape)[0])
        if drawn.area >= min_area_px:
            rows.append((drawn.intersection(back).area / drawn.union(back).area, covered, drawn.area, back.area))
    iou, covered, area, area_back = np.array(rows).T
    free = covered == 0
    return iou, ~free, area_back[free].sum() / area[free].sum(), int((visible[1:] > 0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--side", type=int, default=1024, help="of the region, px (default: 1024)")
    parser.add_argument("--min-area-px", type=float, default=30, help="(default: 30)")
    arguments = parser.parse_args()
    print(
        "| file | polygons | in the map | covered in part | mean IoU | IoU > 0.97, not covered | area traced / drawn |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for path in arguments.files:
        iou, covered, area, found = compare(path, arguments.side, arguments.min_area_px)
        count = len(read_annotations(path).regions)
        good = f"{(iou[~covered] > 0.97).sum()} of {(~covered).sum()}"
        name = path.rsplit("/", 1)[-1]
        print(f"| {name} | {count} | {found} | {covered.sum()} | {iou.mean():.4f} | {good} | {area:.4f} |")


if __name__ == "__main__":
    main()

"""How well nuclei survive the way to a label map and back: drawn, painted, traced, compared.

python scripts/trace_back.py NUCLEI.geojson ... [--oversample N]

Each nucleus is compared with what of it is visible: its polygon without those painted over it. One with less than
--min-area-px of that is counted among the polygons, but not compared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.evaluation.trace_back import trace_back

GOAL_IOU = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--side", type=int, default=1024, help="of the region, px (default: 1024)")
    parser.add_argument("--min-area-px", type=float, default=30, help="of what is visible (default: 30)")
    parser.add_argument("--oversample", type=int, default=1, metavar="N", help="finer maps, N x N (default: 1)")
    arguments = parser.parse_args()
    print("| file | drawn | came back | compared | covered in part | min IoU | mean IoU | IoU > 0.97 | area back |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for path in arguments.files:
        annotations = read_annotations(path)
        back = trace_back(annotations.regions, (arguments.side, arguments.side), arguments.oversample)
        drawn, found = len(annotations.regions) + len(annotations.skipped), np.count_nonzero(back.traced_px)
        chosen = back.visible_px >= arguments.min_area_px
        iou, area = back.iou[chosen], back.traced_px[chosen].sum() / back.visible_px[chosen].sum()
        print(
            f"| {path.stem} | {drawn} | {found} | {iou.size} | {back.covered[chosen].sum()} | {iou.min():.4f} | "
            f"{iou.mean():.4f} | {np.count_nonzero(iou > GOAL_IOU)} | {area:.4f} |"
        )


if __name__ == "__main__":
    main()

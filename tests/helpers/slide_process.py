"""Runs a slide with the stand-in network in a process of its own, to be killed: SLIDE FOLDER local|ray COUNT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def main(slide: str, folder: str, kind: str, count: str) -> None:
    from standin import predictor

    from coseg_bundle.wsi.pipeline import run_slides
    from coseg_bundle.wsi.run.workers import LocalWorkers, roles

    if kind == "ray":
        from coseg_bundle.wsi.run.ray_workers import RayWorkers

        workers = RayWorkers(predictor, int(count))
    else:
        workers = LocalWorkers(predictor, roles(int(count), int(count), gpu=False))
    sizes = {"tile_px": 256, "halo_px": 32, "batch_size": 3}
    [result] = run_slides([Path(slide)], [Path(folder)], workers, predictor(), resume=True, **sizes)
    workers.close()
    if result.error:
        sys.exit(result.error)


if __name__ == "__main__":
    main(*sys.argv[1:])

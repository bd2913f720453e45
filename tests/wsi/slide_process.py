"""Runs a slide with the stand-in network in a process of its own, to be killed: SLIDE FOLDER ENGINE WORKERS."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "postprocessing")]


def main(slide: str, folder: str, engine_name: str, workers: str) -> None:
    from standin import predictor

    from coseg_bundle.wsi.engines import LocalEngine, roles
    from coseg_bundle.wsi.runner import run_slides

    if engine_name == "ray":
        from coseg_bundle.wsi.ray_engine import RayEngine

        engine = RayEngine(predictor, int(workers))
    else:
        engine = LocalEngine(predictor, roles(int(workers), int(workers), gpu=False))
    sizes = {"tile_px": 256, "halo_px": 32, "batch_size": 3}
    [result] = run_slides([Path(slide)], [Path(folder)], engine, predictor(), resume=True, **sizes)
    engine.close()
    if result.error:
        sys.exit(result.error)


if __name__ == "__main__":
    main(*sys.argv[1:])

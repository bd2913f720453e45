"""Measures `coseg view` in a real Chromium: a generated slide with many nuclei, opened, moved, zoomed.

    python scripts/measure_view.py --nuclei 1000000 --folder runs/view

Prints seconds until the page can be used, milliseconds of each step, and the memory of browser and server. A step ends
when its picture is complete: all tiles and outlines are there and drawn. Beside the time stands what the processors
worked for it, in server and browser: where other programs run too, that is what can be compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from chromium import Chromium  # noqa: E402  (beside the tests)

MPP, TILE = 0.25, 1024
PER_MM2 = 5000
CORNERS = 20


def write_results(folder: Path, count: int, seed: int = 0) -> Path:
    """A slide of `count` nuclei and its results, as `coseg slide` writes them; made once."""
    import pyarrow.parquet as pq
    import shapely

    from coseg_bundle.classes import ClassMap
    from coseg_bundle.writers.nuclei_table import geo_metadata, nuclei_columns, schema

    results = folder / f"{count}.tif"
    if (results / "summary.json").is_file():
        return results
    results.mkdir(parents=True, exist_ok=True)
    side = TILE * int(np.ceil((count / PER_MM2) ** 0.5 * 1000 / MPP / TILE))
    types = ClassMap(("background", "tumour", "stroma", "inflammatory", "other"))
    tissues = ClassMap(("background", "tumour region", "stroma region"))
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    with pq.ParquetWriter(results / "nuclei.parquet", schema(), compression="zstd", store_schema=False) as file:
        first = 1
        for strip in np.array_split(np.arange(count), max(1, count // 10_000)):
            n = len(strip)
            x, y = rng.uniform(20, side - 20, n), rng.uniform(strip[0], strip[-1] + 1, n) / count * (side - 40) + 20
            radius = rng.uniform(8, 22, n)
            shape = 1 + 0.15 * np.cos(2 * angles + rng.uniform(0, 6, (n, 1)))
            rings = np.stack([np.cos(angles), np.sin(angles)], -1) * (radius[:, None] * shape)[..., None]
            rings += np.stack([x, y], -1)[:, None]
            zone = (np.sin(x / 4000) + np.cos(y / 5000) > 0).astype(np.int64)
            columns = {
                "id": first + np.arange(n),
                "geometry": shapely.polygons(rings),
                "x": x,
                "y": y,
                "area_um2": (np.pi * radius**2 * MPP**2).astype(np.float32),
                **{f"{name}_prob": rng.beta(8, 2, n).astype(np.float32) for name in ("type", "nuclei")},
                "disagreement": rng.beta(1, 9, n).astype(np.float32),
                "tissue_border_um": rng.uniform(0, 250, n).astype(np.float32),
            }
            type_id = np.where(rng.random(n) < 0.6, 1 + zone, rng.integers(1, 5, n))
            file.write_table(nuclei_columns(columns, type_id, 1 + zone, types, tissues))
            first += n
        file.add_key_value_metadata(geo_metadata(None))
    grid = np.arange(0, side * MPP)
    zone = (np.sin(grid[None] / MPP / 4000) + np.cos(grid[:, None] / MPP / 5000) > 0).astype(np.uint8) + 1
    tifffile.imwrite(results / "tissue.ome.tif", zone, tile=(512, 512), compression="deflate")
    (results / "tissue.geojson").write_text('{"type":"FeatureCollection","features":[]}')
    slide = write_pyramid(folder / "slides" / f"{count}.tif", side)
    summary = {
        "slide": str(slide),
        "width_px": side,
        "height_px": side,
        "mpp": MPP,
        "network_mpp": MPP,
        "tissue_map_mpp": 1.0,
        "nuclei": count,
        "nuclei_by_class": dict.fromkeys(types.names[1:], 0),
        "nuclei_by_tissue": dict.fromkeys(tissues.names, 0),
        "weights": None,
        "weights_sha256": None,
    }
    (results / "summary.json").write_text(json.dumps(summary))
    return results


def write_pyramid(path: Path, side: int) -> Path:
    """A tiled JPEG pyramid with the same noisy tile everywhere; made once."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    noise = np.kron(rng.normal(0, 25, (TILE // 16, TILE // 16, 3)), np.ones((16, 16, 1)))
    tile = np.clip(np.array([225, 175, 205]) + noise + rng.normal(0, 6, (TILE, TILE, 3)), 0, 255).astype(np.uint8)
    levels = int(np.log2(side / TILE)) + 1
    options = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "jpeg", "dtype": np.uint8}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(levels):
            length = side >> level
            tiles = (tile for _ in range((-(-length // TILE)) ** 2))
            more = {"subifds": levels - 1} if level == 0 else {"subfiletype": 1}
            per_cm = 1e4 / (MPP * 2**level)
            resolution = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
            file.write(tiles, shape=(length, length, 3), **options, **resolution, **more)
    return path


def memory_mb(process: psutil.Process) -> int:
    """Proportional memory of a process and its children, MB."""
    return round(sum(p.memory_full_info().pss for p in [process, *process.children(recursive=True)]) / 1e6)


def worked(*processes: psutil.Process) -> list[float]:
    """Milliseconds that the processors worked for processes and their children, so far."""
    found = []
    for process in processes:
        times = [p.cpu_times() for p in [process, *process.children(recursive=True)]]
        found.append(1000 * sum(t.user + t.system for t in times))
    return found


STEP = """(async () => {{
  const start = performance.now();
  await ({change});
  app.draw();
  await new Promise((done) => {{
    const look = () => (!app.scheduled && app.painter.complete ? done() : requestAnimationFrame(look));
    requestAnimationFrame(look);
  }});
  return [performance.now() - start, app.lastDraw];
}})()"""


STEPS = (
    ("move, all of it seen", "app.camera.move(40, 25)"),
    ("zoom in by a half", "app.camera.zoom(1.5)"),
    ("zoom out by a half", "app.camera.zoom(1 / 1.5)"),
    ("move at 0.25 px/px", "app.camera.scale = 0.25, app.camera.move(60, 40)"),
    ("move at 0.4 px/px, outlines", "app.camera.scale = 0.4, app.camera.move(60, 40)"),
    ("move at 1 px/px, outlines", "app.camera.scale = 1, app.camera.move(60, 40)"),
    ("sort the table", "app.table.sortedBy = 'disagreement', app.order()"),
    ("colour by disagreement", "app.nuclei.colourBy = 'disagreement', app.recolour()"),
)
REPEATS = 8


def look(browser: Chromium, address: str, server: psutil.Process) -> None:
    """Opens the page, moves, zooms, sorts; prints what it takes."""
    both = server, psutil.Process(browser.process.pid)
    before, start = worked(*both), time.perf_counter()
    browser.open(address)
    browser.wait("document.body.dataset.ready")
    usable, after = time.perf_counter() - start, worked(*both)
    work = [(b - a) / 1000 for a, b in zip(before, after, strict=True)]
    print(
        f"usable after {usable:.2f} s; processors worked {work[0]:.2f} s in the server, {work[1]:.2f} s in the browser"
    )
    browser.wait("app.painter.complete")
    print(f"complete after {time.perf_counter() - start:.2f} s")
    for name, change in STEPS:
        times, works = [], []
        for _ in range(REPEATS if "move" in name or "zoom" in name else 1):
            before = worked(*both)
            times.append(browser.run(STEP.format(change=change)))
            works.append([b - a for a, b in zip(before, worked(*both), strict=True)])
        whole, drawn = ([time[i] for time in times] for i in (0, 1))
        of_server, of_browser = ([work[i] for work in works] for i in (0, 1))
        print(
            f"{name}: complete after {statistics.median(whole):.0f} ms ({min(whole):.0f} to {max(whole):.0f}), "
            f"drawn in {statistics.median(drawn):.0f} ms; worked {statistics.median(of_server):.0f} ms in the server "
            f"(at most {max(of_server):.0f}), {statistics.median(of_browser):.0f} ms in the browser "
            f"(at most {max(of_browser):.0f})"
        )
    print(f"memory: browser {memory_mb(both[1])} MB, server {memory_mb(server)} MB")
    print("errors:", browser.complaints() or "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "view")
    arguments = parser.parse_args()
    results = write_results(arguments.folder, arguments.nuclei)
    command = [sys.executable, "-m", "coseg_bundle.cli", "view", "--no-browser", str(results)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as profile:
        try:
            address = server.stdout.readline().split()[0]
            with Chromium(Path(profile) / "profile") as browser:
                look(browser, address, psutil.Process(server.pid))
        finally:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()

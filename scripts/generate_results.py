"""Writes a finished folder of results with as many nuclei as wanted, as `coseg slide` would, without a slide.

python scripts/generate_results.py FOLDER --nuclei 1000000
/usr/bin/time -v coseg measure FOLDER --by grid:250um
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import shapely
import tifffile

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
from coseg_bundle.writers.nuclei_table import geo_metadata, nuclei_columns, schema
from coseg_bundle.wsi.segment.foreground import GLASS, TISSUE

MPP, PER_MM2, PART = 0.25, 4000, 50_000


def tissue_map(side: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Patches of some 200 um, a pixel for each micron."""
    coarse = rng.integers(0, classes, (-(-side // 200),) * 2).astype(np.uint8)
    return np.kron(coarse, np.ones((200, 200), np.uint8))[:side, :side]


def nuclei(
    first: int, count: int, rows: tuple[float, float], width: float, tissue: np.ndarray, rng: np.random.Generator
):
    """A strip of nuclei, px of level 0: ellipses of 36 corners."""
    classes, names = NUCLEI_PRESETS["puma_track2"], TISSUE_PRESETS["puma"]
    x, y = rng.uniform(0, width, count), np.sort(rng.uniform(*rows, count))
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    a, b, turn = rng.uniform(9, 18, count), rng.uniform(7, 12, count), rng.uniform(0, np.pi, count)
    u, v = a[:, None] * np.cos(angle), b[:, None] * np.sin(angle)
    dx = u * np.cos(turn)[:, None] - v * np.sin(turn)[:, None]
    dy = u * np.sin(turn)[:, None] + v * np.cos(turn)[:, None]
    outlines = np.round(np.stack([x[:, None] + dx, y[:, None] + dy], axis=-1), 2)
    place = (np.minimum((y * MPP).astype(int), len(tissue) - 1), np.minimum((x * MPP).astype(int), len(tissue) - 1))
    columns = {
        "id": np.arange(first, first + count),
        "geometry": shapely.polygons(outlines),
        "x": x,
        "y": y,
        "area_um2": np.pi * a * b * MPP**2,
        "type_prob": rng.uniform(0.5, 1, count),
        "nuclei_prob": rng.uniform(0.7, 1, count),
        "disagreement": rng.uniform(0, 0.2, count),
        "tissue_border_um": rng.uniform(0, 100, count),
    }
    return nuclei_columns(columns, rng.integers(1, len(classes), count), tissue[place], classes, names)


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    arguments = parser.parse_args()
    folder, count, rng = arguments.folder, arguments.nuclei, np.random.default_rng(0)
    folder.mkdir(parents=True)
    side = int(np.ceil((count / PER_MM2) ** 0.5 * 1000))  # um, pixels of the tissue map
    width = side / MPP
    tissue = tissue_map(side, len(TISSUE_PRESETS["puma"]), rng)
    tifffile.imwrite(folder / "tissue.ome.tif", tissue, tile=(512, 512), compression="deflate", ome=True)
    kinds = np.full((2048, 2048), TISSUE, np.uint8)
    kinds[:, :100] = GLASS
    tifffile.imwrite(folder / "foreground.tif", kinds, compression="deflate")
    by_class, by_tissue = np.zeros(len(NUCLEI_PRESETS["puma_track2"]), int), np.zeros(len(TISSUE_PRESETS["puma"]), int)
    with pq.ParquetWriter(folder / "nuclei.parquet", schema(), compression="zstd", store_schema=False) as file:
        for start in range(0, count, PART):
            size = min(PART, count - start)
            rows = nuclei(start + 1, size, (start / count * width, (start + size) / count * width), width, tissue, rng)
            by_class += np.bincount(rows["type"].combine_chunks().indices, minlength=len(by_class))
            by_tissue += np.bincount(rows["tissue"].combine_chunks().indices, minlength=len(by_tissue))
            file.write_table(rows)
        file.add_key_value_metadata(geo_metadata((0, 0, width, width)))
    summary = {
        "slide": "generated.svs",
        "width_px": int(width),
        "height_px": int(width),
        "mpp": MPP,
        "network_mpp": MPP,
        "tissue_map_mpp": 1.0,
        "nuclei": count,
        "nuclei_by_class": dict(zip(NUCLEI_PRESETS["puma_track2"].names[1:], by_class[1:].tolist(), strict=True)),
        "nuclei_by_tissue": dict(zip(TISSUE_PRESETS["puma"].names, by_tissue.tolist(), strict=True)),
        "weights": None,
        "weights_sha256": None,
        "made_from": {"kind": "slide", "file": "generated.svs", "content": "none"},
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

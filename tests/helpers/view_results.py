"""Finished results that are worked out by hand, and a service whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tifffile

from coseg_bundle.classes import ClassMap

WIDTH, HEIGHT, MPP = 600, 400, 0.5
TYPES = ClassMap(("background", "tumour", "other"))
TISSUES = ClassMap(("background", "gland"))
HALF = 6


def places() -> np.ndarray:
    """24 nuclei: columns at 50, 150, ... 550, rows at 50, ... 350 px."""
    return np.array([(x, y) for y in range(50, 400, 100) for x in range(50, 600, 100)], float)


def ring(x: float, y: float, half: float = HALF) -> np.ndarray:
    return np.array([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]])


def write_slide_results(folder: Path) -> Path:
    """A slide of 600 x 400 px at 0.5 um: tumour and other nuclei take turns, and the left half is gland."""
    import pyarrow.parquet as pq
    import shapely

    from coseg_bundle.writers.geojson import tissue_line, write_features
    from coseg_bundle.writers.nuclei_table import geo_metadata, nuclei_columns, schema

    results, points = folder / "results" / "slide.tif", places()
    results.mkdir(parents=True)
    rgb = np.full((HEIGHT, WIDTH, 3), (235, 200, 220), np.uint8)
    for x, y in points.astype(int):
        rgb[y - HALF : y + HALF, x - HALF : x + HALF] = (90, 50, 140)
    per_cm = 1e4 / MPP
    slide = folder / "slide.tif"
    tifffile.imwrite(slide, rgb, photometric="rgb", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    number = np.arange(24)
    types, tissue = ((number + number // 6) % 2 + 1).astype(np.int16), (points[:, 0] < 300).astype(np.int16)
    columns = {
        "id": number + 1,
        "geometry": np.array([shapely.Polygon(ring(x, y)) for x, y in points]),
        "x": points[:, 0],
        "y": points[:, 1],
        "area_um2": np.full(24, 36, np.float32),
        "type_prob": (number / 100 + 0.5).astype(np.float32),
        "nuclei_prob": np.full(24, 0.9, np.float32),
        "disagreement": np.where(number == 3, np.nan, number / 24).astype(np.float32),
        "tissue_border_um": np.full(24, 7, np.float32),
    }
    table = nuclei_columns(columns, types, tissue, TYPES, TISSUES)
    with pq.ParquetWriter(results / "nuclei.parquet", schema(), store_schema=False) as file:
        file.write_table(table, row_group_size=10)
        file.add_key_value_metadata(geo_metadata(None))
    tissue_map = np.zeros((100, 150), np.uint8)
    tissue_map[:, :75] = 1
    tifffile.imwrite(results / "tissue.ome.tif", tissue_map)
    gland = shapely.to_geojson(shapely.box(0, 0, 300, 400))
    write_features(results / "tissue.geojson", [tissue_line("a", gland, 1, {"Area um2": 30000.0}, TISSUES)])
    summary = {
        "slide": str(slide),
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "mpp": MPP,
        "network_mpp": MPP,
        "tissue_map_mpp": 2.0,
        "nuclei": 24,
        "nuclei_by_class": {"tumour": 12, "other": 12},
        "nuclei_by_tissue": {"background": 12, "gland": 12},
        "weights": "model.pt",
        "weights_sha256": None,
        "made_from": {"kind": "slide", "file": str(slide)},
    }
    (results / "summary.json").write_text(json.dumps(summary))
    return results


class KnownService:
    """Knows the nuclei of the results until something is drawn; then one tumour nucleus in the middle of each box, and
    gland where it was drawn."""

    def __init__(self) -> None:
        self.queries: list = []
        self.weights_sha256: str | None = None

    def predictor(self) -> SimpleNamespace:
        return SimpleNamespace(
            result_classes=(TISSUES, TYPES), mpp=MPP, weights=Path("known.pt"), weights_sha256=self.weights_sha256
        )

    def segment(self, image: Path, query):
        from coseg_bundle.service.shapes import Answer, Shape

        self.queries.append(query)
        (x, y), (width, height) = query.location, query.size
        rings = [ring(x + width / 2, y + height / 2, 10)] if query.correction else [ring(*at) for at in places()]
        measured = {"Nucleus probability": 0.7, "Disagreement": 0.2}
        shapes = [Shape("nuclei", "tumour", (200, 0, 0), (outline,), 0.8, measured) for outline in rings]
        for feature in (query.correction or {"features": []})["features"]:
            if feature["properties"]["classification"]["name"] == "gland":
                drawn = feature["geometry"]["coordinates"]
                rings = tuple(np.array(one[:-1], float) for one in drawn)
                shapes.append(Shape("tissue", "gland", (0, 160, 135), rings, 0.9))
        return Answer(tuple(shapes), (x, y, width, height), MPP, "known.pt", {"total": 0.1})

"""The journal's file of a piece: its nuclei, as NumPy's arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.wsi.segment.nuclei import NucleiTable

_NUMBERS = ("centroid_xy", "area_um2", "type_id", "type_prob", "nuclei_prob", "disagreement")


def write_piece(path: Path, nuclei: NucleiTable) -> None:
    """Writes a table; of the polygons, which have no holes, the corners and how many each has."""
    import shapely

    points, corners = shapely.get_coordinates(nuclei.polygons), shapely.get_num_coordinates(nuclei.polygons)
    with path.open("wb") as file:
        np.savez(file, points=points, corners=corners, **{name: getattr(nuclei, name) for name in _NUMBERS})


def read_piece(path: Path) -> NucleiTable:
    """Reads what `write_piece` wrote; nothing is known of the tissue."""
    import shapely

    with np.load(path) as file:
        content: dict[str, Any] = {name: file[name] for name in ("points", "corners", *_NUMBERS)}
    corners = content.pop("corners")
    ring, points = np.repeat(np.arange(corners.size), corners), content.pop("points")
    polygons = shapely.polygons(shapely.linearrings(points, indices=ring)) if corners.size else np.empty(0, object)
    content |= {
        "tissue_id": np.full(corners.size, -1, np.int16),
        "tissue_border_um": np.full(corners.size, np.nan, np.float32),
    }
    return NucleiTable(polygons=np.asarray(polygons), **content)

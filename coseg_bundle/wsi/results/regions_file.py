"""The regions of interest of a run as a file, and how many nuclei are in each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coseg_bundle.data.labels.regions import RegionOfInterest
from coseg_bundle.writers.geojson import write_features

REGIONS = "regions.geojson"
"""The regions that a run was limited to, cut at the slide's border."""

_MEASUREMENTS = "Area um2", "Nuclei"


def write_regions_of_interest(
    folder: Path, regions: Sequence[RegionOfInterest], nuclei: Sequence[int], mpp: float, place: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Writes the regions as annotations for QuPath.

    Args:
        folder: Where the file goes.
        regions: The regions.
        nuclei: How many are in each.
        mpp: Microns per pixel of level 0.
        place: Where pixel (0, 0) lies, as `Plan.place`.

    Returns:
        `name`, `class`, `area_um2` (of the polygon, glass and all) and `nuclei` of each, for the summary.
    """
    import shapely

    lines, about = [], []
    for region, count in zip(regions, nuclei, strict=True):
        area = round(region.polygon.area * mpp**2, 1)
        about.append({"name": region.name, "class": region.class_name, "area_um2": area, "nuclei": count})
        kind = {"classification": {"name": region.class_name}} if region.class_name else {}
        measurements = dict(zip(_MEASUREMENTS, (area, count), strict=True))
        properties = {"objectType": "annotation", "name": region.name, **kind, "measurements": measurements}
        geometry = shapely.to_geojson(region.polygon)
        lines.append(f'{{"type":"Feature","geometry":{geometry},"properties":{json.dumps(properties)}}}')
    write_features(folder / REGIONS, lines, place)
    return about


def is_of_a_run(path: Path) -> bool:
    """Whether a file of regions is as a run writes it, where no summary is left to say so.

    Those that `coseg view`, QuPath and others save have ids, other measurements, or no word on where (0, 0) lies.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        measured = [tuple(feature["properties"]["measurements"]) for feature in content["features"]]
        return "coseg" in content and "id" not in content["features"][0] and {*measured} == {_MEASUREMENTS}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False

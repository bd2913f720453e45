"""The PUMA challenge's files (grand-challenge): written, read back, and checked against the platform's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS, ClassMap
from coseg_bundle.data.listing import listed
from coseg_bundle.data.puma import ROI_SIZE, Track
from coseg_bundle.postprocessing.instances import InstanceTable

NUCLEI_FILE = {1: "melanoma-3-class-nuclei-segmentation.json", 2: "melanoma-10-class-nuclei-segmentation.json"}
TISSUE_FOLDER = Path("images", "melanoma-tissue-mask-segmentation")
INPUT_FOLDER = Path("images", "melanoma-wsi")

_Z = 0.5
"""Third coordinate of every point; the platform's polygons lie in a plane of a volume."""

_RESOLUTION_TAGS = (300, 300)


def write_nuclei(path: Path, table: InstanceTable, classes: ClassMap) -> None:
    """Writes nuclei as the platform's "Multiple polygons".

    Args:
        path: JSON file.
        table: Nuclei with classes; a row's score is its type probability times its nuclei probability.
        classes: Nuclei classes, background first.
    """
    content = {
        "type": "Multiple polygons",
        "polygons": [_polygon(table, row, classes) for row in range(len(table))],
        "version": {"major": 1, "minor": 0},
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _polygon(table: InstanceTable, row: int, classes: ClassMap) -> dict[str, Any]:
    score = float(np.nan_to_num(table.type_prob[row], nan=1.0) * np.nan_to_num(table.nuclei_prob[row], nan=1.0))
    x, y = table.centroid_xy[row].tolist()
    return {
        "name": classes.name_of(int(table.type_id[row])),
        "seed_point": [x, y, _Z],
        "path_points": [[float(px), float(py), _Z] for px, py in table.contours_xy[row]],
        "sub_type": "",
        "groups": [],
        "probability": score,  # the platform's schema
        "score": score,  # the challenge's evaluator
    }


def write_tissue(path: Path, tissue_map: NDArray[np.uint8]) -> None:
    """Writes a tissue map `(H, W)` as the platform wants it: 8 bits, 300 x 300 dpi, sample value tags from 1 on."""
    import tifffile

    sample_values = [(280, "H", 1, 1, True), (281, "H", 1, max(1, int(tissue_map.max(initial=0))), True)]
    with whole_file(path) as partial:
        tifffile.imwrite(
            partial,
            tissue_map,
            photometric="minisblack",
            resolution=_RESOLUTION_TAGS,
            resolutionunit="INCH",
            extratags=sample_values,
            metadata=None,
        )


def check_without_results(output: Path) -> None:
    """Keeps the results of two regions apart: the nuclei's file does not say of which one it is.

    Args:
        output: Folder that gets the results of one region; it may not be there yet.

    Raises:
        ValueError: It holds nuclei or tissue of a region, of either track.
    """
    nuclei = [output / name for name in NUCLEI_FILE.values() if (output / name).exists()]
    if there := [*nuclei, *(output / TISSUE_FOLDER).glob("[!.]*.tif*")]:
        raise ValueError(
            f"{output} holds results of a region already ({there[0].relative_to(output)}); give another --output, or "
            "remove them."
        )


def check_submission(output: Path) -> Iterator[str]:
    """Checks a folder that an algorithm wrote for one region against the platform's rules.

    Yields:
        A sentence for each rule that is broken; nothing where all is well.
    """
    nuclei = [output / name for name in NUCLEI_FILE.values() if (output / name).is_file()]
    if len(nuclei) != 1:
        yield f"{output}: expected one of {' and '.join(NUCLEI_FILE.values())}, found {len(nuclei)}."
    for path in nuclei:
        track: Track = 1 if path.name == NUCLEI_FILE[1] else 2
        yield from _check_nuclei(path, NUCLEI_PRESETS[f"puma_track{track}"].names[1:])
    masks = listed(output / TISSUE_FOLDER, (".tif", ".tiff")).files
    if len(masks) != 1:
        yield f"{output / TISSUE_FOLDER}: expected one TIFF, found {len(masks)}."
    for path in masks:
        yield from _check_tissue(path)


def _check_nuclei(path: Path, names: tuple[str, ...]) -> Iterator[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        yield f"{path}: not valid JSON ({error})."
        return
    if not isinstance(content, dict) or content.get("type") != "Multiple polygons":
        yield f'{path}: expected an object with "type": "Multiple polygons".'
        return
    version = content.get("version")
    if not isinstance(version, dict) or not {"major", "minor"} <= set(version):
        yield f'{path}: expected "version": {{"major": 1, "minor": 0}}, got {version!r}.'
    polygons = content.get("polygons")
    if not isinstance(polygons, list):
        yield f"{path}: expected a list under polygons, got {type(polygons).__name__}."
        return
    alike: dict[str, list[int]] = {}
    for number, polygon in enumerate(polygons):
        if fault := _polygon_fault(polygon, names):
            alike.setdefault(fault, []).append(number)
    for fault, (first, *others) in alike.items():
        more = f" and {len(others)} more" if others else ""
        yield f"{path}: polygon {first}{more}: {fault}."


def _polygon_fault(polygon: Any, names: tuple[str, ...]) -> str | None:
    if not isinstance(polygon, dict):
        return "expected an object"
    if polygon.get("name") not in names:
        return f"unknown class {polygon.get('name')!r}; expected one of {', '.join(names)}"
    points = polygon.get("path_points")
    if not isinstance(points, list) or len(points) < 3:
        return "expected at least 3 path_points"
    if not all(_is_point(point) for point in (*points, polygon.get("seed_point"))):
        return "expected points [x, y, 0.5] of finite numbers in path_points and seed_point"
    for key in ("probability", "score"):
        value = polygon.get(key)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            return f"expected a {key} from 0 to 1, got {value!r}"
    return None


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list) and len(point) == 3 and all(isinstance(v, int | float) and abs(v) < 1e9 for v in point)
    )


def _check_tissue(path: Path) -> Iterator[str]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page, array = file.pages[0], file.asarray()
            tags = {tag.name: tag.value for tag in page.tags.values()}
    except Exception as error:  # tifffile and its codecs raise many kinds
        yield f"{path}: not readable as a TIFF ({error})."
        return
    if array.dtype != np.uint8 or array.ndim != 2:
        yield f"{path}: expected one channel of uint8, got {array.dtype} of shape {array.shape}."
    elif array.max(initial=0) >= len(TISSUE_PRESETS["puma"]):
        yield f"{path}: expected class ids 0 to {len(TISSUE_PRESETS['puma']) - 1}, got {array.max()}."
    if array.shape[:2] != ROI_SIZE:
        yield f"{path}: expected {ROI_SIZE[1]} x {ROI_SIZE[0]} pixels, got {array.shape}."
    for name in ("XResolution", "YResolution"):
        if tags.get(name) != (300, 1):
            yield f"{path}: expected the tag {name} to be 300, got {tags.get(name)}."
    if not tags.get("MinSampleValue") or not tags.get("MaxSampleValue"):
        yield f"{path}: expected the tags MinSampleValue (1) and MaxSampleValue, got none or 0."

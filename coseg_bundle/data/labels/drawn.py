"""Files of annotations that clients save: GeoJSON, ASAP XML, DSA JSON."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import Annotations, Region, annotations_of
from coseg_bundle.data.images import ImageFileError, suffix_of
from coseg_bundle.data.labels.json_files import place_in, read_json

SUFFIXES = (".geojson", ".json", ".xml")


def ending_of(path: Path) -> str:
    """What the name of a file of annotations ends in, packed or not; nothing for other files.

    Example:
        >>> ending_of(Path("a.geojson.gz")), ending_of(Path("a.tif"))
        ('.geojson.gz', '')
    """
    endings = (*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES))
    return next((ending for ending in endings if path.name.lower().endswith(ending)), "")


def read_drawn(path: Path, origin_xy: tuple[int, int] | None = None) -> Annotations:
    """Reads the polygons of an annotation file, px of level 0.

    Args:
        path: GeoJSON (QuPath), ASAP XML (QuPath's MONAI Label extension), or a document of the Digital Slide Archive.
            In the last two what is in a group `nuclei`, as in our answers, is a detection, all else an annotation.
        origin_xy: Where pixel (0, 0) lies on the slide's canvas: GeoJSON of ours says where its own lies, and is moved
            accordingly. Where it is not given, coordinates are taken as they are.

    Raises:
        ImageFileError: The file is none of them.
    """
    if suffix_of(path) == ".xml":
        return annotations_of(_from_asap(path), path)
    content = read_json(path, "GeoJSON or an annotation of the DSA")
    document = content.get("annotation", content) if isinstance(content, dict) else content
    if isinstance(document, dict) and isinstance(document.get("elements"), list):
        return annotations_of([_from_dsa(element) for element in document["elements"]], path)
    drawn, place = annotations_of(content, path), place_in(content, path)
    if place is None or origin_xy is None or place[1] == origin_xy:
        return drawn
    shift = np.subtract(place[1], origin_xy)
    return replace(drawn, regions=tuple(_moved(region, shift) for region in drawn.regions))


def _moved(region: Region, shift: NDArray[np.int_]) -> Region:
    rings = tuple(ring + shift for ring in region.rings_xy)
    return replace(region, rings_xy=rings, parts=tuple(_moved(part, shift) for part in region.parts))


def _from_asap(path: Path) -> list[dict[str, Any]]:
    try:
        root = ET.parse(path).getroot()
        return [
            _feature(
                annotation.get("Name") or annotation.get("PartOfGroup") or "",
                annotation.get("PartOfGroup"),
                [
                    [float(point.attrib["X"].replace(",", ".")), float(point.attrib["Y"].replace(",", "."))]
                    for point in sorted(annotation.iter("Coordinate"), key=lambda p: int(p.get("Order", 0)))
                ],
            )
            for annotation in root.iter("Annotation")
        ]
    except (ET.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise ImageFileError(f"{path}: expected the XML of ASAP, got something else ({error}).") from error


def _from_dsa(element: Any) -> Any:
    if not isinstance(element, dict):
        return element
    label = element.get("label") or {}
    name = str(label.get("value") or element.get("group") or "") if isinstance(label, dict) else str(label)
    try:
        rings = [element.get("points") or [], *(element.get("holes") or [])]
        return _feature(name, element.get("group"), *([point[:2] for point in ring] for ring in rings))
    except (TypeError, KeyError):
        return element  # listed as one that has no geometry


def _feature(name: str, group: Any, *rings: list[list[float]]) -> dict[str, Any]:
    """What a group of our own answers holds, nuclei, are detections; these formats know no other kinds."""
    closed = [[*ring, ring[0]] for ring in rings if len(ring) > 2]
    geometry = {"type": "Polygon", "coordinates": closed}
    properties = {"objectType": "detection" if group == "nuclei" else "annotation", "classification": {"name": name}}
    return {"type": "Feature", "geometry": geometry, "properties": properties}

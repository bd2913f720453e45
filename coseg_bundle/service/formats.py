"""An answer as the viewers want it: ASAP XML (QuPath's extension), DSA JSON, GeoJSON, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.service.shapes import Answer, Shape
from coseg_bundle.writers.geojson import write_features

_DECIMALS = 2


def to_json(answer: Answer, model: str) -> dict[str, Any]:
    """The answer in the structure of MONAI Label's `json`: one annotation, an element for each class.

    Each element has its group and colour, and its `contours` stand beside their `scores`; holes are in `holes`.
    """
    elements: dict[tuple[str, str], dict[str, Any]] = {}
    for shape in answer.shapes:
        key = (shape.group, shape.name)
        empty = {"label": shape.name, "group": shape.group, "color": list(shape.colour)}
        element = elements.setdefault(key, {**empty, "contours": [], "scores": [], "holes": []})
        outer, *holes = (_points(ring) for ring in shape.rings_xy)
        element["contours"].append(outer)
        element["scores"].append(shape.score)
        element["holes"].append(holes)
    return {
        **summary(answer, model),
        "annotations": [
            {
                "annotation": {
                    "name": f"Co-Seg - {model}",
                    "description": f"{model} by {answer.weights}",
                    "location": list(answer.box[:2]),
                    "size": list(answer.box[2:]),
                    "elements": list(elements.values()),
                    "labels": {shape.name: list(shape.colour) for shape in answer.shapes},
                }
            }
        ],
    }


def summary(answer: Answer, model: str) -> dict[str, Any]:
    """What was segmented, with which weights, how many of each class, how long it took."""
    return {
        "name": f"Co-Seg - {model} for {list(answer.box)}",
        "model": model,
        "location": list(answer.box[:2]),
        "size": list(answer.box[2:]),
        "mpp": answer.mpp,
        "weights": answer.weights,
        "counts": answer.counts(),
        "untrained": list(answer.untrained),
        "latencies": {name: round(value, 3) for name, value in answer.seconds.items()},
    }


def write_geojson(path: Path, answer: Answer, model: str) -> None:
    """GeoJSON for QuPath (drag and drop): nuclei are detections, tissue regions annotations."""
    write_features(path, features(answer), answer.place)


def features(answer: Answer) -> Iterator[str]:
    """The answer as GeoJSON features, each as text: nuclei are detections in QuPath, tissue regions annotations."""
    return (_feature(shape, number) for number, shape in enumerate(answer.shapes, start=1))


def write_dsa(path: Path, answer: Answer, model: str) -> None:
    """An annotation document of the Digital Slide Archive; the element's group is `nuclei` or `tissue`."""
    elements = [
        {
            "group": shape.group,
            "type": "polyline",
            "lineColor": f"rgb({','.join(map(str, shape.colour))})",
            "lineWidth": 2.0,
            "closed": True,
            "points": [[*point, 0] for point in _points(shape.rings_xy[0])],
            "holes": [[[*point, 0] for point in _points(ring)] for ring in shape.rings_xy[1:]],
            "label": {"value": shape.name},
            "user": {**_score(shape, "score"), **shape.measurements},
        }
        for shape in answer.shapes
    ]
    about = summary(answer, model)
    document = {"name": about["name"], "elements": elements, "description": json.dumps(about)}
    path.write_text(json.dumps(document), encoding="utf-8")


def write_asap(path: Path, answer: Answer, model: str) -> None:
    """ASAP XML; `Name` is the class, `PartOfGroup` is `nuclei` or `tissue`. The format has no holes."""
    x, y, width, height = answer.box
    about = f"Name={quoteattr('Co-Seg - ' + model)} Description={quoteattr(answer.weights)} Model={quoteattr(model)}"
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0"?>\n<ASAP_Annotations>\n')
        file.write(f'  <Annotations {about} X="{x}" Y="{y}" W="{width}" H="{height}">\n')
        for shape in answer.shapes:
            score = "" if shape.score is None else f' Score="{shape.score}"'
            file.write(
                f'    <Annotation Name={quoteattr(shape.name)} Type="Polygon" PartOfGroup="{shape.group}" '
                f'Color="{_hex(shape)}"{score}>\n      <Coordinates>\n'
            )
            for order, (px, py) in enumerate(_points(shape.rings_xy[0])):
                file.write(f'        <Coordinate Order="{order}" X="{px}" Y="{py}" />\n')
            file.write("      </Coordinates>\n    </Annotation>\n")
        file.write("  </Annotations>\n  <AnnotationGroups>\n")
        for group in dict.fromkeys(shape.group for shape in answer.shapes):
            colour = next(_hex(shape) for shape in answer.shapes if shape.group == group)
            file.write(f'    <Group Name="{group}" PartOfGroup="None" Color="{colour}">\n      <Attributes />\n')
            file.write("    </Group>\n")
        file.write("  </AnnotationGroups>\n</ASAP_Annotations>\n")


def _write_json(path: Path, answer: Answer, model: str) -> None:
    path.write_text(json.dumps(to_json(answer, model)), encoding="utf-8")


WRITERS: dict[str, tuple[str, Callable[[Path, Answer, str], None]]] = {
    "geojson": (".geojson", write_geojson),
    "asap": (".xml", write_asap),
    "dsa": (".json", write_dsa),
    "json": (".json", _write_json),
}
"""File suffix and writer of each format."""


def _feature(shape: Shape, number: int) -> str:
    nucleus = shape.group == "nuclei"
    feature = {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[*points, points[0]] for points in map(_points, shape.rings_xy)],
        },
        "properties": {
            "objectType": "detection" if nucleus else "annotation",
            "name": f"{shape.name} {number}",
            "classification": {"name": shape.name, "color": list(shape.colour)},
            "measurements": {**_score(shape, "Score"), **shape.measurements},
            "metadata": {"group": shape.group},
        },
    }
    return json.dumps(feature, separators=(",", ":"), allow_nan=False)


def _score(shape: Shape, name: str) -> dict[str, float]:
    return {} if shape.score is None else {name: shape.score}


def _points(ring_xy: NDArray[np.float64]) -> list[list[float]]:
    rounded: list[list[float]] = np.round(ring_xy, _DECIMALS).tolist()
    return rounded


def _hex(shape: Shape) -> str:
    return "#" + "".join(f"{value:02x}" for value in shape.colour)

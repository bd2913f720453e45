"""Outlines as Aperio's ImageScope saves them (MoNuSeg, MoNuSAC): XML with a region for each nucleus."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import FARTHEST_PX
from coseg_bundle.data.images import ImageFileError

_AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Outline:
    """A region that someone drew.

    Attributes:
        rings_xy: Its outer ring and its holes, `(P, 2)` each, px.
        name: What its annotation (a layer of ImageScope) is called: its class; empty where it has no name.
        layer: The number of its annotation.
    """

    rings_xy: tuple[NDArray[np.float64], ...]
    name: str
    layer: int

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is MoNuSAC's `Ambiguous`: an area whose nuclei nobody could tell."""
        return self.name.casefold() == _AMBIGUOUS

    @property
    def area_px(self) -> float:
        """Area that its outer ring encloses."""
        x, y = self.rings_xy[0].T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def aperio_outlines(path: Path, skipped: list[str]) -> list[Outline]:
    """The outlines of an Aperio XML; a negative region (`NegativeROA`) is a hole in the smallest one around it.

    Args:
        path: The file.
        skipped: Gets a sentence for each region that is none.

    Raises:
        ImageFileError: It is no XML.
    """
    root = _parsed(path)
    layers = list(root.iter("Annotation"))
    layer_of = {region: number for number, layer in enumerate(layers) for region in layer.iter("Region")}
    outlines, holes = [], []
    for number, region in enumerate(root.iter("Region"), start=1):
        points, layer = _points(region), layer_of.get(region, -1)
        if len(points) < 3:
            skipped.append(f"{path}: region {number} has {len(points)} points")
        elif not _is_place(points):
            skipped.append(f"{path}: region {number} has a point that is no place in an image")
        elif region.get("NegativeROA") == "1":
            holes.append((number, layer, points))
        else:
            outlines.append(Outline((points,), _name(layers[layer]) if layer >= 0 else "", layer))
    boxes = np.array([_box(outline.rings_xy[0]) for outline in outlines]).reshape(-1, 4)
    of_layer = np.array([outline.layer for outline in outlines], int)
    for number, layer, hole in holes:
        box = _box(hole)
        near = np.flatnonzero((of_layer == layer) & (boxes <= box).all(axis=1))
        around = [i for i in near.tolist() if _encloses(outlines[i].rings_xy[0], hole)]
        if not around:
            skipped.append(f"{path}: region {number} is a hole (NegativeROA) that lies in no other region")
            continue
        smallest = min(around, key=lambda i: outlines[i].area_px)
        outlines[smallest] = replace(outlines[smallest], rings_xy=(*outlines[smallest].rings_xy, hole))
    return outlines


def aperio_names(path: Path) -> set[str]:
    """Names of the annotations in which there is an outline, but for `Ambiguous`.

    Raises:
        ImageFileError: It is no XML.
    """
    layers = [layer for layer in _parsed(path).iter("Annotation") if any(map(_is_outline, layer.iter("Region")))]
    return {name for name in map(_name, layers) if name and name.casefold() != _AMBIGUOUS}


def _parsed(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise ImageFileError(f"{path}: not valid XML ({error}); download it again.") from error


def _box(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(4,)`: no value of a box is larger than that of a box within it."""
    return np.concatenate([ring.min(axis=0), -ring.max(axis=0)])


def _points(region: ET.Element) -> NDArray[np.float64]:
    try:
        return np.array([[float(v.attrib["X"]), float(v.attrib["Y"])] for v in region.iter("Vertex")])
    except (KeyError, ValueError):
        return np.full((3, 2), np.nan)


def _is_place(points: NDArray[np.float64]) -> bool:
    return bool((abs(points) <= FARTHEST_PX).all())


def _is_outline(region: ET.Element) -> bool:
    points = _points(region)
    return region.get("NegativeROA") != "1" and len(points) > 2 and _is_place(points)


def _name(layer: ET.Element) -> str:
    """The name of an annotation, or of its attribute: not the one that ImageScope gives to each."""
    names = [layer.get("Name", ""), *(found.get("Name", "") for found in layer.iterfind("Attributes/Attribute"))]
    return next((name.strip() for name in names if name.strip() not in ("", "Description")), "")


def _encloses(outline: NDArray[np.float64], ring: NDArray[np.float64]) -> bool:
    """Whether all corners of a ring lie inside an outline (even-odd rule)."""
    (x0, y0), (x1, y1) = outline.T[..., None], np.roll(outline, -1, axis=0).T[..., None]  # (P, 1)
    x, y = ring.T
    with np.errstate(divide="ignore", invalid="ignore"):  # where an edge is level it crosses no row
        crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    crosses = ((y0 > y) != (y1 > y)) & (x < crossing)
    return bool((crosses.sum(axis=0) % 2 == 1).all())

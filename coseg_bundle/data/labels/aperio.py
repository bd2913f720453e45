"""Outlines as Aperio's ImageScope saves them (MoNuSeg): XML with a region for each nucleus."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import FARTHEST_PX
from coseg_bundle.data.images import ImageFileError


def aperio_outlines(path: Path, skipped: list[str]) -> list[NDArray[np.float64]]:
    """The outlines `(P, 2)` of an Aperio XML, px.

    Args:
        path: The file.
        skipped: Gets a sentence for each region that is none.

    Raises:
        ImageFileError: It is no XML.
    """
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise ImageFileError(f"{path}: not valid XML ({error}); download it again.") from error
    outlines = []
    for number, region in enumerate(root.iter("Region"), start=1):
        try:
            outline = np.array([[float(v.attrib["X"]), float(v.attrib["Y"])] for v in region.iter("Vertex")])
        except (KeyError, ValueError):
            outline = np.full((3, 2), np.nan)
        if len(outline) < 3:
            skipped.append(f"{path}: region {number} has {len(outline)} points")
        elif not (abs(outline) <= FARTHEST_PX).all():
            skipped.append(f"{path}: region {number} has a point that is no place in an image")
        else:
            outlines.append(outline)
    return outlines


def area_px(outline: NDArray[np.float64]) -> float:
    """Area that an outline `(P, 2)` encloses."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

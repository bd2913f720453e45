"""The picture: tissue regions tinted and outlined, nuclei outlined, on the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.postprocessing.tissue import tissue_polygons

_TINT = 0.18
"""Share of the class colour in a tissue region: enough to see the region, not enough to hide its nuclei."""


def draw_overlay(
    rgb: NDArray[np.uint8], prediction: Prediction, tissue_classes: ClassMap, nuclei_classes: ClassMap
) -> NDArray[np.uint8]:
    """Draws a prediction on its image.

    Args:
        rgb: `(H, W, 3)` uint8.
        prediction: What was found in it.
        tissue_classes: Tissue names, for the colours; class 0 is not drawn, `other_tissue` not tinted.
        nuclei_classes: Nuclei names, for the colours.

    Returns:
        `(H, W, 3)` uint8, pixel for pixel over the image.
    """
    colours = np.array([tissue_classes.colour_of(i) for i in range(len(tissue_classes))], np.float32)
    ground = np.array([not tissue_classes.is_tinted(i) for i in range(len(tissue_classes))])
    share = np.where(ground, 0, _TINT).astype(np.float32)[prediction.tissue_map][..., None]
    tinted = rgb * (1 - share) + colours[prediction.tissue_map] * share
    canvas = np.ascontiguousarray(tinted.round().astype(np.uint8))
    regions = tissue_polygons(prediction.tissue_map, skip_ids=(0,))
    for region in sorted(regions, key=lambda region: not ground[region.tissue_id]):
        _outline(canvas, region.rings_xy, tissue_classes.colour_of(region.tissue_id), width=2)
    table = prediction.instances
    for type_id in np.unique(table.type_id):
        rings = [table.contours_xy[i] for i in np.flatnonzero(table.type_id == type_id)]
        _outline(canvas, rings, nuclei_classes.colour_of(max(int(type_id), 1)), width=1)
    return canvas


def _outline(
    canvas: NDArray[np.uint8],
    rings_xy: Sequence[NDArray[np.int32] | NDArray[np.float64]],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    # Rings run along pixel edges; half a pixel to the left and up they run through pixels' middles (4 fraction bits).
    points = [np.rint(ring * 16 - 8).astype(np.int32) for ring in rings_xy]
    cv2.polylines(canvas, points, isClosed=True, color=colour, thickness=width, lineType=cv2.LINE_AA, shift=4)

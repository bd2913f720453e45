"""Draws docs/images/annotate.png: an answer, the gland that a person draws, and the answer that follows.

python scripts/annotate_picture.py PICTURE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import hed2rgb, rgb2hed
from skimage.data import immunohistochemistry

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.evaluation.annotation_study import infer
from coseg_bundle.inferers import Predictor
from coseg_bundle.postprocessing.resample import resample_image, size_at
from coseg_bundle.writers.overlay import draw_overlay

WINDOW = (slice(600, 1024), slice(450, 820))
"""Rows and columns that are shown, px at 0.25 um per pixel."""

GLAND_XY, RADII_XY, TURN = (636, 816), (126, 200), -6.0
"""The gland that a person draws: centre and radii of an ellipse in the same pixels, and degrees."""

MPP = 0.5
"""Of scikit-image's colon section: its nuclei are about 14 px wide."""

DRAWN_COLOUR = (40, 60, 255)


def answer(predictor: Predictor, rgb: NDArray[np.uint8], tissue: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` with what the network says, given a tissue map (255: nothing is said) or none."""
    found = predictor.postprocessing(infer(predictor, rgb, tissue))
    return draw_overlay(rgb, found, predictor.tissue_classes, predictor.nuclei_classes)


def colon_section() -> NDArray[np.uint8]:
    """scikit-image's section of colon `(H, W, 3)`; its brown stain, an antibody's, becomes eosin."""
    haematoxylin, eosin, dab = np.moveaxis(rgb2hed(immunohistochemistry()), -1, 0)
    stains = np.stack([1.4 * haematoxylin, eosin.clip(0) + 0.25 * dab, np.zeros_like(dab)], axis=-1)
    return np.asarray((hed2rgb(stains).clip(0, 1) * 255).round(), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, metavar="PICTURE")
    arguments = parser.parse_args()
    predictor = Predictor.from_bundle(device="cpu")
    rgb = colon_section()
    rgb = resample_image(rgb, size_at(rgb.shape[:2], MPP, predictor.mpp))
    ellipse = (GLAND_XY, RADII_XY, TURN, 0, 360)
    drawn = cv2.ellipse(np.full(rgb.shape[:2], UNLABELLED, np.uint8), *ellipse, color=1, thickness=-1)
    before, after = answer(predictor, rgb, None), answer(predictor, rgb, drawn)
    hand = cv2.ellipse(before.copy(), *ellipse, color=DRAWN_COLOUR, thickness=4, lineType=cv2.LINE_AA)
    gap = np.full((WINDOW[0].stop - WINDOW[0].start, 8, 3), 255, np.uint8)
    Image.fromarray(np.hstack([before[WINDOW], gap, hand[WINDOW], gap, after[WINDOW]])).save(arguments.picture)


if __name__ == "__main__":
    main()

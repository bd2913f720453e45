"""One picture of a slide: the slide, its tissue, the density of its nuclei, side by side."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.tiling import Box
from coseg_bundle.wsi.results.tissue_files import TissueFile

_SIDE = 1000
_TINT = 0.5
_BAR = 40
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overview(
    reader: SlideReader,
    tissue: TissueFile,
    tissue_classes: ClassMap,
    density: NDArray[np.integer],
    cell_px: float,
    cell_um: float,
    untrained: Collection[str] = (),
) -> NDArray[np.uint8]:
    """Draws the overview.

    Args:
        reader: The slide.
        tissue: Class ids over the slide.
        tissue_classes: Their names, for the colours.
        density: Nuclei in each square of a grid over the slide.
        cell_px: Side of such a square in pixels of level 0.
        cell_um: The same in microns.
        untrained: Tasks that nobody taught the network; their panels are left out.

    Returns:
        `(H, W, 3)` uint8.
    """
    slide = reader.thumbnail(_SIDE)
    height, width = slide.shape[:2]
    rows = ((np.arange(height) + 0.5) * tissue.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * tissue.shape[1] / width).astype(int)
    across = tissue.shape[1]
    classes = np.stack([tissue.read(Box(0, int(row), across, int(row) + 1))[0, columns] for row in rows])
    colours = np.array([tissue_classes.colour_of(i) for i in range(len(tissue_classes))], np.float32)
    tints = [_TINT if tissue_classes.is_tinted(i) else 0.0 for i in range(len(tissue_classes))]
    share = np.array(tints, np.float32)[classes][..., None]
    tinted = (slide * (1 - share) + colours[classes] * share).round().astype(np.uint8)
    per_mm2 = density / (cell_um / 1000) ** 2
    legend = ", ".join(name for i, name in enumerate(tissue_classes.names) if tissue_classes.is_tinted(i))
    panels = {
        "slide": _panel(slide, f"{reader.path.name}"),
        "tissue": _panel(tinted, f"tissue: {legend}"),
        "nuclei": _panel(_heat(per_mm2, slide, cell_px, reader), f"nuclei per mm2: white 0, black {per_mm2.max(initial=0):.0f}"),
    }
    return np.concatenate([panel for name, panel in panels.items() if name not in untrained], axis=1)


def _heat(
    per_mm2: NDArray[np.floating], slide: NDArray[np.uint8], cell_px: float, reader: SlideReader
) -> NDArray[np.uint8]:
    """Densities over the thumbnail, from white (none) over yellow and red to black (the most)."""
    height, width = slide.shape[:2]
    rows = ((np.arange(height) + 0.5) * reader.size_xy[1] / height / cell_px).astype(int)
    columns = ((np.arange(width) + 0.5) * reader.size_xy[0] / width / cell_px).astype(int)
    values = per_mm2[np.minimum(rows, per_mm2.shape[0] - 1)[:, None], np.minimum(columns, per_mm2.shape[1] - 1)]
    level = (values / max(per_mm2.max(initial=0), 1) * 255).astype(np.uint8)
    coloured = cv2.applyColorMap(255 - level, cv2.COLORMAP_HOT)[..., ::-1]
    return np.where(values[..., None] > 0, coloured, 255).astype(np.uint8)


def _panel(image: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    canvas = np.full((image.shape[0] + _BAR, image.shape[1] + 10, 3), 255, np.uint8)
    canvas[_BAR:, 5:-5] = image
    scale = min(0.6, image.shape[1] / (len(title) * 12))
    cv2.putText(canvas, title, (8, 27), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas

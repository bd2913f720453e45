"""What to annotate next: where the second decoding moved furthest from the first."""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.service.images import Slide, open_image
from coseg_bundle.service.query import resolution
from coseg_bundle.service.segmentation import SegmentationService
from coseg_bundle.service.shapes import Box

logger = logging.getLogger(__name__)

TILE_PX = 512
"""Side of the tiles that compete, px of the network."""

MAX_TILES = 48
"""Tiles that one request looks at: about 20 s on one CPU core. The next one looks at others and remembers these."""

_GLASS = 225
"""Tiles of slides whose mean colour in the overview is brighter than this hold no tissue."""


@dataclass(frozen=True)
class Candidate:
    """A tile that could be annotated.

    Attributes:
        image_id: Its image.
        box: Its place, px of level 0.
        score: Disagreement of tissue and nuclei, summed over the tile's pixels.
        skipped: Sentences about images that could not be looked at.
    """

    image_id: str
    box: Box
    score: float
    skipped: tuple[str, ...] = ()


def most_disagreed(
    service: SegmentationService,
    images: Mapping[str, Path],
    options: Mapping[str, Any] | None = None,
    resolutions: Mapping[str, Any] | None = None,
) -> Candidate | None:
    """The tile with the largest disagreement.

    Args:
        service: What segments; it remembers the scores under the weights that gave them.
        images: Files by id.
        options: `tile_px`, `max_tiles`, `seed` of the choice where there are more tiles than that, `mpp` of images that
            have none below.
        resolutions: Microns per pixel of level 0 by id, as clients gave them; what the file says where there is none.

    Returns:
        None where there is nothing to annotate.

    Raises:
        ValueError: The network has no disagreement, or an option makes no sense.
    """
    options = options or {}
    tile_px, most = int(options.get("tile_px", TILE_PX)), int(options.get("max_tiles", MAX_TILES))
    if tile_px < 32 or most < 1:
        raise ValueError(f"Expected tile_px of 32 or more and max_tiles of 1 or more, got {tile_px} and {most}.")
    skipped: list[str] = []
    otherwise = resolution(options.get("mpp"))
    given = {name: (resolutions or {}).get(name) or otherwise for name in images}
    tiles = {
        key: (name, box)
        for name, path in images.items()
        for key, box in _tiles(service, path, given[name], tile_px, skipped)
    }
    scores = service.scores
    unseen = [key for key in tiles if key not in scores]
    random.Random(int(options.get("seed", 0))).shuffle(unseen)
    for key in unseen[:most]:
        name, box = tiles[key]
        try:
            scores[key] = tile_disagreement(service, images[name], box, resolution(given[name]))
        except (ImageFileError, OSError) as error:
            skipped.append(str(error))
    seen = [key for key in tiles if key in scores]
    if not seen:
        return None
    best = max(seen, key=lambda key: scores[key])
    return Candidate(*tiles[best], scores[best], tuple(skipped))


def tile_disagreement(service: SegmentationService, path: Path, box: Box, mpp: float | None = None) -> float:
    """Disagreement of both tasks, summed over a tile; `mpp` is of level 0, where the file is wrong or does not say.

    Raises:
        ValueError: The network that is served has none.
    """
    predictor = service.predictor()
    layout = predictor.postprocessing.layout
    if not layout.disagreement:
        raise ValueError("The network that is served decodes once, so that nothing disagrees; use the strategy random.")
    with open_image(path, mpp, predictor.mpp) as slide:
        (rgb, _), _ = slide.read_with_halo(box, predictor.mpp, 0)
    with resolution_known():  # or not: tissue is not asked for
        return float(layout.split(service.infer(rgb), 0)["disagreement"].sum())


def _tiles(
    service: SegmentationService, path: Path, mpp: Any, tile_px: int, skipped: list[str]
) -> Iterator[tuple[Hashable, Box]]:
    """Tiles of an image that hold tissue."""
    predictor = service.predictor()
    try:
        with open_image(path, resolution(mpp), predictor.mpp) as slide:
            side = max(1, round(tile_px * predictor.mpp / slide.mpp))
            boxes = list(grid_boxes(slide.size_xy, side))
            if len(boxes) > 1:
                boxes = _with_tissue(slide, boxes) or boxes
            yield from (((*slide.identity, slide.mpp, box, service.served), box) for box in boxes)
    except (ValueError, OSError) as error:
        logger.warning("Not a candidate: %s", error)
        skipped.append(str(error))


def grid_boxes(size_xy: tuple[int, int], side: int) -> Iterator[Box]:
    """Squares that cover an image; the last ones are moved back inside."""
    for top in _starts(size_xy[1], side):
        for left in _starts(size_xy[0], side):
            yield left, top, min(side, size_xy[0]), min(side, size_xy[1])


def _starts(length: int, side: int) -> list[int]:
    return [min(start, max(length - side, 0)) for start in range(0, length, side)]


def _with_tissue(slide: Slide, boxes: list[Box]) -> list[Box]:
    overview = slide.thumbnail(1024)
    scale = overview.shape[1] / slide.size_xy[0]
    kept = []
    for box in boxes:
        x0, y0, x1, y1 = (int(v * scale) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
        if np.mean(overview[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]) < _GLASS:
            kept.append(box)
    return kept

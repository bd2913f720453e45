"""Answers requests: one network pass serves nuclei and tissue, and corrections find the image encoded."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from coseg_bundle.classes import UNLABELLED, ClassMap
from coseg_bundle.data.annotations import annotations_of
from coseg_bundle.data.images import ImageFileError, read_label
from coseg_bundle.data.labels.nuclei import sort_out
from coseg_bundle.data.polygons import large_first, paint
from coseg_bundle.inferers import Predictor
from coseg_bundle.inferers.refinement import LRUCache, Refiner
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.networks import CoSeg
from coseg_bundle.postprocessing.fill import find_fill, whitened
from coseg_bundle.postprocessing.tissue import smallest_region
from coseg_bundle.service.images import Slide, open_image
from coseg_bundle.service.query import Query
from coseg_bundle.service.shapes import Answer, Box, Grid, nuclei_shapes, tissue_shapes
from coseg_bundle.service.weights import WeightsFolder
from coseg_bundle.wsi.read.backend import Origin

logger = logging.getLogger(__name__)

HALO_PX = 64
"""Margin around a region, px of the network: nuclei whose centres lie in the region are seen whole."""

DIRECT_PX = 9_000_000
"""Larger regions (px of the network) are cut into tiles that come and go; smaller ones are held at once."""

MAX_PX = 400_000_000
"""Larger regions are refused: they keep the server for more than an hour on a CPU."""

ANSWERS = 8
"""Answers that are kept, so that three models asked about one region cost one network pass."""

Corrections = tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]


class RegionTooLargeError(ValueError):
    """A region that the server refuses; the message says how large it may be."""


class SegmentationService:
    """Segments regions of images and slides with the newest weights.

    Args:
        bundle_root: The bundle.
        weights: Where weights come from.
        device: For example `cpu`; the configuration's choice when not given.
        max_px: Largest region, px at the network's resolution.
        precision: `auto`, `fp32`, `bf16` or `fp16`; the configuration's choice when not given.
    """

    def __init__(
        self,
        bundle_root: Path,
        weights: WeightsFolder,
        device: str | None = None,
        max_px: int = MAX_PX,
        precision: str | None = None,
    ) -> None:
        self.bundle_root, self.weights, self.device, self.max_px = bundle_root, weights, device, max_px
        self.precision = precision
        self._lock = threading.RLock()  # one network, one memory of tiles
        self._answers: LRUCache[Answer] = LRUCache(ANSWERS)
        self.scores: dict[Hashable, float] = {}
        """Disagreement of tiles that were looked at, by tile and weights."""
        self._broken: set[tuple[Path, float]] = set()
        self._slide: Slide | None = None
        self._served: tuple[Path, float] | None = None
        self._predictor: Predictor
        self._refiner: Refiner | None
        self.predictor()

    def predictor(self) -> Predictor:
        """The predictor with the newest weights that load; a broken file is named in the log once and passed over.

        Raises:
            CheckpointError: No weights can be loaded.
        """
        with self._lock:
            for path in self.weights.candidates():
                key = (path, path.stat().st_mtime if path.is_file() else 0.0)
                if key == self._served:
                    break
                if key in self._broken:
                    continue
                try:
                    predictor = Predictor.from_bundle(self.bundle_root, path, self.device, "torch", self.precision)
                except Exception as error:  # whatever is wrong with a newer file, the one before it goes on serving
                    if path == self.weights.initial:
                        raise
                    logger.error("These weights are not served: %s", error)
                    self._broken.add(key)
                    continue
                network = predictor.network
                prompted = isinstance(network, CoSeg) and network.rp_encoder is not None
                self._refiner = Refiner(predictor) if prompted else None
                self._predictor, self._served = predictor, key
                logger.info("Serving %s with %s", path, predictor.settings)
                break
            return self._predictor

    @property
    def served(self) -> str:
        """Name of the weights file that answers."""
        return _name(self.predictor())

    def segment(self, image: Path, query: Query) -> Answer:
        """Segments the region that a query asks for; nuclei and tissue, all classes.

        Raises:
            ImageFileError: The image or the label cannot be used.
            RegionTooLargeError: The region is too large.
            ValueError: The region lies outside, a class is unknown, a label has the wrong size.
        """
        start = time.perf_counter()
        with self._lock:
            predictor = self.predictor()
            known = {*predictor.tissue_classes.names[1:], *predictor.nuclei_classes.names[1:]}
            if unknown := sorted(set(query.classes) - known):
                raise ValueError(f"Unknown classes {unknown}: expected some of {sorted(known)}.")
            slide = self._open(image, query.mpp, query.origin)
            box = query.box(slide.size_xy, slide.downsample(query.level))
            self._check_size(slide, box)
            key = (*slide.identity, box, slide.mpp, slide.known_mpp, self._served, _correction_key(query))
            answer = self._answers.get(key, lambda: self._segment(slide, box, query))
        return replace(answer, seconds={**answer.seconds, "total": time.perf_counter() - start})

    def _open(self, image: Path, mpp: float | None, origin: Origin) -> Slide:
        """The image; the last one stays open, because the next request is mostly about it."""
        if self._slide is not None:
            if self._slide.is_current(image, mpp, origin):
                return self._slide
            self._slide.close()
            self._slide = None
        self._slide = open_image(image, mpp, self._predictor.mpp, origin)
        return self._slide

    def _check_size(self, slide: Slide, box: Box) -> None:
        scale = slide.mpp / self._predictor.mpp
        pixels = box[2] * box[3] * scale * scale
        if pixels > self.max_px:
            raise RegionTooLargeError(
                f"The region of {box[2]} x {box[3]} px has {pixels / 1e6:.0f} million px at the network's resolution; "
                f"the limit is {self.max_px / 1e6:.0f} million. Ask for a smaller region, or run `coseg slide`."
            )

    def _segment(self, slide: Slide, box: Box, query: Query) -> Answer:
        scale = slide.mpp / self._predictor.mpp
        if box[2] * box[3] * scale * scale > DIRECT_PX:
            if query.correction or query.label:
                raise RegionTooLargeError(
                    f"A correction needs a region of at most {DIRECT_PX / 1e6:.0f} million px at the network's "
                    f"resolution, got {box[2]} x {box[3]} px of level 0; ask for the part that was corrected."
                )
            return slide.segment(self._predictor, box, _name(self._predictor))
        return self._segment_at_once(slide, box, query)

    def _segment_at_once(self, slide: Slide, box: Box, query: Query) -> Answer:
        start = time.perf_counter()
        (rgb, unscanned), grid = slide.read_with_halo(box, self._predictor.mpp, HALO_PX)
        tissue, nuclei = self._corrections(slide, box, query, grid, (rgb.shape[0], rgb.shape[1]))
        read = time.perf_counter()
        fill = find_fill(rgb) if unscanned is None else find_fill(rgb) | unscanned
        with resolution_known(slide.known_mpp is not None):
            pred = self.infer(whitened(rgb, fill), tissue, nuclei)
        inferred = time.perf_counter()
        predictor = self._predictor
        smallest = smallest_region(predictor.postprocessing.min_tissue_area_px, slide.mpp / predictor.mpp)
        prediction = replace(predictor.postprocessing, min_tissue_area_px=smallest)(pred, unscanned=fill)
        if tissue is not None:  # a small region that a person drew stands too
            told = tissue != UNLABELLED
            prediction.tissue_map[told] = tissue[told]
        probability = softmax(predictor.postprocessing.layout.split(pred, 0)["tissue_logits"], axis=0)
        rows, columns, cut = _inner(grid, box, rgb.shape)
        shapes = (
            *nuclei_shapes(prediction.instances, predictor.result_classes[1], grid, box),
            *tissue_shapes(
                prediction.tissue_map[rows, columns], probability[:, rows, columns], predictor.tissue_classes, cut
            ),
        )
        done = time.perf_counter()
        seconds = {"pre": read - start, "infer": inferred - read, "post": done - inferred}
        return Answer(shapes, box, slide.known_mpp, _name(predictor), seconds, predictor.untrained, slide.place)

    def infer(
        self,
        rgb: NDArray[np.uint8],
        tissue: NDArray[np.uint8] | None = None,
        nuclei: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float32]:
        """The network's output `(C, H, W)` for an image `(H, W, 3)` at its resolution, with corrections or without."""
        with self._lock:
            return self._refiner.infer(rgb, tissue, nuclei) if self._refiner else self._predictor.infer(rgb)

    def _corrections(self, slide: Slide, box: Box, query: Query, grid: Grid, shape: tuple[int, int]) -> Corrections:
        """Tissue map and nuclei mask on the pixels of the network, 255 where the query says nothing."""
        if query.correction is None and query.label is None:
            return None, None
        if self._refiner is None:
            raise ValueError("The network that is served has no prompts, so that corrections cannot go into it.")
        tissue, nuclei = np.full(shape, UNLABELLED, np.uint8), np.full(shape, UNLABELLED, np.uint8)
        if query.label is not None:
            tissue = self._label_on_grid(Path(query.label), slide, box, grid, shape)
        if query.correction is not None:
            self._paint(query, grid, tissue, nuclei)
        return (tissue if _says(tissue) else None), (nuclei if _says(nuclei) else None)

    def _paint(self, query: Query, grid: Grid, tissue: NDArray[np.uint8], nuclei: NDArray[np.uint8]) -> None:
        """Draws the polygons of a correction into both maps."""
        drawn = annotations_of(query.correction, "the correction")
        drawn.raise_if_skipped()
        predictor = self._predictor
        background = predictor.nuclei_classes.names[0]
        of_background = [region for region in drawn.regions if region.name == background]
        rest = replace(drawn, regions=tuple(region for region in drawn.regions if region.name != background))
        found = sort_out(rest, predictor.tissue_classes.names, predictor.nuclei_classes.names[1:])
        if found.unknown:
            names = {*predictor.tissue_classes.names, *predictor.nuclei_classes.names}
            raise ValueError(
                f"The correction has unknown classes {list(found.unknown)}: expected some of {sorted(names)}."
            )
        for note in found.notes:
            logger.info("Correction: %s", note)
        for classes, into, shapes in (
            (predictor.tissue_classes, tissue, found.tissue),
            (predictor.nuclei_classes, nuclei, found.nuclei),
        ):
            regions = [*shapes, *(region for region in of_background if self._is_about(region.kind, classes))]
            order = large_first([region.area_px for region in regions])
            rings = [[grid.to_map(ring) for ring in regions[i].rings_xy] for i in order]
            ids = [classes.id_of(regions[i].name) for i in order]
            if classes is predictor.nuclei_classes:
                ids = [min(i, 1) for i in ids]
            if regions and query.complete:
                into[into == UNLABELLED] = 0
            painted, _ = paint(rings, ids, (into.shape[0], into.shape[1]), fill=UNLABELLED)
            into[painted != UNLABELLED] = painted[painted != UNLABELLED]

    def _is_about(self, kind: str, classes: ClassMap) -> bool:
        """Whether an object of the background says something about a task: a detection that there are no nuclei, an
        annotation that there is no tissue region; that there are no nuclei, where no tissue class is called so."""
        nuclei = self._predictor.nuclei_classes
        of_nuclei = kind != "annotation" or nuclei.names[0] not in self._predictor.tissue_classes.names
        return of_nuclei == (classes is nuclei)

    def _label_on_grid(
        self, path: Path, slide: Slide, box: Box, grid: Grid, shape: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """A label map of the image or of the region, on the pixels of the network; 255 outside."""
        label = read_label(path)
        height, width = label.shape
        if (width, height) == slide.size_xy:
            x, y = 0, 0
        elif (width, height) == box[2:]:
            x, y = box[:2]
        else:
            raise ImageFileError(
                f"The label has {width} x {height} px; expected those of the image ({slide.size_xy[0]} x "
                f"{slide.size_xy[1]}) or of the region ({box[2]} x {box[3]})."
            )
        highest = len(self._predictor.tissue_classes) - 1
        if unknown := [i for i in np.unique(label).tolist() if i != UNLABELLED and not 0 <= i <= highest]:
            raise ImageFileError(
                f"The label has unknown tissue ids {unknown}; expected 0 to {highest} or {UNLABELLED}."
            )
        rows = np.floor(grid.y + (np.arange(shape[0]) + 0.5) / grid.scale_y - y).astype(int)
        columns = np.floor(grid.x + (np.arange(shape[1]) + 0.5) / grid.scale_x - x).astype(int)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
        picked = label[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None]]
        return np.where(inside, picked, UNLABELLED).astype(np.uint8)


def _name(predictor: Predictor) -> str:
    return predictor.weights.name if predictor.weights else ""


def _says(correction: NDArray[np.uint8]) -> bool:
    return bool((correction != UNLABELLED).any())


def _inner(grid: Grid, box: Box, shape: tuple[int, ...]) -> tuple[slice, slice, Grid]:
    """Rows and columns of a map that lie in a box, and the grid of that part."""
    corners = grid.to_map(np.array([box[:2], (box[0] + box[2], box[1] + box[3])], np.float64))
    (left, top), (right, bottom) = np.round(corners).astype(int).clip(0, [shape[1], shape[0]]).tolist()
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    x, y = grid.to_image(np.array([[left, top]]))[0]
    return slice(top, bottom), slice(left, right), replace(grid, x=float(x), y=float(y))


def _correction_key(query: Query) -> Hashable:
    parts: list[Any] = [json.dumps(query.correction, sort_keys=True), query.complete]
    if query.label is not None:
        parts.append(hashlib.blake2b(Path(query.label).read_bytes()).hexdigest())
    return tuple(parts)

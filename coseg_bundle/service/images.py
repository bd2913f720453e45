"""Images and slides as the server sees them: one door for both."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import RGB, ClassMap
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.inferers import Predictor
from coseg_bundle.postprocessing.resample import size_at
from coseg_bundle.service.shapes import Answer, Box, Grid, Shape, inside
from coseg_bundle.settings.values import SAME_SCALE
from coseg_bundle.wsi.read.backend import Backend, Origin, Region
from coseg_bundle.wsi.read.backends import open_backend
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.regions import segment_region


def open_image(path: Path, mpp: float | None, network_mpp: float, origin: Origin = "bounds") -> Slide:
    """Opens a slide or a plain image.

    Args:
        path: The file.
        mpp: Microns per pixel of level 0; what the file says when not given, and where it says nothing the network's.
        network_mpp: Microns per pixel that the network works at.
        origin: Where the client's pixel (0, 0) lies, see `Origin`.

    Raises:
        ImageFileError: There is no such file, it is no image, or its pixels are not square.
        ValueError: The resolution makes no sense.
    """
    if not path.is_file():
        raise ImageFileError(f"Image not found: {path.name}; upload it, or give the id of an image of the datastore.")
    backend = open_backend(path, origin)
    known = mpp or backend.pixel_size.mpp
    if known is None and backend.pixel_size.refusal:
        backend.close()
        raise ImageFileError(f"{path.name}: {backend.pixel_size.refusal}")
    try:
        size_at((1, 1), known, network_mpp)  # refuses resolutions that make no sense
    except ValueError:
        backend.close()
        raise
    return Slide(path, backend, known, network_mpp, mpp, origin)


class Slide:
    """An open image.

    Attributes:
        size_xy: Width and height of level 0, px.
        origin_xy: Where pixel (0, 0) lies on the canvas of the file, px of level 0.
        mpp: Microns per pixel of level 0; the network's where it is not known.
        known_mpp: The same, None where it is not known.
        place: The same with the origin it was opened with, as `writers.geojson.write_features` takes it.
        identity: Tells the content of the file from another one's at the same path.
    """

    def __init__(
        self,
        path: Path,
        backend: Backend,
        mpp: float | None,
        network_mpp: float,
        given_mpp: float | None = None,
        origin: Origin = "bounds",
    ) -> None:
        self.path, self.known_mpp, self.mpp = path, mpp, mpp or network_mpp
        self._backend, self._given_mpp = backend, given_mpp
        stat = path.stat()
        self.identity = (str(path), stat.st_mtime, stat.st_size, origin)
        self._reader = SlideReader(path, backend, self.mpp)
        self.size_xy, self.origin_xy = self._reader.size_xy, self._reader.origin_xy
        x, y = self.origin_xy
        self.place = {"origin": origin, "origin_x_px": x, "origin_y_px": y}

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._reader.close()

    def is_current(self, path: Path, mpp: float | None, origin: Origin = "bounds") -> bool:
        """Whether this is what opening a file would give."""
        if not path.is_file():
            return False
        stat = path.stat()
        return self.identity == (str(path), stat.st_mtime, stat.st_size, origin) and mpp == self._given_mpp

    def downsample(self, level: int) -> float:
        """Pixels of level 0 per pixel of a level.

        Raises:
            ValueError: There is no such level.
        """
        downsamples = self._backend.downsamples
        if not 0 <= level < len(downsamples):
            raise ValueError(f"The image has the levels 0 to {len(downsamples) - 1}, got level {level}.")
        return downsamples[level]

    def read_with_halo(self, box: Box, network_mpp: float, halo_px: int) -> tuple[Region, Grid]:
        """Reads a region and what surrounds it, at the network's resolution.

        An image whose resolution is within a tenth of the network's is read as it is.

        Args:
            box: The region.
            network_mpp: Microns per pixel of the network.
            halo_px: Margin, px of the network; cut at the border of the image.

        Returns:
            `(h, w, 3)` uint8 with what of it was not scanned, and where its pixels lie.
        """
        mpp = self.mpp if abs(self.mpp / network_mpp - 1) <= SAME_SCALE else network_mpp
        halo = int(np.ceil(halo_px * mpp / self.mpp))
        left, top = max(box[0] - halo, 0), max(box[1] - halo, 0)
        right = min(box[0] + box[2] + halo, self.size_xy[0])
        bottom = min(box[1] + box[3] + halo, self.size_xy[1])
        region = self._reader.region(left, top, right - left, bottom - top, mpp)
        return region, Grid(left, top, self.mpp / mpp, self.mpp / mpp)

    def thumbnail(self, max_side: int) -> NDArray[np.uint8]:
        """The whole image, its longer side at most `max_side` px."""
        return self._reader.thumbnail(max_side)

    def segment(self, predictor: Predictor, box: Box, weights: str) -> Answer:
        """Segments a region of any size, tile by tile."""
        start = time.perf_counter()
        found = segment_region(self._reader, predictor, box, known=self.known_mpp is not None)
        nuclei, shapes = found.nuclei, []
        tissue_classes, nuclei_classes = predictor.result_classes
        for row in np.nonzero(inside(nuclei.centroid_xy, box))[0]:
            score = nuclei.nuclei_prob[row] if np.isnan(nuclei.type_prob[row]) else nuclei.type_prob[row]
            shapes.append(
                Shape(
                    "nuclei",
                    *_class(nuclei_classes, max(int(nuclei.type_id[row]), 1)),
                    _rings(nuclei.polygons[row]),
                    round(float(score), 4),
                )
            )
        for region in found.tissue:
            shapes.append(Shape("tissue", *_class(tissue_classes, region.tissue_id), _rings(region.polygon), None))
        seconds = {"infer": time.perf_counter() - start}
        return Answer(tuple(shapes), box, self.known_mpp, weights, seconds, predictor.untrained, self.place)


def _class(classes: ClassMap, class_id: int) -> tuple[str, RGB]:
    return classes.name_of(class_id), classes.colour_of(class_id)


def _rings(polygon: Any) -> tuple[NDArray[np.float64], ...]:
    return tuple(np.asarray(ring.coords, np.float64)[:-1] for ring in (polygon.exterior, *polygon.interiors))

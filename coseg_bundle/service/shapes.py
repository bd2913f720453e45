"""What the server answers with: nuclei and tissue regions as polygons with a class and a score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import RGB, ClassMap
from coseg_bundle.data.labels.json_files import OF_IMAGE
from coseg_bundle.data.polygons import polygon_pixels
from coseg_bundle.postprocessing.instances import InstanceTable
from coseg_bundle.postprocessing.tissue import tissue_polygons

Group = Literal["nuclei", "tissue"]
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of level 0."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a map lie in the image.

    Args:
        x: Left edge of the map, px of level 0.
        y: Its upper edge.
        scale_x: Pixels of the map per pixel of level 0.
        scale_y: The same downwards.
    """

    x: float = 0.0
    y: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0

    def to_image(self, points_xy: NDArray[Any]) -> NDArray[np.float64]:
        """Points `(P, 2)` of the map in pixels of level 0."""
        return points_xy / (self.scale_x, self.scale_y) + (self.x, self.y)

    def to_map(self, points_xy: NDArray[Any]) -> NDArray[np.float64]:
        """Points `(P, 2)` of level 0 in pixels of the map."""
        return (points_xy - (self.x, self.y)) * (self.scale_x, self.scale_y)


@dataclass(frozen=True)
class Shape:
    """One nucleus or one tissue region.

    Attributes:
        group: `nuclei` or `tissue`.
        name: Class name.
        colour: Its colour.
        rings_xy: Outer ring, then holes, `(P, 2)` px of level 0, first point not repeated.
        score: Probability of the class, in [0, 1]; None for tissue of regions that were too large to hold at once.
        measurements: Further numbers by name.
    """

    group: Group
    name: str
    colour: RGB
    rings_xy: tuple[NDArray[np.float64], ...]
    score: float | None
    measurements: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The segmentation of a region.

    Attributes:
        shapes: Nuclei, then tissue regions.
        box: The region.
        mpp: Microns per pixel of level 0, or None where it is not known.
        weights: Name of the weights that answered.
        seconds: What took how long.
        untrained: Tasks that nobody taught the network: nothing is said of them.
        place: Where pixel (0, 0) of the shapes lies, as `writers.geojson.write_features` takes it.
    """

    shapes: tuple[Shape, ...]
    box: Box
    mpp: float | None = None
    weights: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()
    place: Mapping[str, Any] = field(default_factory=lambda: OF_IMAGE)

    def only(self, groups: Iterable[str], names: Iterable[str] | None = None) -> Answer:
        """The shapes of some groups, and of some classes."""
        groups, chosen = set(groups), None if names is None else set(names)
        kept = (s for s in self.shapes if s.group in groups and (chosen is None or s.name in chosen))
        return replace(self, shapes=tuple(kept))

    def counts(self) -> dict[str, int]:
        """Number of shapes of each class."""
        return dict(Counter(shape.name for shape in self.shapes))


def nuclei_shapes(table: InstanceTable, classes: ClassMap, grid: Grid, box: Box | None = None) -> Iterator[Shape]:
    """Nuclei as shapes.

    Args:
        table: Nuclei of a map.
        classes: Class names; id 0 in the table means "of the only class there is".
        grid: Where the map lies.
        box: Only nuclei whose centroid lies in it (left and upper edge included), whole; all when not given.
    """
    chosen = np.ones(len(table), bool) if box is None else inside(grid.to_image(table.centroid_xy), box)
    for row in np.nonzero(chosen)[0]:
        class_id = max(int(table.type_id[row]), 1)
        probability = {"Nucleus probability": table.nuclei_prob[row], "Disagreement": table.disagreement[row]}
        score = table.nuclei_prob[row] if math.isnan(table.type_prob[row]) else table.type_prob[row]
        yield Shape(
            "nuclei",
            classes.name_of(class_id),
            classes.colour_of(class_id),
            (grid.to_image(table.contours_xy[row]),),
            round(float(score), 4),
            {name: round(float(value), 4) for name, value in probability.items() if math.isfinite(value)},
        )


def tissue_shapes(
    tissue_map: NDArray[np.integer], tissue_prob: NDArray[np.floating], classes: ClassMap, grid: Grid
) -> Iterator[Shape]:
    """Tissue regions as shapes, the background left out; the score is the mean probability of the class inside.

    Args:
        tissue_map: `(H, W)` class ids.
        tissue_prob: `(C_t, H, W)` in [0, 1].
        classes: Class names.
        grid: Where the map lies.
    """
    shape = (tissue_map.shape[0], tissue_map.shape[1])
    for region in tissue_polygons(tissue_map, skip_ids=(0,)):
        score = float(
            tissue_prob[region.tissue_id][polygon_pixels([r.astype(float) for r in region.rings_xy], shape)].mean()
        )
        yield Shape(
            "tissue",
            classes.name_of(region.tissue_id),
            classes.colour_of(region.tissue_id),
            tuple(grid.to_image(ring) for ring in region.rings_xy),
            round(score, 4),
        )


def inside(points_xy: NDArray[np.floating], box: Box) -> NDArray[np.bool_]:
    """Which points `(P, 2)` lie in a box, its left and upper edge included."""
    corner = np.array(box[:2])
    return np.asarray(((points_xy >= corner) & (points_xy < corner + np.array(box[2:]))).all(axis=1))


def whole_px(bounds: Sequence[float], size_xy: tuple[int, int]) -> Box:
    """The pixels that hold some bounds (left, upper, right, lower edge), cut at the border of the image."""
    left, top = (max(math.floor(value), 0) for value in bounds[:2])
    right, bottom = (min(math.ceil(value), size) for value, size in zip(bounds[2:], size_xy, strict=True))
    return left, top, right - left, bottom - top

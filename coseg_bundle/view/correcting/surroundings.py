"""What the table says of a nucleus's surroundings, where a correction changed them: it is not known any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.measures.nuclei.reach import Reach, reach_of
from coseg_bundle.postprocessing.tissue import tissue_polygons
from coseg_bundle.service.shapes import Box
from coseg_bundle.view.correcting.changes import polygon
from coseg_bundle.view.correcting.patches import Patch, corrected, outline_of, tissue_of
from coseg_bundle.view.results import Result

_ROUNDED_UM = 0.01
"""Measures are float32, and what they found may lie so much farther than they say."""

Values = dict[str, NDArray[Any]]
"""`(N,)` by the names of the table's columns."""


def known_values(result: Result, patches: Sequence[Patch]) -> tuple[Values, list[Values]]:
    """Numbers and class ids of the table, and those of each patch; NaN where a correction may have changed a number.

    Args:
        result: What was corrected.
        patches: Its corrections, in order.
    """
    columns = result.nuclei.columns
    table = {name: column.values for name, column in columns.items()}
    of_patches = [
        {name: patch.values[name] for name, column in columns.items() if not column.names}
        | {"type": patch.population.types, "tissue": patch.population.tissues}
        for patch in patches
    ]
    ends = np.cumsum([len(result.nuclei), *(len(patch.ids) for patch in patches)])[:-1]
    for name, rows in unknown(result, patches).items():
        for values, own in zip((table, *of_patches), np.split(rows, ends), strict=True):
            values[name] = np.where(own, np.float32(np.nan), values[name])
    return table, of_patches


def unknown(result: Result, patches: Sequence[Patch]) -> dict[str, NDArray[np.bool_]]:
    """Which numbers a correction may have changed, since something that they depend on did change within their reach.

    Args:
        result: What was corrected.
        patches: Its corrections, in order.

    Returns:
        `(N,)` by column, of those columns where there are such numbers: first the nuclei of the table, then those of
        the patches, one patch after the other. Of nuclei that stand no longer nothing is said.
    """
    if not patches:
        return {}
    nuclei, found = result.nuclei, {}
    standing, of_patches = corrected(result, patches)
    stands = np.concatenate([standing, *of_patches])
    points = np.concatenate([nuclei.points_xy, *(patch.population.points_xy for patch in patches)])
    changes = _Changes(result, patches, standing, of_patches)
    for name, column in nuclei.columns.items():
        if column.names:
            continue
        values = np.concatenate([column.values, *(patch.values[name] for patch in patches)])
        reach = reach_of(name, values, result.nuclei_classes.names[1:])
        if reach is None:
            continue
        rounded = np.where(stands, reach.um + _ROUNDED_UM, np.nan)
        px = rounded / result.mpp if result.mpp else np.where(np.isnan(rounded), np.nan, np.inf)
        reached = changes.reached(points, px, reach)
        if reached.any():
            found[name] = reached
    return found


class _Changes:
    """What is another one than the table was made from: nuclei that went or came, and pixels of the tissue map."""

    def __init__(
        self,
        result: Result,
        patches: Sequence[Patch],
        standing: NDArray[np.bool_],
        of_patches: Sequence[NDArray[np.bool_]],
    ) -> None:
        nuclei = result.nuclei
        kept = np.concatenate([patch.ids[own] for patch, own in zip(patches, of_patches, strict=True)])
        gone = ~standing
        gone[gone] = ~np.isin(nuclei.ids[gone], kept)
        came = [own & (patch.ids == 0) for patch, own in zip(patches, of_patches, strict=True)]
        populations = [patch.population for patch in patches]
        self._places = np.concatenate(
            [nuclei.points_xy[gone], *(one.points_xy[own] for one, own in zip(populations, came, strict=True))]
        )
        self._types = np.concatenate(
            [nuclei.columns["type"].values[gone], *(one.types[own] for one, own in zip(populations, came, strict=True))]
        )
        self._result, self._patches, self._came = result, patches, came
        self._trees: dict[tuple[str, int | None], Any] = {}

    def reached(self, points_xy: NDArray[np.float64], px: NDArray[np.float64], reach: Reach) -> NDArray[np.bool_]:
        """Points `(N, 2)` from which a change lies no farther than `px` `(N,)`, NaN where nothing depends on it."""
        import shapely

        kind = reach.of, reach.type_id
        if kind not in self._trees:
            self._trees[kind] = shapely.STRtree(self._shapes(reach))
        tree = self._trees[kind]
        found = np.zeros(len(points_xy), bool)
        if not len(tree.geometries):
            return found
        if reach.of == "tissue":
            px = px + self._result.tissue_map[1]  # distances on the map are those of the middles of its pixels
        x0, y0, x1, y1 = shapely.total_bounds(tree.geometries)
        beside = np.maximum(0, np.maximum((x0, y0) - points_xy, points_xy - (x1, y1)))
        rows = np.flatnonzero(np.hypot(*beside.T) <= px)  # few, of a million
        (at, _), away = tree.query_nearest(shapely.points(points_xy[rows]), return_distance=True, all_matches=False)
        found[rows[at]] = away <= px[rows[at]]
        return found

    def _shapes(self, reach: Reach) -> list[Any]:
        """What changed of that which a measure looks at (shapely), px of level 0."""
        import shapely

        if reach.of == "tissue":
            return [*_changed_tissue(self._result, self._patches)]
        of_class = slice(None) if reach.type_id is None else self._types == reach.type_id
        outlines = [
            polygon(outline_of(patch, row))
            for patch, own in zip(self._patches, self._came, strict=True)
            for row in np.flatnonzero(own).tolist()
            if reach.of == "outlines"
        ]
        return [*shapely.points(self._places[of_class]), *outlines]


def _changed_tissue(result: Result, patches: Sequence[Patch]) -> Iterator[Any]:
    """Where the tissue map holds another class than it did (shapely), px of level 0."""
    import shapely

    whole, pixel = result.tissue_map
    for box in {patch.box for patch in patches}:
        x, y, width, height = box
        left, top = int(x / pixel), int(y / pixel)
        right, bottom = int((x + width) / pixel) + 1, int((y + height) / pixel) + 1
        over = [patch for patch in patches if _overlap(patch.box, box)]
        now = tissue_of(result, over)((left, top, right, bottom), 1)
        changed = (now != whole[top:bottom, left:right]).astype(np.uint8)
        for region in tissue_polygons(changed, skip_ids=(0,)):
            outer, *holes = ((ring + np.array([left, top])) * pixel for ring in region.rings_xy)
            yield shapely.make_valid(shapely.Polygon(outer, holes))


def _overlap(one: Box, other: Box) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))

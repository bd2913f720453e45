"""What somebody corrected: squares of the image where the network was asked again, told what a person says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.polygons import paint
from coseg_bundle.service.shapes import Box, inside
from coseg_bundle.view.nuclei import Nuclei, Rings, parts
from coseg_bundle.view.regions import Population, TissueMap
from coseg_bundle.view.results import Result

Task = Literal["tissue", "nuclei"]

ERASED = ""
"""The class of a drawing that takes away what is there."""


@dataclass(frozen=True)
class Drawing:
    """One stroke of the pen: what a person says about an area.

    Attributes:
        task: Whether it is about tissue or nuclei.
        name: The class; `ERASED` for none.
        polygon: Where (shapely), px of level 0. Of nuclei, each is one nucleus.
    """

    task: Task
    name: str
    polygon: Any

    @property
    def is_nucleus(self) -> bool:
        """Whether a nucleus was drawn, and none erased."""
        return self.task == "nuclei" and self.name != ERASED


@dataclass(frozen=True)
class Patch:
    """The answer to a drawing: nuclei and tissue in a box, in place of what was there.

    Attributes:
        box: Where it holds.
        drawing: What was drawn.
        population: Its nuclei. One that a drawing cut keeps the place that it had.
        ids: `(N,)` their ids in the table, 0 of those that it does not hold.
        outlines: Their outlines.
        values: `(N,)` numbers by the names of the table's columns, of all that are no classes.
        tissue: Class id and rings (outer ring, then holes) of each tissue region.
        weights: What answered.
        seconds: How long it took.
    """

    box: Box
    drawing: Drawing
    population: Population
    ids: NDArray[np.int64]
    outlines: Rings
    values: dict[str, NDArray[np.float32]]
    tissue: tuple[tuple[int, tuple[NDArray[np.float64], ...]], ...]
    weights: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The patch for the page, and for the file that it is saved in."""
        import shapely

        drawing = self.drawing
        return {
            "box": list(self.box),
            "drawing": {
                "task": drawing.task,
                "name": drawing.name,
                "geometry": shapely.geometry.mapping(drawing.polygon),
            },
            "points": self.population.points_xy.tolist(),  # to the last digit: they say in whose box a nucleus lies
            "id": self.ids.tolist(),
            "type": self.population.types.tolist(),
            "tissue": self.population.tissues.tolist(),
            "values": {name: [_known(v) for v in column.tolist()] for name, column in self.values.items()},
            "offsets": self.outlines[0].tolist(),
            "outlines": np.round(self.outlines[1].astype(np.float64), 2).tolist(),
            "regions": [[class_id, [np.round(ring, 2).tolist() for ring in rings]] for class_id, rings in self.tissue],
            "weights": self.weights,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> Patch:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        import shapely

        try:
            drawing = given["drawing"]
            x, y, width, height = (int(v) for v in given["box"])
            values = {
                str(name): np.array([np.nan if v is None else v for v in column], np.float32)
                for name, column in given["values"].items()
            }
            outlines = np.array(given["offsets"], np.int64), np.array(given["outlines"], np.float32).reshape(-1, 2)
            points = np.array(given["points"], np.float64).reshape(-1, 2)
            codes = np.array(given["type"], np.uint8), np.array(given["tissue"], np.uint8)
            population = Population(points, *codes, *probabilities(values, len(points)))
            ids = np.array(given.get("id", [0] * len(points)), np.int64)  # older files do not have them
            regions = tuple(
                (int(class_id), tuple(np.array(ring, np.float64) for ring in rings))
                for class_id, rings in given["regions"]
            )
            polygon = shapely.geometry.shape(drawing["geometry"])
            said = Drawing("nuclei" if drawing["task"] == "nuclei" else "tissue", str(drawing["name"]), polygon)
            about = str(given["weights"]), float(given["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"it is no correction that was saved here ({error!r})") from error
        return cls((x, y, width, height), said, population, ids, outlines, values, regions, *about)


def as_in_table(patch: Patch, nuclei: Nuclei) -> Patch:
    """A patch that was saved, with the columns that the table has now, which may have been measured since.

    A nucleus that has the area that the table says stands as it is in the table, and has all its numbers. One that was
    cut has another area: what was saved of it stays, and further columns are NaN, as they are of new ones.

    Args:
        patch: As it was read.
        nuclei: The table.
    """
    rows = np.flatnonzero(np.isin(nuclei.ids, patch.ids))
    _, own, found = np.intersect1d(patch.ids, nuclei.ids[rows], return_indices=True)
    rows = rows[found]
    whole = np.zeros(len(rows), bool)
    for name in {"area_um2", "area_px"} & nuclei.columns.keys() & patch.values.keys():
        saved, said = patch.values[name][own], nuclei.columns[name].values[rows]
        whole |= np.isclose(saved, said, rtol=1e-5, atol=1e-4)  # saved ones are rounded
    values = {}
    for name, column in nuclei.columns.items():
        if not column.names:
            values[name] = patch.values.get(name, np.full(len(patch.ids), np.nan, np.float32)).copy()
            values[name][own[whole]] = column.values[rows[whole]]
    return replace(patch, values=values)


def probabilities(
    values: Mapping[str, NDArray[np.float32]], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities of being a nucleus, and of the class, of a patch's nuclei; what a person drew is certain."""
    sure = np.ones(count, np.float32)
    found = (np.nan_to_num(values.get(name, sure), nan=1.0) for name in ("nuclei_prob", "type_prob"))
    return next(found), next(found)


def corrected(result: Result, patches: Sequence[Patch]) -> tuple[NDArray[np.bool_], list[NDArray[np.bool_]]]:
    """Which nuclei still stand: of the table `(N,)`, and of each patch; later patches replace earlier ones."""
    standing = np.ones(len(result.nuclei), bool)
    for box in {patch.box for patch in patches}:
        standing &= ~inside(result.nuclei.points_xy, box)
    points = np.concatenate([np.empty((0, 2)), *(patch.population.points_xy for patch in patches)])
    ends = np.cumsum([len(patch.population.types) for patch in patches], dtype=np.intp)
    rows = np.empty(0, np.intp)  # what stands so far: few, however often one frame was corrected
    for patch, end in zip(patches, ends, strict=True):
        own = np.arange(end - len(patch.population.types), end)
        rows = np.concatenate([rows[~inside(points[rows], patch.box)], own])
    kept = np.zeros(len(points), bool)
    kept[rows] = True
    return standing, np.split(kept, ends)[:-1]


def outlines_in(result: Result, patches: Sequence[Patch], box: Box) -> list[NDArray[Any]]:
    """Outlines of all nuclei that stand in a box, corrected."""
    standing, of_patches = corrected(result, patches)
    rows = np.flatnonzero(standing & inside(result.nuclei.points_xy, box))
    found: list[NDArray[Any]] = [*parts(result.nuclei.outlines(rows))]
    for patch, kept in zip(patches, of_patches, strict=True):
        if not kept.any():
            continue
        chosen = np.flatnonzero(kept & inside(patch.population.points_xy, box))
        found.extend(outline_of(patch, row) for row in chosen.tolist())
    return found


def population_of(result: Result, patches: Sequence[Patch]) -> Population:
    """All nuclei of a result, corrected."""
    columns = {name: column.values for name, column in result.nuclei.columns.items()}
    unknown = np.full(len(result.nuclei), np.nan, np.float32)
    known = (columns.get(name, unknown) for name in ("nuclei_prob", "type_prob"))
    base = Population(result.nuclei.points_xy, columns["type"], columns["tissue"], *known)
    if not patches:
        return base
    standing, of_patches = corrected(result, patches)
    parts = [(base, standing)] + [(patch.population, kept) for patch, kept in zip(patches, of_patches, strict=True)]
    return Population(
        np.concatenate([part.points_xy[kept] for part, kept in parts]),
        np.concatenate([part.types[kept] for part, kept in parts]),
        np.concatenate([part.tissues[kept] for part, kept in parts]),
        np.concatenate([part.nuclei_prob[kept] for part, kept in parts]),
        np.concatenate([part.type_prob[kept] for part, kept in parts]),
    )


def tissue_of(result: Result, patches: Sequence[Patch]) -> TissueMap:
    """The tissue map of a result, corrected."""
    whole, pixel = result.tissue_map

    def read(box: tuple[int, int, int, int], step: int) -> NDArray[np.uint8]:
        left, top, right, bottom = box
        found = whole[top:bottom:step, left:right:step].copy()
        for patch in patches:
            paint_patch(found, patch, pixel * step, (left / step, top / step))
        return found

    return read


def paint_patch(tissue_map: NDArray[np.uint8], patch: Patch, pixel: float, corner: tuple[float, float]) -> None:
    """Puts the tissue of a patch into a map whose pixels are `pixel` px of level 0 wide."""
    x, y, width, height = patch.box
    offset = np.array(corner)
    start = np.ceil(np.array([x, y]) / pixel - offset - 0.5).astype(int)
    end = np.ceil(np.array([x + width, y + height]) / pixel - offset - 0.5).astype(int)
    (x0, y0), (x1, y1) = start.clip(0).tolist(), end.clip(0).tolist()
    rings = [[ring / pixel - offset for ring in region] for _, region in patch.tissue]
    shape = tissue_map.shape[0], tissue_map.shape[1]
    painted, _ = paint(rings, [class_id for class_id, _ in patch.tissue], shape, fill=0)
    tissue_map[y0:y1, x0:x1] = painted[y0:y1, x0:x1]


def outline_of(patch: Patch, row: int) -> NDArray[np.float64]:
    """The outline of a nucleus of a patch."""
    offsets, points = patch.outlines
    return points[offsets[row] : offsets[row + 1]].astype(np.float64)


def _known(value: float) -> float | None:
    return round(value, 4) if value == value else None

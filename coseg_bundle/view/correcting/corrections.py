"""The pen: a drawing goes to the network, its answer takes the place of what was there; undo, save, load."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file, whole_folder
from coseg_bundle.classes import ClassMap
from coseg_bundle.service.shapes import Answer, Box, Shape, inside
from coseg_bundle.view.correcting.changes import changes, polygon, untouched
from coseg_bundle.view.correcting.labels import label_features
from coseg_bundle.view.correcting.patches import ERASED, Drawing, Patch, Task, probabilities
from coseg_bundle.view.nuclei import joined, parts
from coseg_bundle.view.regions import Population
from coseg_bundle.view.results import Result
from coseg_bundle.writers.geojson import write_features

if TYPE_CHECKING:
    from coseg_bundle.service.segmentation import SegmentationService

logger = logging.getLogger(__name__)

FOLDER = "corrections"
"""Where corrections are saved, in the folder of results."""

_PATCHES, _LABEL, _TRAINING = "patches.json", "label.geojson", "training"
_MEASURED = {"Nucleus probability": "nuclei_prob", "Disagreement": "disagreement"}


class ChangedElsewhereError(ValueError):
    """Somebody else changed what a page shows."""


class Corrections:
    """What somebody corrects of one result, in order.

    Args:
        result: What is corrected; a saved correction of it is loaded.
        service: Makes what answers; called with the first drawing.
    """

    def __init__(self, result: Result, service: Callable[[], SegmentationService]) -> None:
        self.result, self._service, self._lock = result, service, threading.RLock()
        self.patches: list[Patch] = []
        self.undone: list[Patch] = []
        self._saved: list[Patch] = []
        self.revision = 0
        """Counts changes, so that two pages do not take each other's back."""
        self._on_disk = _content_of(result.folder / FOLDER / _PATCHES)
        try:
            saved = json.loads((result.folder / FOLDER / _PATCHES).read_text(encoding="utf-8"))
            self.patches = [Patch.of_json(patch) for patch in saved]
            self._saved = list(self.patches)
        except (FileNotFoundError, NotADirectoryError):  # not saved yet; an image without results
            pass
        except (ValueError, TypeError) as error:
            self._on_disk = None
            result.notes.append(f"The saved corrections cannot be read ({error}); {FOLDER}/{_PATCHES} is left alone.")

    @property
    def is_saved(self) -> bool:
        """Whether what holds is what was saved."""
        return [id(patch) for patch in self.patches] == [id(patch) for patch in self._saved]

    def look(self, box: Box) -> float:
        """Has the network look at a box before anybody draws in it; returns the seconds that it took.

        Raises:
            ValueError: The box or the network cannot be used.
        """
        start = time.perf_counter()
        with self._lock:
            self._answer(box, [])
            self.result.tissue_area  # noqa: B018  (found once, and the first correction need not wait for it)
        return time.perf_counter() - start

    def segment(self, box: Box, correction: dict[str, Any] | None, complete: bool = False) -> Answer:
        """What the network says of a box, for other programs; the table stays as it is.

        Args:
            box: The box.
            correction: A FeatureCollection of what a person says; see `Query`.
            complete: Whether what it does not cover is background.

        Raises:
            ValueError: The box, the correction or the network cannot be used.
        """
        from coseg_bundle.service.query import Query

        result = self.result
        query = Query(box[:2], box[2:], 0, result.mpp, correction=correction, complete=complete, origin=result.origin)
        with self._lock:
            return self._service().segment(result.image, query)

    def correct(self, box: Box, drawing: Drawing) -> Patch:
        """Asks the network again about a box, told all that was drawn in it so far.

        Raises:
            ValueError: The drawing lies outside the box, its class is unknown, or the network cannot be used.
        """
        import shapely

        classes = self.result.tissue_classes if drawing.task == "tissue" else self.result.nuclei_classes
        if drawing.name != ERASED and drawing.name not in classes.names[1:]:
            raise ValueError(f"Unknown class {drawing.name!r}: expected one of {list(classes.names[1:])}.")
        field = shapely.box(box[0], box[1], box[0] + box[2], box[1] + box[3])
        if shapely.intersection(drawing.polygon, field).area <= 0:
            raise ValueError("The drawing lies outside the part of the image that is corrected; draw inside it.")
        start = time.perf_counter()
        with self._lock:
            said = _latest([*(patch.drawing for patch in self.patches), drawing], field)
            silent, answer = self._answer(box, []), self._answer(box, said)
            patch = self._patch(silent, answer, said, drawing, time.perf_counter() - start)
            self.patches.append(patch)
            self.undone.clear()
            self.revision += 1
        return patch

    def undo(self, seen: int | None = None) -> None:
        """Takes the last correction back; `seen` is the revision that was looked at.

        Raises:
            ChangedElsewhereError: There is a newer one.
        """
        self._move(self.patches, self.undone, seen)

    def redo(self, seen: int | None = None) -> None:
        """Makes the correction that was taken back last anew, as it was; see `undo`."""
        self._move(self.undone, self.patches, seen)

    def _move(self, source: list[Patch], target: list[Patch], seen: int | None) -> None:
        with self._lock:
            self._raise_if_newer(seen)
            if source:
                target.append(source.pop())
                self.revision += 1

    def _raise_if_newer(self, seen: int | None) -> None:
        if seen is not None and seen != self.revision:
            raise ChangedElsewhereError(
                "Corrections were changed in another window. They are shown now; look, and try again."
            )

    def save(self, seen: int | None = None) -> list[Path]:
        """Writes what was corrected, as objects for QuPath and as training data; returns the files.

        Where all was taken back, what was saved before is removed.

        Args:
            seen: The revision that was looked at.

        Raises:
            ChangedElsewhereError: There is a newer one.
            ValueError: There is nothing to save, the label cannot be used, or another program saved meanwhile.
            OSError: It cannot be written.
        """
        with self._lock:
            self._raise_if_newer(seen)
            folder = inside_folder(self.result.folder, FOLDER)
            on_disk = _content_of(folder / _PATCHES)
            if on_disk not in (None, self._on_disk):
                raise ValueError(
                    f"{FOLDER}/{_PATCHES} holds other corrections than those that were opened here, and is left alone; "
                    f"move the folder {FOLDER} away, and save again."
                )
            if not self.patches:
                if on_disk is None:
                    raise ValueError("There are no corrections to save; draw one.")
                (folder / _PATCHES).unlink()
                (folder / _LABEL).unlink(missing_ok=True)
                shutil.rmtree(folder / _TRAINING, ignore_errors=True)
                self._on_disk, self._saved = None, []
                return []
            folder.mkdir(exist_ok=True)
            write_features(folder / _LABEL, label_features(self.result, self.patches))
            made = self._prepared(folder)
            with whole_file(folder / _PATCHES) as partial:
                partial.write_text(json.dumps([patch.to_json() for patch in self.patches]) + "\n", encoding="utf-8")
            self._on_disk, self._saved = _content_of(folder / _PATCHES), list(self.patches)
            return [folder / _LABEL, made]

    def _prepared(self, folder: Path) -> Path:
        from coseg_bundle.service.training_data import Labelled, prepare

        label, result, mpp = folder / _LABEL, self.result, self._predictor().mpp
        with whole_folder(folder / _TRAINING) as partial:
            shutil.rmtree(partial, ignore_errors=True)
            labelled = [Labelled(result.name, result.image, label)]
            prepare(labelled, partial, result.tissue_classes, result.nuclei_classes, mpp)
        return folder / _TRAINING / "datalist.json"

    def _predictor(self) -> Any:
        predictor = self._service().predictor()
        own_classes = self.result.tissue_classes, self.result.nuclei_classes
        for kind, own, other in zip(("tissue", "nuclei"), own_classes, predictor.result_classes, strict=True):
            answered = other.names
            if answered != own.names:
                raise ValueError(
                    f"The results have the {kind} classes {list(own.names)}, and the network has {list(answered)}; "
                    "give the weights that the results were made with: --weights FILE."
                )
        return predictor

    def _answer(self, box: Box, said: list[Drawing]) -> Answer:
        self._predictor()
        features = [_feature(drawing, self.result.tissue_classes, self.result.nuclei_classes) for drawing in said]
        return self.segment(box, {"type": "FeatureCollection", "features": features} if features else None)

    def _patch(self, silent: Answer, answer: Answer, said: list[Drawing], drawing: Drawing, seconds: float) -> Patch:
        """The answer as columns, beside what the network says of the box when nothing is drawn in it.

        Nuclei that were drawn stand, and those under them go. Of the others those of the table stand where both answers
        are alike.
        """
        import shapely

        result = self.result
        spoken = [one for one in said if one.task == "nuclei"]
        under = shapely.union_all([one.polygon for one in spoken])
        found = [shape for shape in answer.shapes if shape.group == "nuclei"]
        rows, new = self._kept(silent, found, answer.box)
        rows = rows[~shapely.contains_xy(under, result.nuclei.points_xy[rows])]
        shapes = [shape for shape in new if not shapely.contains_xy(under, *ring_centre(shape.rings_xy[0]))]
        drawn = [(one.name, ring) for one in spoken if one.name != ERASED for ring in _outer(one.polygon, answer.box)]
        rings = [shape.rings_xy[0] for shape in shapes] + [ring for _, ring in drawn]
        names = [shape.name for shape in shapes] + [name for name, _ in drawn]
        typed = len(result.nuclei_classes) > 2
        known = [_values(shape.rings_xy[0], shape, result.mpp, typed) for shape in shapes]
        known += [_values(ring, None, result.mpp, typed) for _, ring in drawn]
        columns = {
            name: np.array([*column.values[rows], *(values.get(name, np.nan) for values in known)], np.float32)
            for name, column in result.nuclei.columns.items()
            if not column.names
        }
        middles = np.array([ring_centre(ring) for ring in rings]).reshape(-1, 2)
        points = np.concatenate([result.nuclei.points_xy[rows], middles])
        types = np.array([result.nuclei_classes.id_of(name) for name in names], np.uint8)
        types = np.concatenate([result.nuclei.columns["type"].values[rows], types])
        tissue = tuple(_tissue(answer, said, result))
        population = Population(points, types, _under(points, tissue), *probabilities(columns, len(points)))
        outlines = joined([*parts(result.nuclei.outlines(rows)), *rings])
        return Patch(answer.box, drawing, population, outlines, columns, tissue, answer.weights, seconds)

    def _kept(self, silent: Answer, found: list[Shape], box: Box) -> tuple[NDArray[np.intp], list[Shape]]:
        """Rows of the table in a box that stand, and what of an answer is new."""
        nuclei = self.result.nuclei
        rows = np.flatnonzero(inside(nuclei.points_xy, box))
        before = [shape for shape in silent.shapes if shape.group == "nuclei"]
        was, now = ([polygon(shape.rings_xy[0]) for shape in shapes] for shapes in (before, found))
        gone, new = changes(was, now, [shape.name for shape in before], [shape.name for shape in found])
        changed = [*itertools.compress(was, gone), *itertools.compress(now, new)]
        own = [polygon(ring) for ring in parts(nuclei.outlines(rows))]
        return rows[untouched(own, changed)], list(itertools.compress(found, new))


def _content_of(path: Path) -> bytes | None:
    """What a file holds, in a few bytes; None where there is none."""
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None


def inside_folder(folder: Path, name: str) -> Path:
    """A file or folder in a folder of results, links followed.

    Raises:
        PermissionError: It leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PermissionError(f"{path} leads out of the folder of results; remove the link.")
    return path


def ring_centre(ring: Any) -> tuple[float, float]:
    """The centroid of an outline."""
    import shapely

    centre = shapely.Polygon(ring).centroid
    return (centre.x, centre.y) if not centre.is_empty else tuple(np.mean(ring, axis=0))


def _latest(drawings: list[Drawing], field: Any) -> list[Drawing]:
    """What holds in a field of all that was drawn: later drawings win over earlier ones of the same task."""
    import shapely

    kept: list[Drawing] = []
    for drawing in drawings:
        if not shapely.intersects(drawing.polygon, field):
            continue
        rest = [
            one
            if one.task != drawing.task
            else Drawing(one.task, one.name, shapely.difference(one.polygon, drawing.polygon))
            for one in kept
        ]
        kept = [one for one in rest if one.polygon.area > 0] + [drawing]
    return [Drawing(one.task, one.name, _areal(one.polygon)) for one in kept]


def _areal(geometry: Any) -> Any:
    """The polygons of a geometry; lines and points that an operation leaves are dropped."""
    import shapely

    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _feature(drawing: Drawing, tissue: ClassMap, nuclei: ClassMap) -> dict[str, Any]:
    import shapely

    task: Task = drawing.task
    name = drawing.name or (tissue if task == "tissue" else nuclei).names[0]
    return {
        "type": "Feature",
        "geometry": shapely.geometry.mapping(drawing.polygon),
        "properties": {
            "objectType": "annotation" if task == "tissue" else "detection",
            "classification": {"name": name},
        },
    }


def _outer(polygon: Any, box: Box) -> Iterator[Any]:
    """Outlines of a drawn nucleus whose middle lies in a box."""
    import shapely

    for part in shapely.get_parts(polygon):
        x, y = part.centroid.coords[0]
        if box[0] <= x < box[0] + box[2] and box[1] <= y < box[1] + box[3]:
            yield np.asarray(part.exterior.coords, np.float64)[:-1]


def _values(ring: Any, shape: Any, mpp: float | None, typed: bool) -> dict[str, float]:
    import shapely

    area = float(shapely.Polygon(ring).area)
    known = {"area_px": area, **({"area_um2": area * mpp**2} if mpp else {})}
    if shape is not None:
        known |= {_MEASURED[name]: value for name, value in shape.measurements.items() if name in _MEASURED}
        if typed and shape.score is not None:
            known["type_prob"] = shape.score
    return known


def _tissue(answer: Answer, said: list[Drawing], result: Result) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Class id and rings of each tissue region; glass beside a slide's tissue has none, unless somebody drew it."""
    import shapely

    drawn = [one.polygon for one in said if one.task == "tissue"]
    allowed = None if result.tissue_area is None else shapely.union_all([result.tissue_area, *drawn])
    for shape in (shape for shape in answer.shapes if shape.group == "tissue"):
        class_id = result.tissue_classes.id_of(shape.name)
        if allowed is None:
            yield class_id, shape.rings_xy
            continue
        whole = shapely.make_valid(shapely.Polygon(shape.rings_xy[0], shape.rings_xy[1:]))
        for part in shapely.get_parts(shapely.intersection(whole, allowed)):
            if part.geom_type == "Polygon" and part.area > 0:
                rings = (part.exterior, *part.interiors)
                yield class_id, tuple(np.asarray(ring.coords, np.float64)[:-1] for ring in rings)


def _under(points_xy: Any, tissue: Any) -> Any:
    """The tissue class at each point, 0 where there is no region."""
    import shapely

    found = np.zeros(len(points_xy), np.uint8)
    for class_id, rings in tissue:
        region = shapely.make_valid(shapely.Polygon(rings[0], rings[1:]))
        shapely.prepare(region)
        found[shapely.contains_xy(region, points_xy)] = class_id
    return found

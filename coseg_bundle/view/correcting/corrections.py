"""The pen: a drawing goes to the network, its answer takes the place of what was there; undo, save, load."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coseg_bundle.atomic import carry_over, rename_aside, whole_file, whole_folder
from coseg_bundle.classes import ClassMap
from coseg_bundle.service.shapes import Answer, Box, whole_px
from coseg_bundle.view.correcting.answers import patch_of
from coseg_bundle.view.correcting.changes import polygon
from coseg_bundle.view.correcting.drawings import after, one_outline, told, within
from coseg_bundle.view.correcting.labels import box_of, label_features, place_of
from coseg_bundle.view.correcting.patches import ERASED, Drawing, Patch, Task, as_in_table, outlines_in
from coseg_bundle.view.correcting.saved import (
    DATALIST,
    FOLDER,
    LABEL,
    PATCHES,
    TRAINING,
    content_of,
    is_of_training,
    put_changed_aside,
    read_saved,
    remove_saved,
    write_saved,
)
from coseg_bundle.view.results import Result
from coseg_bundle.writers.corrections import are_former, content_of_results, said_of_results
from coseg_bundle.writers.geojson import write_features

if TYPE_CHECKING:
    from coseg_bundle.service.segmentation import SegmentationService

REACH_PX = 64
"""How far beside a drawing the nuclei that it may touch have their centroids, px of the network."""

_FORMER = (
    "The saved corrections are of other results than these, which were made anew since, and are not applied. They stay "
    f"in {FOLDER}; when new ones are saved, that folder becomes {FOLDER}.former."
)


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
        self._held: tuple[Patch | None, list[Drawing]] = (None, [])
        self.revision = 0
        """Counts changes, so that two pages do not take each other's back."""
        self._results, self._summary = content_of_results(result.folder), said_of_results(result.folder)
        self._on_disk = content_of(result.folder / FOLDER / PATCHES)
        self._former = are_former(result.folder)
        if self._former:
            result.notes.append(_FORMER)
            return
        try:
            saved, unsaid = read_saved(result.folder / FOLDER)
            self.patches = [as_in_table(patch, result.nuclei) for patch in saved]
            self._saved = list(self.patches)
            result.notes += unsaid
        except (FileNotFoundError, NotADirectoryError):  # not saved yet; an image without results
            pass
        except (ValueError, TypeError) as error:
            self._on_disk = None
            result.notes.append(f"The saved corrections cannot be read ({error}); {FOLDER}/{PATCHES} is left alone.")

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

        The box is widened where the drawing, or a nucleus that it touches, reaches out of it, by half its side at each
        edge: there tissue and what erases end, for what is said must lie in the box that the answer holds in.

        Raises:
            ValueError: The drawing lies outside the box; it is no outline of one nucleus, or reaches too far out of the
                box as one; its class is unknown; or the network cannot be used.
        """
        classes = self.result.tissue_classes if drawing.task == "tissue" else self.result.nuclei_classes
        if drawing.name != ERASED and drawing.name not in classes.names[1:]:
            raise ValueError(f"Unknown class {drawing.name!r}: expected one of {list(classes.names[1:])}.")
        if drawing.is_nucleus:
            drawing = replace(drawing, polygon=one_outline(drawing.polygon))
        else:
            drawing = within(drawing, _widest(box))
        start = time.perf_counter()
        with self._lock:
            earlier = self._standing()
            box, standing = self._holding(box, drawing, earlier), after(earlier, drawing)
            silent, answer = self._answer(box, []), self._answer(box, told(standing, box_of(box)))
            patch = patch_of(self.result, silent, answer, standing, drawing, time.perf_counter() - start)
            self.patches.append(patch)
            self._held = patch, standing
            self.undone.clear()
            self.revision += 1
        return patch

    def _standing(self) -> list[Drawing]:
        """What holds of all that was drawn; kept with the last patch, which always comes after the same ones."""
        last = self.patches[-1] if self.patches else None
        if last is not self._held[0]:
            self._held = last, reduce(after, (patch.drawing for patch in self.patches), list[Drawing]())
        return self._held[1]

    def _holding(self, box: Box, drawing: Drawing, earlier: list[Drawing]) -> Box:
        """A box, widened to hold a drawing and the nuclei that it touches: what changes must lie in one patch."""
        import shapely

        result, touched, field = self.result, list[Any](), box_of(box)
        if shapely.intersection(drawing.polygon, field).area <= 0:
            raise ValueError("The drawing lies outside the part of the image that is corrected; draw inside it.")
        if drawing.task == "nuclei":
            reach = REACH_PX * (result.network_mpp / result.mpp if result.mpp else 1)
            around = whole_px(drawing.polygon.buffer(reach).bounds, result.size_xy)
            near = [polygon(ring) for ring in outlines_in(result, self.patches, around)]
            near += [one.polygon for one in earlier if one.is_nucleus]
            touched = [one for one, meets in zip(near, shapely.intersects(near, drawing.polygon), strict=True) if meets]
        wide = whole_px(shapely.total_bounds([field, drawing.polygon, *touched]), result.size_xy)
        if drawing.is_nucleus and (wide[2] > 2 * box[2] or wide[3] > 2 * box[3]):
            raise ValueError(
                "The nucleus reaches too far out of the frame; move the frame there, so that it holds the nucleus."
            )
        return wide

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

        Where all was taken back, what was saved before is removed. The folder with what was saved of other
        results than these is renamed, and so are a label and a datalist that were changed since they were saved.

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
            on_disk = content_of(folder / PATCHES)
            if on_disk not in (None, self._on_disk):
                raise ValueError(
                    f"{FOLDER}/{PATCHES} holds other corrections than those that were opened here, and is left alone; "
                    f"move the folder {FOLDER} away, and save again."
                )
            if not self.patches:
                if on_disk is None or self._former:
                    raise ValueError("There are no corrections to save; draw one.")
                aside = put_changed_aside(folder)
                remove_saved(folder)
                self._on_disk, self._saved = None, []
                return aside
            if on_disk is not None and self._former:
                rename_aside(folder)
            folder.mkdir(exist_ok=True)
            with whole_file(folder / LABEL) as label, whole_folder(folder / TRAINING) as training:
                write_features(label, label_features(self.result, self.patches), place_of(self.result))
                self._prepare(label, training)
                aside = put_changed_aside(folder)
                carry_over(folder / TRAINING, training, is_of_training)
            write_saved(folder, self._results, self.patches, self._summary)
            self._former = False
            self._on_disk, self._saved = content_of(folder / PATCHES), list(self.patches)
            return [folder / LABEL, folder / TRAINING / DATALIST, *aside]

    def _prepare(self, label: Path, folder: Path) -> None:
        """Writes the training data of a label."""
        from coseg_bundle.service.training_data import Labelled, prepare

        result, mpp = self.result, self._predictor().mpp
        shutil.rmtree(folder, ignore_errors=True)
        tasks = frozenset(patch.drawing.task for patch in self.patches)  # where all was erased, there is nothing
        labelled = [Labelled(result.name, result.image, label, mpp=result.mpp, tasks=tasks)]
        prepare(labelled, folder, result.tissue_classes, result.nuclei_classes, mpp)

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
        if (sentence := _of_other_weights(self.result.summary, predictor)) not in ("", *self.result.notes):
            self.result.notes.append(sentence)
        return predictor

    def _answer(self, box: Box, said: list[Drawing]) -> Answer:
        self._predictor()
        features = [_feature(drawing, self.result.tissue_classes, self.result.nuclei_classes) for drawing in said]
        return self.segment(box, {"type": "FeatureCollection", "features": features} if features else None)


def _of_other_weights(summary: Mapping[str, Any], predictor: Any) -> str:
    """A sentence where results are of other weights than a predictor's.

    Empty where results do not say their weights, and for an exported network, whose checksum is that of its own file.
    """
    name, made_with, answering = summary.get("weights"), summary.get("weights_sha256"), predictor.weights_sha256
    if not (isinstance(made_with, str) and answering) or made_with == answering or str(name).lower().endswith(".onnx"):
        return ""
    return (
        f"The results were made with the weights {name} (SHA-256 {made_with[:12]}), and others answer corrections, "
        f"{predictor.weights.name} (SHA-256 {answering[:12]}): what is not drawn in a frame becomes their answer. To "
        "correct with those of the results, stop coseg view and start it with --weights FILE."
    )


def _widest(box: Box) -> Any:
    """The most that a box is widened to (shapely): twice its side."""
    import shapely

    x, y, width, height = box
    return shapely.box(x - width / 2, y - height / 2, x + 1.5 * width, y + 1.5 * height)


def inside_folder(folder: Path, name: str) -> Path:
    """A file or folder in a folder of results, links followed.

    Raises:
        PermissionError: It leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PermissionError(f"{path} leads out of the folder of results; remove the link.")
    return path


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

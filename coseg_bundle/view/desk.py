"""A result on the desk: all that the page asks about it, in one place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from coseg_bundle.view.correcting.corrections import ChangedElsewhereError, Corrections, inside_folder
from coseg_bundle.view.correcting.labels import areas, box_of
from coseg_bundle.view.correcting.patches import ERASED, Drawing, Patch, Task, population_of, tissue_of
from coseg_bundle.view.correcting.surroundings import unknown
from coseg_bundle.view.correcting.tissue import corrected_regions
from coseg_bundle.view.region_file import RegionFile, drawn_region
from coseg_bundle.view.regions import numbers, region_of
from coseg_bundle.view.results import Result
from coseg_bundle.view.tiles import TILE_PX, ImageTiles, TissueTiles, level_count
from coseg_bundle.writers.summary import doubts_in

if TYPE_CHECKING:
    from coseg_bundle.service.segmentation import SegmentationService

REGIONS = "regions.geojson"
_LOOK_PX = 1024
"""Side of the square that a correction is asked about, px of the network."""

_MOST_REGIONS = 1000
_OF_TASK = {"nuclei": ("all", "classes"), "tissue": ("tissue",)}
"""Numbers of a region that a task gives."""


class Desk:
    """A result, its tiles, its corrections.

    Args:
        result: The result.
        service: Makes what answers corrections; None where nothing can be corrected.
    """

    def __init__(self, result: Result, service: Callable[[], SegmentationService] | None = None) -> None:
        self.result, self._service = result, service
        self._lock, self._first = threading.Lock(), threading.Lock()
        self._corrections: Corrections | None = None

    @cached_property
    def image_tiles(self) -> ImageTiles | None:
        """Tiles of the image; None where it is not there."""
        return ImageTiles(self.result.reader) if self.result.reader else None

    @cached_property
    def tissue_tiles(self) -> TissueTiles:
        """Tiles of the tissue map."""
        with self._lock:
            tissue_map = self.result.tissue_map
        return TissueTiles(*tissue_map, self.result.tissue_classes, self.result.size_xy)

    @property
    def corrections(self) -> Corrections:
        """What is corrected: the same for all who ask, also for those who ask first at once."""

        def missing() -> SegmentationService:
            raise ValueError("Nothing can be corrected here.")

        with self._first:
            if self._corrections is None:
                self._corrections = Corrections(self.result, self._service or missing)
            return self._corrections

    def warm_up(self) -> None:
        """Reads what the page asks first. What goes wrong is told when it asks."""
        with contextlib.suppress(Exception):
            self.about()
            self.tissue_tiles  # noqa: B018  (read and kept)
            self.result.nuclei.outlines(np.arange(min(1, len(self.result.nuclei))))  # what reads outlines is imported

    def about(self) -> dict[str, Any]:
        """What the page must know first."""
        with self._lock:  # the first question reads the table
            result, nuclei, image = self.result, self.result.nuclei, self.image_tiles
            if self._service:
                self.corrections  # noqa: B018  (what was saved before may have something to say)
        side = round(_LOOK_PX * (result.network_mpp / result.mpp if result.mpp else 1))
        return {
            "name": result.title,
            "kind": result.kind,
            "size": list(result.size_xy),
            "mpp": result.mpp,
            "nuclei": len(nuclei),
            "tile": TILE_PX,
            "levels": level_count(result.size_xy),
            "image": image is not None,
            "cell": nuclei.cell_px,
            "columns": [
                {"name": column.name, "label": column.label, "names": list(column.names)}
                for column in nuclei.columns.values()
            ],
            "nuclei_classes": _classes(result.nuclei_classes),
            "tissue_classes": [
                {**one, "tinted": result.tissue_classes.is_tinted(i)}
                for i, one in enumerate(_classes(result.tissue_classes))
            ],
            "correct": side if self._service and image is not None and result.kind != "image" else 0,
            "weights": result.summary.get("weights"),
            "notes": self.notes(),
        }

    def notes(self) -> list[str]:
        """Sentences for who looks at the result: those of the network that corrects it once that is known."""
        summary = self.result.summary
        return [*dict.fromkeys((*self.result.notes, *summary.get("read_as", []), *doubts_in(summary)))]

    def column(self, name: str) -> bytes:
        """A column: little-endian float32, or uint8 of a class; `id` int32; `xy` pairs of float32.

        Args:
            name: One of the table's, `xy` or `id`.
        """
        nuclei = self.result.nuclei
        if name == "xy":
            return nuclei.points_xy.astype("<f4").tobytes()
        if name == "id":
            return nuclei.ids.astype("<i4").tobytes()
        column = nuclei.columns[name]
        return column.values.astype("u1" if column.names else "<f4").tobytes()

    def tissue_regions(self, patches: Sequence[Patch]) -> list[dict[str, Any]]:
        """Class, area and box of each tissue region, with some corrections."""
        return corrected_regions(self.result, patches)

    def measured(self, feature: Any, patches: Sequence[Patch] | None = None) -> dict[str, Any]:
        """Counts and densities of a drawn region, the same as `measurements` that are saved, and its shape: cut at the
        border, and where nobody looked; parted where it crosses itself. Of tasks that nobody taught the network nothing
        is said.

        Args:
            feature: A GeoJSON feature or geometry, px of level 0.
            patches: The corrections that are taken in, in order; all when not given.

        Raises:
            ValueError: It is no region of the image, or of what was looked at.
        """
        result, patches = self.result, [*self.corrections.patches] if patches is None else patches
        polygon = self._seen(region_of(feature, result.size_xy))
        names = result.nuclei_classes.names, result.tissue_classes.names
        population, tissue = population_of(result, patches), tissue_of(result, patches)
        found = numbers(polygon, population, *names, result.mpp, tissue, result.tissue_map[1])
        found = _taught(found, result.untrained)
        return {"geometry": polygon.__geo_interface__, **found, "measurements": measurements(found)}

    def _seen(self, polygon: Any) -> Any:
        """What of a region was looked at, by the run or for a correction."""
        import shapely

        if self.result.seen is None:
            return polygon
        boxes = [box_of(patch.box) for patch in self.corrections.patches]
        parts = areas(shapely.intersection(polygon, shapely.union_all([self.result.seen, *boxes])))
        if not parts:
            raise ValueError(
                "The region lies where the run did not look: it was limited to regions, or could not read the slide "
                "there. Draw inside of what was segmented."
            )
        return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

    def saved_regions(self) -> dict[str, Any]:
        """The drawn regions that were saved, a FeatureCollection; `fixed` where the file is a run's and stays.

        Raises:
            ValueError: The file is broken.
        """
        regions = RegionFile.read(self.result.folder / REGIONS).regions
        state, fixed = self.regions_state(), self._regions_fixed
        return {"type": "FeatureCollection", "features": regions, "state": state, "fixed": fixed}

    @property
    def _regions_fixed(self) -> bool:
        """Whether the file of regions says what the run was limited to."""
        return self.result.summary.get("regions") is not None

    def regions_state(self) -> str:
        """Changes with the file of the drawn regions; empty where there is none."""
        path = self.result.folder / REGIONS
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""

    def state(self) -> dict[str, Any]:
        """By what a page knows whether another one changed something."""
        return {"corrections": self.corrections.revision, "regions": self.regions_state()}

    def save_regions(self, content: Any) -> int:
        """Saves drawn regions as annotations for QuPath, their numbers as measurements; returns how many.

        What is there and no region stays, and so does what a region of the same outline was given in QuPath.

        Args:
            content: A FeatureCollection; its `state`, if it has one, is that of the saved regions that it knows.

        Raises:
            ChangedElsewhereError: Others were saved meanwhile.
            ValueError: One is no region of the image.
            OSError: They cannot be written.
        """
        features = content.get("features") if isinstance(content, Mapping) else None
        if not isinstance(features, list) or len(features) > _MOST_REGIONS:
            raise ValueError(f"Expected a FeatureCollection of at most {_MOST_REGIONS} regions.")
        if content.get("state", self.regions_state()) != self.regions_state():
            raise ChangedElsewhereError(
                f"{REGIONS} was changed in another window or program. Its regions are shown here now, with what you "
                "changed; look, and save again."
            )
        written = []
        for number, feature in enumerate(features, start=1):
            found = self.measured(feature)
            name = _name_of(feature) or f"region {number}"
            written.append(drawn_region(feature["geometry"], name, found["measurements"], self.result.name))
        if self.result.kind == "image":
            raise ValueError("There is no folder of results to save regions in; download them as GeoJSON.")
        if self._regions_fixed:
            raise ValueError(
                f"{REGIONS} says what the run was limited to, and stays as it is; download the drawn regions instead."
            )
        path = inside_folder(self.result.folder, REGIONS)
        RegionFile.read(path).with_regions(written).write(path)
        return len(written)

    def edits(self) -> dict[str, Any]:
        """What was corrected so far, for the page."""
        corrections = self.corrections
        return {
            "revision": corrections.revision,
            "saved": corrections.is_saved,
            "undone": len(corrections.undone),
            "patches": [patch.to_json() for patch in corrections.patches],
            "unknown": self._unknown(),
        }

    def correct(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Asks the network about a box, told what was drawn; see `Corrections.correct`.

        Raises:
            ValueError: A field makes no sense.
        """
        task: Task | None = {"tissue": "tissue", "nuclei": "nuclei"}.get(str(request.get("task")))  # type: ignore[assignment]
        if task is None:
            raise ValueError(f"Expected the task tissue or nuclei, got {request.get('task')!r}.")
        box = self._box(request.get("box"))
        polygon = region_of(request.get("drawn"), self.result.size_xy)
        patch = self.corrections.correct(box, Drawing(task, str(request.get("name") or ERASED), polygon))
        answer = {"revision": self.corrections.revision, "patch": patch.to_json(), "unknown": self._unknown()}
        return {**answer, "notes": self.notes(), **self._changed(patch)}

    def look(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Has the network look at a box, so that the first correction in it is as fast as the others."""
        return {"seconds": round(self.corrections.look(self._box(request.get("box"))), 2), "notes": self.notes()}

    def segment(self, request: Mapping[str, Any]) -> str:
        """The network's answer for a box, for other programs: a FeatureCollection as text.

        Raises:
            ValueError: A field makes no sense.
        """
        from coseg_bundle.service.formats import features

        correction = request.get("correction")
        if correction is not None and not isinstance(correction, dict):
            raise ValueError(f"Expected correction to be a GeoJSON FeatureCollection, got {type(correction).__name__}.")
        box = self._box(request.get("box"))
        answer = self.corrections.segment(box, correction, bool(request.get("complete")))
        place = json.dumps(dict(answer.place))
        return f'{{"type":"FeatureCollection","coseg":{place},"features":[{",".join(features(answer))}]}}'

    def _unknown(self) -> dict[str, list[int]]:
        """Rows, by column, of what corrections may have changed; rows of patches stand behind those of the table."""
        found = unknown(self.result, [*self.corrections.patches])
        return {name: np.flatnonzero(rows).tolist() for name, rows in found.items()}

    def _changed(self, patch: Patch) -> dict[str, Any]:
        """Numbers of a correction's box with what was corrected until then, and with the correction too."""
        x, y, width, height = patch.box
        ring = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
        box = {"type": "Polygon", "coordinates": [ring]}
        earlier = [*takewhile(lambda one: one is not patch, self.corrections.patches)]
        return {"before": self.measured(box, earlier), "after": self.measured(box, [*earlier, patch])}

    def _box(self, given: Any) -> tuple[int, int, int, int]:
        try:
            x, y, width, height = (int(value) for value in given)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"Expected box to be x, y, width and height in pixels, got {given!r}.") from error
        size = self.result.size_xy
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, size[0]), min(y + height, size[1])
        if left >= right or top >= bottom:
            raise ValueError(f"The box {given} lies outside the image, which is {list(size)} px.")
        return left, top, right - left, bottom - top


def measurements(found: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of a region by their names in QuPath; what is not known is left out."""
    pairs = {"Area mm2": found["area_mm2"]}
    if counted := found.get("all"):
        pairs |= {"Nuclei": counted["count"], "Nuclei per mm2": counted["density_mm2"], **_ends("Nuclei", counted)}
    for part in found.get("classes", ()):
        pairs |= {f"{part['name']}: nuclei": part["count"], f"{part['name']}: per mm2": part["density_mm2"]}
        pairs |= _ends(f"{part['name']}: nuclei", part)
    for part in found.get("tissue", ()):
        pairs |= {f"{part['name']}: area mm2": part["area_mm2"]}
    return {name: value for name, value in pairs.items() if value is not None and np.isfinite(value)}


def _taught(found: Mapping[str, Any], untrained: Sequence[str]) -> dict[str, Any]:
    """The numbers of a region without those of untrained tasks, which nobody counted."""
    left_out = {key for task in untrained for key in _OF_TASK.get(task, ())}
    kept = {key: value for key, value in found.items() if key not in left_out}
    if "nuclei" in untrained and "tissue" in kept:
        kept["tissue"] = [{key: part[key] for key in ("name", "share", "area_mm2")} for part in kept["tissue"]]
    return kept


def _ends(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"expected": "expected", "at least": "low", "at most": "high"}
    return {f"{name}, {words}": part[key] for words, key in ends.items()}


def _classes(classes: Any) -> list[dict[str, Any]]:
    return [{"name": name, "color": list(classes.colour_of(i))} for i, name in enumerate(classes.names)]


def _name_of(feature: Any) -> str:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    return str((properties or {}).get("name") or "")[:100]

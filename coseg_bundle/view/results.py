"""A finished folder of results, of `coseg slide` or `coseg predict`, as the page shows it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import IMAGE_SUFFIXES
from coseg_bundle.data.labels.regions import read_regions
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.postprocessing.tissue import tissue_polygons
from coseg_bundle.view.nuclei import CELL_PX, CELL_UM, Nuclei, no_nuclei, read_csv, read_measures, read_parquet
from coseg_bundle.writers.folders import ResultsFolderError, check_own, recorded
from coseg_bundle.writers.stamp import Stamp
from coseg_bundle.writers.summary import MADE_FROM, SUMMARY, BrokenRecordError, broken_boxes, read_record
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.backends import open_backend
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.results.reading import FinishedSlide
from coseg_bundle.wsi.results.regions_file import REGIONS
from coseg_bundle.wsi.segment.foreground import TISSUE, look_for_tissue, without_holes
from coseg_bundle.wsi.segment.horizon import Horizon

logger = logging.getLogger(__name__)

_OF_IMAGE = {"nuclei": ("nuclei.csv", "nuclei.geojson"), "tissue": ("tissue.tif", "tissue.geojson")}
_NETWORK_MPP = 0.25
"""Of the released weights, for results that do not say."""

_LARGEST_IMAGE_PX = 8192
"""Side of an image that is better read in parts."""

_MEASURES = Path("measures", "nuclei.parquet")
"""Where `coseg measure` writes what it measured of each nucleus."""


@dataclass
class Result:
    """What was found in a slide or an image.

    Attributes:
        folder: The folder of results; the image itself where there are none.
        kind: The command that wrote it, `slide` or `predict`; `image` where there are no results.
        image: The file that was segmented, where it was then.
        size_xy: Its width and height, px of level 0.
        mpp: Microns per pixel of level 0; None where it is not known.
        origin: Where pixel (0, 0) lies.
        nuclei_classes: Background first.
        tissue_classes: Names by id.
        summary: Content of `summary.json`.
        notes: Sentences for who looks at it.
        place: The folders that tell it from others of its name, `A/`; empty where none has it.
    """

    folder: Path
    kind: str
    image: Path
    size_xy: tuple[int, int]
    mpp: float | None
    origin: Origin
    nuclei_classes: ClassMap
    tissue_classes: ClassMap
    summary: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    place: str = ""

    def __post_init__(self) -> None:
        self._stamp = Stamp.of(self.folder)

    def raise_if_changed(self) -> None:
        """Refuses to mix what was read with what lies there now.

        Raises:
            ResultsFolderError: The folder was removed, or its results made anew.
        """
        self._stamp.raise_if_changed("stop coseg view and start it again")

    @property
    def name(self) -> str:
        """The name of the folder, which is the file's."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What the page calls it: its name, and where others have it too, the folders that differ."""
        return self.place + self.name

    @cached_property
    def nuclei(self) -> Nuclei:
        """The nuclei, with what `coseg measure` measured of them where it did."""
        cell = max(1, round(CELL_UM / self.mpp)) if self.mpp else CELL_PX
        classes = self.nuclei_classes, self.tissue_classes
        if "nuclei" in self.untrained:
            return no_nuclei(*classes, cell)
        if self.kind == "slide":
            nuclei = read_parquet(self.folder / "nuclei.parquet", *classes, cell)
        else:
            nuclei = read_csv(self.folder / "nuclei.csv", self.folder / "nuclei.geojson", *classes, cell)
        if not (self.folder / _MEASURES).is_file():
            return nuclei
        try:
            return read_measures(self.folder / _MEASURES, nuclei)
        except (ValueError, OSError) as error:
            self.notes.append(f"{_MEASURES} is not used: {error}; measure anew with coseg measure.")
            return nuclei

    @property
    def network_mpp(self) -> float:
        """Microns per pixel of the network that segmented, as far as the results say."""
        said = self.summary.get("network_mpp") or self.summary.get(MADE_FROM, {}).get("network_mpp")
        return float(said or _NETWORK_MPP)

    @property
    def untrained(self) -> tuple[str, ...]:
        """Tasks that nobody taught the network: there is nothing of them."""
        return tuple(self.summary.get("untrained", ()))

    @cached_property
    def tissue_map(self) -> tuple[NDArray[np.uint8], float]:
        """The tissue map `(H, W)` of class ids, and how many pixels of level 0 one of its pixels is wide."""
        if "tissue" in self.untrained:
            return np.zeros((1, 1), np.uint8), float(max(self.size_xy))
        if self.kind == "slide":
            found, mpp = FinishedSlide(self.folder, self.summary).tissue()
            return found, mpp / self.summary["mpp"]
        import tifffile

        return tifffile.imread(self.folder / "tissue.tif"), 1.0

    @cached_property
    def tissue_regions(self) -> list[dict[str, Any]]:
        """Tissue regions for a table: class, area and box of each."""
        if "tissue" in self.untrained:
            return []
        content = json.loads((self.folder / "tissue.geojson").read_text(encoding="utf-8"))
        return [_row(feature, self.mpp) for feature in content["features"]]

    @cached_property
    def tissue_shapes(self) -> NDArray[Any]:
        """The regions of `tissue_regions` as polygons (shapely), px of level 0."""
        import shapely

        if "tissue" in self.untrained:
            return np.zeros(0, object)
        text = (self.folder / "tissue.geojson").read_text(encoding="utf-8")
        return np.asarray(shapely.get_parts(shapely.from_geojson(text)), object)

    @cached_property
    def reader(self) -> SlideReader | None:
        """The image; None where it is not there, is another one, or cannot be read. The notes say so."""
        try:
            if not self.image.exists():
                raise ValueError(f"{self.image} is not there; give the image with --image FILE")
            made_from = self.summary.get(MADE_FROM, {}).get("content")
            if made_from is not None and fingerprint(self.image) != made_from:
                raise ValueError(f"{self.image} is another image than the one that was segmented")
            backend = open_backend(self.image, self.origin)
            if backend.level_sizes_xy[0] != self.size_xy:
                backend.close()
                raise ValueError(f"{self.image} is no longer as large as the image that was segmented")
        except (ValueError, OSError) as error:
            self.notes.append(f"The image is not shown: {str(error).rstrip('.')}.")
            logger.warning("%s: %s", self.folder, self.notes[-1])
            return None
        return SlideReader(self.image, backend, self.mpp or 1.0, self.origin)

    @cached_property
    def seen(self) -> Any:
        """What of a slide was looked at (shapely), px of level 0: not beside the regions that the run was limited to,
        nor where it could not be read. None where all was."""
        file = self.folder / REGIONS
        limited = self.kind == "slide" and self.summary.get("regions") is not None and file.is_file()
        within = [region.polygon for region in read_regions(file, self.size_xy).regions] if limited else None
        return Horizon.of(self.size_xy, within, broken_boxes(self.summary)).seen

    @cached_property
    def tissue_area(self) -> Any:
        """Where a slide holds tissue (shapely), found as a run finds it; None for images, which are segmented whole."""
        if self.kind != "slide" or self.reader is None:
            return None
        import shapely

        mask = without_holes(look_for_tissue(self.reader)[1]) == TISSUE
        scale = np.array(self.size_xy) / (mask.shape[1], mask.shape[0])
        rings = ([ring * scale for ring in region.rings_xy] for region in tissue_polygons(mask.astype(np.uint8), (0,)))
        return shapely.union_all([shapely.make_valid(shapely.Polygon(outer, holes)) for outer, *holes in rings])


def open_results(folders: Sequence[Path], image: Path | None = None) -> tuple[list[Result], list[str]]:
    """Opens folders of results, and folders that hold such folders.

    Args:
        folders: What a user names.
        image: The image of the only folder, where it was moved.

    Returns:
        The results, and a sentence for each folder that cannot be used.

    Raises:
        ResultsFolderError: `image` is given and there are several results.
    """
    results, sentences = [], []
    for folder in dict.fromkeys(inner for given in folders for inner in _finished_below(given)):
        try:
            results.append(open_image(folder) if folder.is_file() else open_result(folder))
        except (ValueError, OSError) as error:
            sentences.append(str(error) if str(folder) in str(error) else f"{folder}: {error}")
    if image is not None:
        if len(results) != 1:
            raise ResultsFolderError(f"--image is for one folder of results, got {len(results)}.")
        results[0].image = image
    _tell_apart(results)
    return results, sentences


def _tell_apart(results: Sequence[Result]) -> None:
    """Names the folders from which on results of one name differ."""
    named: dict[str, list[Result]] = {}
    for result in results:
        named.setdefault(result.name, []).append(result)
    for alike in named.values():
        above = [result.folder.parent.parts for result in alike]
        depth = next(k for k in count() if len({parts[-k:] if k else () for parts in above}) == len(alike))
        for result, parts in zip(alike, above, strict=True):
            result.place = "".join(f"{part}/" for part in (parts[-depth:] if depth else ()))


def open_result(folder: Path) -> Result:
    """Opens a folder of results.

    Raises:
        ResultsFolderError: It holds no finished results, or broken ones.
    """
    try:
        made_from = recorded(folder) or {}
        if not (folder / SUMMARY).is_file():
            raise ResultsFolderError(
                f"{folder}: no finished results ({SUMMARY} is missing); give a folder that coseg slide or coseg "
                "predict wrote."
            )
        if made_from.get("kind") == "slide":
            return _of_slide(FinishedSlide.open(folder))
        return _of_image(folder, read_record(folder / SUMMARY))
    except BrokenRecordError as error:
        raise ResultsFolderError(f"{error}; make the results anew with --overwrite.") from error


def open_image(path: Path) -> Result:
    """A slide or an image without results: it is shown, with a sentence that says how to segment it.

    Raises:
        ValueError: It cannot be read.
        OSError: The same.
    """
    backend = open_backend(path)
    size, mpp = backend.level_sizes_xy[0], backend.pixel_size.mpp
    backend.close()
    nothing = ClassMap(("background",))
    small = path.name.lower().endswith(IMAGE_SUFFIXES) and max(size) <= _LARGEST_IMAGE_PX
    command = "predict" if small else "slide"
    notes = [
        f"There are no results yet. Segment it with coseg {command} {path.name} --output results, then look at "
        f"results/{path.name}."
    ]
    summary = {"untrained": ["nuclei", "tissue"]}
    return Result(path, "image", path, size, mpp, "bounds", nothing, nothing, summary, notes)


def _of_slide(finished: FinishedSlide) -> Result:
    summary = finished.summary
    check_own(finished.folder, summary, "tissue.geojson")
    size = summary["width_px"], summary["height_px"]
    origin: Origin = "canvas" if summary.get("origin") == "canvas" else "bounds"
    classes = finished.nuclei_classes, finished.tissue_classes
    return Result(finished.folder, "slide", finished.slide, size, summary["mpp"], origin, *classes, summary)


def _of_image(folder: Path, summary: dict[str, Any]) -> Result:
    wanted = [name for task, names in _OF_IMAGE.items() if task not in summary.get("untrained", ()) for name in names]
    absent = [name for name in wanted if not (folder / name).is_file()]
    if absent:
        raise ResultsFolderError(f"{folder}: {absent[0]} is missing; predict anew with coseg predict --overwrite.")
    check_own(folder, summary, *wanted)
    try:
        size = int(summary["width_px"]), int(summary["height_px"])
        mpp = float(summary["mpp"]) if summary["mpp"] else None
        nuclei = ClassMap(("background", *summary["nuclei_by_class"]))
        tissue = ClassMap(tuple(summary["tissue_area_px"]))
        image = Path(summary.get(MADE_FROM, {}).get("file") or summary["image"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultsFolderError(
            f"{folder / SUMMARY} is broken (no usable {error}); predict anew with coseg predict --overwrite."
        ) from error
    return Result(folder, "predict", image, size, mpp, "bounds", nuclei, tissue, summary)


def _finished_below(folder: Path) -> list[Path]:
    """The folder itself, or the folders of results in it."""
    folder = folder.resolve()
    if (folder / SUMMARY).is_file() or not folder.is_dir():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{SUMMARY}")) or [folder]


def _row(feature: dict[str, Any], mpp: float | None) -> dict[str, Any]:
    properties, geometry = feature["properties"], feature["geometry"]
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    points = np.concatenate([np.array(polygon[0]) for polygon in polygons])
    measured = properties.get("measurements", {})
    area = measured.get("Area um2")
    if area is None and mpp:
        area = measured["Area px"] * mpp**2
    return {
        "name": properties["classification"]["name"],
        "area_um2": area,
        "area_px": measured.get("Area px"),
        "box": [*points.min(0).tolist(), *points.max(0).tolist()],
    }

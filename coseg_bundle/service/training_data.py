"""From what people drew to images and label maps; what nobody looked at stays unlabelled."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from coseg_bundle import keys
from coseg_bundle.atomic import NoRoomError
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE, ClassMap
from coseg_bundle.data.annotations import Region
from coseg_bundle.data.classes import table_of
from coseg_bundle.data.datalist import write_datalist
from coseg_bundle.data.images import ImageFileError, read_instances, read_label, write_tiff
from coseg_bundle.data.labels.drawn import ending_of, read_drawn
from coseg_bundle.data.labels.nuclei import is_ignored, is_region, sort_out
from coseg_bundle.data.polygons import large_first, paint, paint_instances
from coseg_bundle.service.images import Slide, open_image
from coseg_bundle.service.query import resolution
from coseg_bundle.service.segmentation import DIRECT_PX
from coseg_bundle.service.shapes import Box, Grid

logger = logging.getLogger(__name__)

RIM_PX = 6
"""Without a drawn region, this rim around each nucleus counts as background (px of the network)."""

_NOTHING_KEPT = "what was annotated is one region, which was trained on and scored: scores on it say little"
"""What is said of scores where regions overlap or there is one alone."""

Item = dict[str, Any]


@dataclass(frozen=True)
class Labelled:
    """An image with a label.

    Attributes:
        image_id: Its id.
        image: The file.
        label: Polygons (GeoJSON, ASAP XML, DSA JSON), or a label map (PNG, TIFF).
        info: What the client said when it saved the label: `region` `[x, y, width, height]`, the part of the image that
            was annotated (px of level 0); `task` `tissue` or `nuclei`, of which a label map is, and which was annotated
            in polygons' regions even if none was drawn; `mpp`, as `mpp` below.
        mpp: Microns per pixel of level 0; what `info` says where it is not given, and then what the image says.
        tasks: Those that were annotated in all regions, even if nothing was drawn.
    """

    image_id: str
    image: Path
    label: Path
    info: Mapping[str, Any] = field(default_factory=dict)
    mpp: float | None = None
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TrainingData:
    """What was made of the annotations.

    Attributes:
        datalist: The file for the training.
        training: Number of items.
        validation: Number of items.
        skipped: A sentence for each label, and each region of one, that could not be used.
        doubts: What is to be known of scores on the validation items.
    """

    datalist: Path
    training: int
    validation: int
    skipped: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tiles:
    """What was cut out of an image.

    Attributes:
        items: Datalist items with absolute paths.
        boxes: Where each lies, px of level 0.
        skipped: A sentence for each region that could not be used.
    """

    items: list[Item]
    boxes: list[Box]
    skipped: list[str] = field(default_factory=list)

    def groups(self) -> list[list[Item]]:
        """Items whose pixels overlap, in one group each: validation by what was trained on scores too well."""
        if not self.items:
            return []
        left, top, width, height = np.array(self.boxes).T
        right, bottom = left + width, top + height
        across = (left < right[:, None]) & (left[:, None] < right)
        overlap = across & (top < bottom[:, None]) & (top[:, None] < bottom)
        count, group = connected_components(overlap, directed=False)
        return [[self.items[i] for i in np.flatnonzero(group == number).tolist()] for number in range(count)]


@dataclass(frozen=True)
class Shapes:
    """What was drawn, px of level 0.

    Attributes:
        nuclei: Nuclei, under the names of their classes.
        tissue: Tissue regions, the same.
        ignored: What is to be left unlabelled.
    """

    nuclei: Sequence[Region]
    tissue: Sequence[Region]
    ignored: Sequence[Region] = ()


@dataclass(frozen=True)
class Maps:
    """Labels on the pixels of the network; None for a task that nobody annotated."""

    instances: NDArray[np.int32] | None
    types: NDArray[np.int32] | None
    tissue: NDArray[np.int32] | None


def prepare(
    labelled: Sequence[Labelled],
    folder: Path,
    tissue_classes: ClassMap,
    nuclei_classes: ClassMap,
    mpp: float,
    val_fraction: float = 0.2,
    seed: int = 0,
) -> TrainingData:
    """Writes images and label maps at the network's resolution, and a datalist.

    A label that cannot be used does not stop the others. With two items or more at least one is kept for validation;
    a single one is both. Items whose boxes overlap count as one.

    Raises:
        ValueError: No label can be used; the message says why.
        NoRoomError: The disk is full.
    """
    groups: list[list[Item]] = []
    skipped = []
    for number, entry in enumerate(labelled):
        try:
            tiles = items_of(entry, folder / f"{number:03d}", tissue_classes, nuclei_classes, mpp, complete=True)
        except NoRoomError:
            raise  # no fault of the label
        except (ValueError, OSError) as error:
            logger.warning("Not used: %s", error)
            skipped.append(f"{entry.image_id}: {error}")
            continue
        groups += tiles.groups()
        skipped += (f"{entry.image_id}: {sentence}" for sentence in tiles.skipped)
    if not groups:
        reasons = "; ".join(sentence.rstrip(".") for sentence in skipped)
        raise ValueError(f"There is nothing to train on; {reasons or 'save a label with the tag final'}.")
    random.Random(seed).shuffle(groups)
    held = min(max(1, round(len(groups) * val_fraction)), len(groups) - 1)
    training, validation = ([item for group in part for item in group] for part in (groups[held:], groups[:held]))
    doubts = () if validation else (_NOTHING_KEPT,)
    validation = validation or training
    names = {"tissue_classes": tissue_classes.names, "nuclei_classes": nuclei_classes.names}
    by_id = {kind: table_of(given) for kind, given in names.items()}
    write_datalist(folder / "datalist.json", {"training": training, "validation": validation}, by_id)
    return TrainingData(folder / "datalist.json", len(training), len(validation), tuple(skipped), doubts)


def items_of(
    entry: Labelled,
    folder: Path,
    tissue: ClassMap | None,
    nuclei: ClassMap | None,
    mpp: float,
    complete: bool = False,
) -> Tiles:
    """Writes the annotated parts of an image, and their label maps; a datalist item for each.

    A region says something about a task where a shape of it touches it. Where one task alone is annotated, each region
    says something about it, and one without shapes is background. A region that says nothing is left out. An item has
    the `mpp` of its pixels: the image's own where that is within a tenth of the network's, none where it is not known.

    Args:
        entry: The image and its label.
        folder: Where the files go; each is named after its box, so that a region has the same name once more.
        tissue: Tissue class names; None where tissue is not annotated.
        nuclei: Nuclei class names, background first; None where nuclei are not annotated.
        mpp: Microns per pixel of the network.
        complete: Whether each region was annotated in all tasks that the label has shapes of, as answers of a network
            are corrected: a frame whose nuclei were all erased holds none.

    Raises:
        ImageFileError: The image or the label cannot be used.
        ValueError: A region or a resolution makes no sense.
    """
    with open_image(entry.image, entry.mpp or resolution(entry.info.get("mpp")), mpp) as slide:
        if not ending_of(entry.label):
            return Tiles([_from_map(entry, slide, folder, tissue)], [(0, 0, *slide.size_xy)])
        shapes, regions = _drawn(entry, slide, tissue, nuclei)
        said = entry.info.get("task")  # one, or several
        annotated = {*entry.tasks, *(map(str, said) if isinstance(said, list | tuple) else [said])}
        certain = {
            "tissue": (complete and bool(shapes.tissue)) or nuclei is None or "tissue" in annotated,
            "nuclei": (complete and bool(shapes.nuclei)) or tissue is None or "nuclei" in annotated,
        }
        placed = {kind: _Placed(getattr(shapes, kind)) for kind in ("nuclei", "tissue", "ignored")}
        boxes, skipped = _boxes(shapes, regions, slide)
        tiles = Tiles([], [], skipped)
        for number, (box, region) in enumerate(boxes):
            (rgb, _), grid = slide.read_with_halo(box, mpp, 0)
            inside = Shapes(**{kind: every.within(box) for kind, every in placed.items()})
            maps = label_maps(inside, region, grid, (rgb.shape[0], rgb.shape[1]), tissue, nuclei, certain)
            if maps.tissue is not None or maps.instances is not None:
                of_pixels = round(slide.known_mpp / grid.scale_x, 6) if slide.known_mpp else None
                again = [other for other, _ in boxes[:number]].count(box)
                name = "_".join(map(str, (*box, again + 1) if again else box))
                tiles.items.append(_write(folder / name, rgb, maps, of_pixels))
                tiles.boxes.append(box)
        if not tiles.items:
            raise ImageFileError(
                f"{entry.label.name}: nothing was drawn in what was annotated; draw tissue or nuclei there."
            )
        return tiles


def _drawn(
    entry: Labelled, slide: Slide, tissue: ClassMap | None, nuclei: ClassMap | None
) -> tuple[Shapes, list[Region]]:
    """What a label holds, and the regions that were annotated."""
    drawn = read_drawn(entry.label, slide.origin_xy)
    for sentence in drawn.skipped:
        logger.warning("%s: %s", entry.label, sentence)
    regions = [region for region in drawn.regions if is_region(region.name)]
    ignored = [region for region in drawn.regions if is_ignored(region.name)]
    rest = (region for region in drawn.regions if not is_region(region.name) and not is_ignored(region.name))
    names = tissue.names if tissue else (), nuclei.names[1:] if nuclei else ()
    found = sort_out(replace(drawn, regions=tuple(rest)), *names)
    for note in found.notes:
        logger.warning("%s: %s", entry.label, note)
    if found.unknown:
        raise ImageFileError(
            f"{entry.label.name} has unknown classes {list(found.unknown)}; expected some of "
            f"{sorted({*names[0], *names[1]})}, Region* around what was annotated, or Ignore*; name these classes too, "
            "or change them in the file."
        )
    if entry.info.get("region"):
        regions.append(_rectangle(entry.info["region"]))
    return Shapes(found.nuclei, found.tissue, ignored), regions


class _Placed:
    """Shapes that are found by where they lie."""

    def __init__(self, shapes: Sequence[Region]) -> None:
        corners = [np.concatenate(shape.rings_xy) for shape in shapes]
        self._shapes = shapes
        self._bounds = np.array([[*xy.min(axis=0), *xy.max(axis=0)] for xy in corners]).reshape(-1, 4)

    def within(self, box: Box) -> list[Region]:
        """Those that may reach into a box, in order."""
        x, y, width, height = box
        left, top, right, bottom = self._bounds.T
        near = (left < x + width) & (top < y + height) & (right > x) & (bottom > y)
        return [self._shapes[row] for row in np.flatnonzero(near).tolist()]


Background = Callable[[NDArray[np.bool_], str], NDArray[np.bool_] | None]
Map = NDArray[np.int32] | None


def label_maps(
    shapes: Shapes,
    region: Region | None,
    grid: Grid,
    size: tuple[int, int],
    tissue_classes: ClassMap | None,
    nuclei_classes: ClassMap | None,
    certain: Mapping[str, bool],
) -> Maps:
    """Draws polygons as label maps.

    Args:
        shapes: What was drawn.
        region: What was annotated: inside it, what no polygon covers is background. Without it only the polygons count,
            and for nuclei a rim around them.
        grid: Where the maps lie.
        size: Their height and width.
        tissue_classes: Names of the tissue classes.
        nuclei_classes: Names of the nuclei classes, background first.
        certain: Whether `tissue` and `nuclei` were annotated in the region even if no polygon touches it.

    Returns:
        Instances (-1 unlabelled), types and tissue (255 unlabelled). A task that was not annotated is None.
    """
    seen = np.zeros(size, bool)
    if region is not None:
        seen = paint([_rings(region, grid)], [1], size)[0] == 1
    unseen = paint([_rings(shape, grid) for shape in shapes.ignored], [1] * len(shapes.ignored), size)[0] == 1

    def background(drawn: NDArray[np.bool_], task: str) -> NDArray[np.bool_] | None:
        """What is background where nothing was drawn; None where the task was not annotated."""
        annotated = (drawn & seen).any() or certain[task] if region is not None else drawn.any()
        return seen if annotated else None

    instances, types = _nuclei_maps(shapes.nuclei, grid, size, nuclei_classes, background, region is None)
    tissue = _tissue_map(shapes.tissue, grid, size, tissue_classes, background)
    return Maps(
        _without(instances, unseen, UNLABELLED_INSTANCE),
        _without(types, unseen, UNLABELLED),
        _without(tissue, unseen, UNLABELLED),
    )


def _without(label: Map, unseen: NDArray[np.bool_], nothing: int) -> Map:
    """A map without what was taken out of it; None where nothing is left."""
    if label is None:
        return None
    label[unseen] = nothing
    return None if (label == nothing).all() else label


def _nuclei_maps(
    shapes: Sequence[Region],
    grid: Grid,
    size: tuple[int, int],
    classes: ClassMap | None,
    background: Background,
    rim: bool,
) -> tuple[Map, Map]:
    painted, _ = paint_instances([_rings(s, grid) for s in shapes], [s.area_px for s in shapes], size)
    around = background(painted > 0, "nuclei")
    if classes is None or around is None:
        return None, None
    if rim:
        around = _dilated(painted > 0)
    instances = np.where((painted > 0) | around, painted, UNLABELLED_INSTANCE).astype(np.int32)
    class_ids = np.array([0, *(classes.id_of(shape.name) for shape in shapes)], np.int32)
    return instances, np.where(instances >= 0, class_ids[np.maximum(instances, 0)], UNLABELLED).astype(np.int32)


def _tissue_map(
    shapes: Sequence[Region], grid: Grid, size: tuple[int, int], classes: ClassMap | None, background: Background
) -> Map:
    if classes is None:
        return None
    order = large_first([shape.area_px for shape in shapes])
    ids = [classes.id_of(shapes[i].name) for i in order]
    tissue, _ = paint([_rings(shapes[i], grid) for i in order], ids, size, fill=UNLABELLED)
    around = background(tissue != UNLABELLED, "tissue")
    if around is None:
        return None
    tissue[(tissue == UNLABELLED) & around] = 0
    return tissue


def _write(stem: Path, rgb: NDArray[np.uint8], maps: Maps, mpp: float | None) -> Item:
    image = str(write_tiff(stem.with_suffix(".tif"), rgb))
    item: Item = {keys.IMAGE: image, **({keys.MPP: mpp} if mpp else {}), keys.DATASET: "annotations"}
    labels = {keys.INSTANCES: maps.instances, keys.TYPES: maps.types, keys.TISSUE: maps.tissue}
    for key, label in labels.items():
        if label is not None:
            item[key] = str(write_tiff(stem.with_name(f"{stem.name}_{key}.tif"), label))
    return item


def _from_map(entry: Labelled, slide: Slide, folder: Path, tissue_classes: ClassMap | None) -> Item:
    """A label map has the size of the image; which task it is for, the client says. Outside the region that the client
    says it annotated nothing is learnt."""
    task, label, notes = _read_map(entry.label, entry.info, slide)
    for note in notes:
        logger.warning("%s", note)
    if task == "tissue" and tissue_classes is not None:
        _check_ids(label, tissue_classes, entry.label.name)
    if entry.info.get("region"):
        left, top, width, height = _box_of([_rectangle(entry.info["region"])], 0, slide, most_px=None)
        seen = np.s_[top : top + height, left : left + width]
        outside = np.full_like(label, UNLABELLED if task == "tissue" else UNLABELLED_INSTANCE)
        outside[seen] = label[seen]
        label = outside
    item: Item = {keys.IMAGE: str(entry.image), keys.DATASET: "annotations"}
    item[keys.TISSUE if task == "tissue" else keys.INSTANCES] = str(write_tiff(folder.with_suffix(".tif"), label))
    return {**item, **({keys.MPP: slide.known_mpp} if slide.known_mpp else {})}


def _read_map(path: Path, info: Mapping[str, Any], slide: Slide) -> tuple[str, NDArray[np.int32], Sequence[str]]:
    """Which task a label map is for, its ids, and notes.

    Raises:
        ImageFileError: It cannot be read, or has another size than its image.
    """
    task = info.get("task", "tissue")
    if task not in ("tissue", "nuclei"):
        raise ImageFileError(f"{path.name}: expected task tissue or nuclei in the label's params, got {task!r}.")
    label, notes = read_instances(path) if task == "nuclei" else (read_label(path), ())
    if label.shape[::-1] != slide.size_xy:
        raise ImageFileError(
            f"{path.name} has {label.shape[1]} x {label.shape[0]} px and its image {slide.size_xy[0]} x "
            f"{slide.size_xy[1]}; save the label at the size of the image."
        )
    return task, label, notes


def check_label(label: Path, image: Path, info: Mapping[str, Any]) -> None:
    """Raises ImageFileError where a label cannot be read, or is a map of another size than its image.

    Args:
        label: As in `Labelled`.
        image: The same.
        info: The same.
    """
    if ending_of(label):
        read_drawn(label)
        return
    with open_image(image, None, network_mpp=1.0) as slide:
        _read_map(label, info, slide)


def _check_ids(label: NDArray[np.int32], classes: ClassMap, name: str) -> None:
    """Raises ImageFileError where a tissue map has ids that are none of the classes'."""
    ids = np.unique(label)
    unknown = ids[(ids != UNLABELLED) & ((ids < 0) | (ids >= len(classes)))].tolist()
    if unknown:
        raise ImageFileError(
            f"{name} has the ids {unknown[:9]}; expected 0 to {len(classes) - 1} ({', '.join(classes.names)}), or "
            f"{UNLABELLED} where nothing is said; give params={{'task': 'nuclei'}} where they are nuclei."
        )


def _boxes(
    shapes: Shapes, regions: Sequence[Region], slide: Slide
) -> tuple[list[tuple[Box, Region | None]], list[str]]:
    """The rectangles to cut out, and a sentence for each region that has none: one around each region, or one around
    everything that was drawn."""
    if not regions:
        every = [*shapes.nuclei, *shapes.tissue, *shapes.ignored]
        if not every:
            raise ImageFileError("the label has no polygons")
        return [(_box_of(every, 2 * RIM_PX, slide), None)], []
    chosen: list[tuple[Box, Region | None]] = []
    skipped = []
    for region in regions:
        try:
            chosen.append((_box_of([region], 0, slide), region))
        except ImageFileError as error:
            if len(regions) == 1:
                raise
            x, y = region.rings_xy[0].min(axis=0).tolist()
            skipped.append(f"the region at [{x:.0f}, {y:.0f}] is left out: {error}")
    if not chosen:
        raise ImageFileError(skipped[0])
    return chosen, skipped


def _box_of(regions: Sequence[Region], margin: int, slide: Slide, most_px: int | None = DIRECT_PX) -> Box:
    points = np.concatenate([ring for region in regions for ring in region.rings_xy])
    left, top = np.floor(points.min(axis=0) - margin).astype(int).clip(0, slide.size_xy).tolist()
    right, bottom = np.ceil(points.max(axis=0) + margin).astype(int).clip(0, slide.size_xy).tolist()
    if left >= right or top >= bottom:
        raise ImageFileError("what was drawn lies outside the image")
    width, height = right - left, bottom - top
    if most_px is not None and width * height > most_px:
        raise ImageFileError(
            f"what was drawn spans {width} x {height} px; draw a Region* around each part that was annotated"
        )
    return left, top, width, height


def _rectangle(xywh: Any) -> Region:
    try:
        x, y, width, height = (float(v) for v in xywh)
    except (TypeError, ValueError):
        x = y = width = height = np.nan
    if not (np.isfinite([x, y, width, height]).all() and min(width, height) > 0):
        raise ImageFileError(
            f"expected the label's region as [x, y, width, height], px of level 0, got {xywh!r}; save the label again"
        )
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    return Region("Region*", (corners,), width * height)


def _rings(region: Region, grid: Grid) -> list[NDArray[np.float64]]:
    return [grid.to_map(ring) for ring in region.rings_xy]


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM_PX + 1, 2 * RIM_PX + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)

"""Importers of nuclei that were drawn, or that another program saved: a file for each image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.images import HistologyImage, ImageFileError, composed, read_image, stem_of
from coseg_bundle.data.images.files import spares_others
from coseg_bundle.data.images.volumes import check_same_axes
from coseg_bundle.data.labels.aperio import aperio_names, aperio_outlines
from coseg_bundle.data.labels.foreign import (
    ENDINGS,
    NUCLEI_SUFFIXES,
    NucleiMap,
    misnamed,
    nuclei_suffix,
    read_nuclei,
    stem_of_nuclei,
)
from coseg_bundle.data.labels.nuclei import check_classes, first_of, nuclei_of, on_image
from coseg_bundle.data.labels.objects import known_class
from coseg_bundle.data.labels.partners import Sample, Samples, Skipped, Source, image_of
from coseg_bundle.data.listing import RECORDS
from coseg_bundle.data.polygons import paint, paint_instances

_LABEL_FILES = "label files (NAME_masks.tif, NAME.geojson, ...; a map called NAME.tif belongs into a folder of labels)"

_WITHOUT = "{}: {} nuclei have no class; their type is unlabelled"


def qupath(source: Source, skipped: Skipped) -> Samples:
    """QuPath: `NAME.geojson` (packed: `.gz`) for an image of any kind; which objects are nuclei: `labels.nuclei`.
    Classes are numbered by name; one that is new goes behind those of an earlier conversion."""
    files = source.need((".geojson", ".gz"), "GeoJSON files", lambda path: ".geojson" in nuclei_suffix(path))
    names, images = source.names(files, stem_of_nuclei), source.partners(files, stem=stem_of_nuclei)
    type_ids(_names_in(files, _qupath_names), source, source.folder)
    ids = source.classes

    def samples(file: Path) -> Iterator[Sample]:
        image, annotations = read_image(image_of(file, images)), read_annotations(file)
        skipped.extend(f"{file}: {reason}" for reason in annotations.skipped)
        height, width = image.rgb.shape[:2]
        nuclei = on_image(nuclei_of(annotations), (width, height), file)
        source.notes += [f"{file}: {note}" for note in nuclei.notes]
        regions = nuclei.regions
        shapes, areas = [region.rings_xy for region in regions], [region.area_px for region in regions]
        instances, _ = paint_instances(shapes, areas, (height, width))
        types = None
        if len(ids) > 1 and any(region.name for region in regions):
            of_id = np.array([0, *(ids.get(region.name, UNLABELLED) for region in regions)], np.int32)
            types = of_id[instances]
            if without := sum(not region.name for region in regions):
                source.notes.append(_WITHOUT.format(file, without))
        _leave_open(nuclei.unlabelled(instances), instances, types, source, file)
        yield Sample(names[file], image.path, instances, types, mpp=image.square_mpp)

    return map(samples, files)


def monuseg(source: Source, skipped: Skipped) -> Samples:
    """MoNuSeg: an Aperio XML of outlines beside each image; 0.25 mpp. Smaller nuclei lie on top. Where annotations have
    several names (MoNuSAC), these are classes; areas called `Ambiguous` are unlabelled, but for the nuclei in them."""
    files = source.need((".xml",), "Aperio XML files")
    names, images = source.names(files), source.partners(files)
    classes = _names_in(files, aperio_names)
    has_types = len({*classes, *source.classes}) > 1
    if has_types:
        type_ids(classes, source, source.folder)

    def samples(xml: Path) -> Iterator[Sample]:
        image = image_of(xml, images)
        outlines = aperio_outlines(xml, skipped)
        nuclei = [outline for outline in outlines if not outline.is_ambiguous]
        shape = read_image(image).rgb.shape[:2]
        instances, _ = paint_instances([o.rings_xy for o in nuclei], [o.area_px for o in nuclei], shape)
        types = np.array([0, *(source.classes.get(o.name, UNLABELLED) for o in nuclei)], np.int32)[instances]
        if has_types and (without := sum(not outline.name for outline in nuclei)):
            source.notes.append(_WITHOUT.format(xml, without))
        if unsure := [outline.rings_xy for outline in outlines if outline.is_ambiguous]:
            unknown = (paint(unsure, [1] * len(unsure), shape)[0] > 0) & (instances == 0)
            instances[unknown], types[unknown] = UNLABELLED_INSTANCE, UNLABELLED
            source.notes.append(f"{xml}: {len(unsure)} ambiguous areas are unlabelled, but for the nuclei in them")
        yield Sample(names[xml], image, instances, types if has_types else None, mpp=0.25)

    return map(samples, files)


def labels(source: Source, skipped: Skipped) -> Samples:
    """Images, and for each a file of nuclei that `coseg evaluate` reads (`labels.foreign`): `NAME.geojson`, `NAME.json`
    (HoVer-Net, COCO, labelme), `NAME_cp_masks.tif`, `NAME.mat`, ... Names of classes are numbered by
    `source.named`, or as they come, behind those of an earlier conversion."""
    of_images = set(source.images)
    listed = source.need((*NUCLEI_SUFFIXES, ".gz"), _LABEL_FILES, lambda path: _is_nuclei(path, of_images))
    found = _preferred(listed, source.notes)
    names, images = source.names(found, stem_of_nuclei), source.partners(found, stem=stem_of_nuclei)

    def read(file: Path) -> tuple[HistologyImage, NucleiMap]:
        if isinstance(images[file], str) and ".json" in nuclei_suffix(file):
            raise ImageFileError(f"{file}: {misnamed(file)}.")
        image = read_image(image_of(file, images))
        nuclei = read_nuclei(file, image.rgb.shape[:2], stem_of(image.path))
        check_same_axes(image.path, file)
        return image, nuclei

    def samples(file: Path) -> Iterator[Sample]:
        image, nuclei = read(file)
        source.notes += nuclei.notes
        types = nuclei.types
        if types is not None:
            source.numbered.append(file)
        if nuclei.names is not None and any(nuclei.names.values()):
            of_id = [0, *type_ids(nuclei.names.values(), source, file)]
            of_pixel = np.array(of_id, np.int32)[np.maximum(nuclei.instances, 0)]
            types = np.where(nuclei.instances < 0, UNLABELLED, of_pixel)
        if nuclei.unlabelled is not None:
            _leave_open(nuclei.unlabelled, nuclei.instances, types, source, file)
        yield Sample(names[file], image.path, nuclei.instances, types, mpp=image.square_mpp)

    if source.former and not source.named:  # a first reading: what is met decides whether anything may be written
        source.met |= set(_names_in(found, lambda file: (read(file)[1].names or {}).values()))
    return map(samples, found)


def _leave_open(
    where: NDArray[np.bool_],
    instances: NDArray[np.int32],
    types: NDArray[np.int32] | None,
    source: Source,
    file: Path,
) -> None:
    """Marks as unlabelled what a `Region*` or an `Ignore*` leaves open, and says so."""
    instances[where] = UNLABELLED_INSTANCE
    if types is not None:
        types[where] = UNLABELLED
    if where.any():
        source.notes.append(
            f"{file}: {where.mean():.0%} of the image is unlabelled, in an Ignore* or outside its Region*, but for the "
            "nuclei there"
        )


def _names_in(files: Iterable[Path], names_of: Callable[[Path], Iterable[str]]) -> list[str]:
    """Class names of nuclei, sorted; a file that is broken is said when its turn comes."""
    names: set[str] = set()
    for file in files:
        try:
            names |= set(names_of(file))
        except Exception as error:
            if not spares_others(error):
                raise
    return sorted(names - {""})


def _qupath_names(file: Path) -> set[str]:
    return {region.name for region in nuclei_of(read_annotations(file)).regions}


def type_ids(names: Collection[str], source: Source, file: Path) -> list[int]:
    """The type id of each class name; a new name gets the next one, unless a person gave all names.

    Args:
        names: Class names; an empty one stands for none, whose id is "unlabelled".
        source: Knows the ids, and gets the new ones.
        file: Where the names stand, for messages.

    Raises:
        ImageFileError: A person gave all names and one is none of them, or there are too many.
    """
    given = set(names) - {""}
    source.met |= given
    if source.named:
        known = {name: known_class(name, source.classes) for name in given}
        if unknown := sorted(name for name, found in known.items() if found is None):
            raise ImageFileError(
                f"{file}: expected nuclei of the classes {', '.join(source.classes)}, got {first_of(unknown)}; name "
                "all classes with --nuclei-classes."
            )
        return [source.classes[known[name] or ""] if name else UNLABELLED for name in names]
    check_classes(dict.fromkeys(name for name in (*source.classes, *names) if name), file)
    for name in names:
        if name:
            source.classes.setdefault(name, len(source.classes) + 1)
    return [source.classes.get(name, UNLABELLED) for name in names]


def _is_nuclei(path: Path, images: Collection[Path]) -> bool:
    """Whether a file is about nuclei: not an image, nor an outline, a picture or another map beside it."""
    stem = path.name[: len(path.name) - len(nuclei_suffix(path))]
    of_others = ("_cp_outlines", "_outlines", "_overlay", "_flows", "_type", "_types", "_tissue")
    is_label = nuclei_suffix(path) in NUCLEI_SUFFIXES and path.name not in RECORDS
    return is_label and path not in images and not stem.endswith(of_others)


def _preferred(files: Collection[Path], notes: list[str]) -> list[Path]:
    """One file for each image and folder: that with the first of `ENDINGS`. HoVer-Net's `mat/` and `json/` are one."""
    of_image: dict[tuple[Path, str], list[Path]] = {}
    for path in files:
        folder = path.parent.parent if path.parent.name in ("mat", "json") else path.parent
        of_image.setdefault((folder, stem_of_nuclei(path)), []).append(path)
    chosen = []
    for paths in of_image.values():
        first, *others = sorted(paths, key=_rank)
        chosen.append(first)
        notes.extend(f"{other}: not read, {first.name} is about the same image" for other in others)
    return chosen


def _rank(path: Path) -> tuple[int, int]:
    suffix = nuclei_suffix(path)
    ending = composed(path.name[: len(path.name) - len(suffix)]).removeprefix(stem_of_nuclei(path))
    return ENDINGS.index(ending), NUCLEI_SUFFIXES.index(suffix)

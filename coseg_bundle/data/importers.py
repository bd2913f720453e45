"""Importers of what people have: each layout becomes images, label maps and a datalist.

An importer finds the files of a set and yields, for each, a generator of the `Sample`s in it, so that a folder of any
size is converted in the memory of one image, and a file that cannot be used does not stop the others; `convert` writes
the samples. What a set lacks (tissue, types) its samples lack too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import NoRoomError
from coseg_bundle.data.arrays import as_ids, as_rgb, read_mat, read_npy
from coseg_bundle.data.classes import alike, class_names_of, table_of
from coseg_bundle.data.datalist import (
    DatalistError,
    check_holdout,
    check_share,
    put_aside,
    read_datalist,
    split,
    write_datalist,
)
from coseg_bundle.data.images import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    ImageFileError,
    check_same_size,
    read_image,
    read_instances_of,
    write_tiff,
)
from coseg_bundle.data.images.files import first_line, spares_others
from coseg_bundle.data.labels.layouts import labels, monuseg, qupath
from coseg_bundle.data.labels.nuclei import first_of
from coseg_bundle.data.labels.partners import Sample, Samples, Skipped, Source, free_name, image_of
from coseg_bundle.data.points import confirmed, read_points


@dataclass(frozen=True)
class Converted:
    """What became of a set.

    Attributes:
        items: Datalist items with absolute paths.
        skipped: A sentence for each file or outline that could not be used.
        notes: Sentences on how files were read, and on what was left out because it is no label of nuclei.
    """

    items: list[dict[str, Any]]
    skipped: list[str]
    notes: list[str]


def glas(source: Source, skipped: Skipped) -> Samples:
    """GlaS: `NAME.bmp` with its glands in `NAME_anno.bmp`; 0.62 mpp. Tissue 1 is gland."""
    files = source.need((".bmp",), "NAME_anno.bmp files", lambda path: path.stem.endswith("_anno"))
    names = source.names(files, lambda path: path.stem.removesuffix("_anno"))

    def samples(anno: Path) -> Iterator[Sample]:
        image = anno.with_name(anno.name.replace("_anno", ""))
        if not image.is_file():
            raise ImageFileError(f"{anno}: its image {image} is missing; copy it there.")
        tissue, rgb = _bitmap(anno), _bitmap(image)
        check_same_size(rgb.shape[:2], tissue.shape[:2], image, anno)
        if tissue.ndim == 3:
            tissue = tissue.max(axis=2)
        yield Sample(names[anno], rgb, tissue=(tissue > 0).astype(np.uint8), mpp=0.62)

    return map(samples, files)


def consep(source: Source, skipped: Skipped) -> Samples:
    """CoNSeP: `Images/NAME.png` and `Labels/NAME.mat` with `inst_map` and `type_map`; 0.25 mpp."""
    files = source.need((".mat",), "MAT files")
    names, images = source.names(files), source.partners(files)

    def samples(mat: Path) -> Iterator[Sample]:
        content, image = read_mat(mat, "inst_map", "type_map"), image_of(mat, images)
        shape = read_image(image).rgb.shape[:2]
        instances, types = (as_ids(content[key], f"{mat}: {key}", shape) for key in ("inst_map", "type_map"))
        yield Sample(names[mat], image, instances, types, mpp=0.25)

    return map(samples, files)


def lizard(source: Source, skipped: Skipped) -> Samples:
    """Lizard: images and `NAME.mat` with `inst_map`, `id` and `class`; 0.5 mpp."""
    files = source.need((".mat",), "MAT files")
    names, images = source.names(files), source.partners(files)

    def samples(mat: Path) -> Iterator[Sample]:
        content, image = read_mat(mat, "inst_map", "id", "class"), image_of(mat, images)
        instances = as_ids(content["inst_map"], f"{mat}: inst_map", read_image(image).rgb.shape[:2])
        ids, classes = (as_ids(np.reshape(content[key], -1), f"{mat}: {key}") for key in ("id", "class"))
        if ids.size != classes.size:
            raise ImageFileError(f"{mat}: {ids.size} ids and {classes.size} classes; expected a class for each id.")
        present, row = np.unique(instances, return_inverse=True)
        class_of = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        types = np.array([class_of.get(i, 0) for i in present.tolist()], np.int32)[row].reshape(instances.shape)
        yield Sample(names[mat], image, instances, types, mpp=0.5)

    return map(samples, files)


def pannuke(source: Source, skipped: Skipped) -> Samples:
    """PanNuke: folders with `images.npy` `(N, 256, 256, 3)` and `masks.npy` `(N, 256, 256, 6)`, a channel of instances
    for each class, background last; 0.25 mpp."""

    def samples(masks_file: Path) -> Iterator[Sample]:
        images_file = _sibling_images(masks_file, source.folder)
        images, masks = read_npy(images_file, "r"), read_npy(masks_file, "r")
        if images.ndim != 4 or images.shape[3] != 3 or masks.ndim != 4 or masks.shape[:3] != images.shape[:3]:
            raise ImageFileError(f"{masks_file} {masks.shape} and {images_file} {images.shape} do not fit each other.")
        fold = "_".join(part for part in masks_file.parent.relative_to(source.folder).parts if part != "masks")
        for number in range(len(masks)):
            instances, types = np.zeros(masks.shape[1:3], np.int32), np.zeros(masks.shape[1:3], np.uint8)
            for channel in range(masks.shape[3] - 1):
                of_class = as_ids(masks[number, ..., channel], f"{masks_file}: image {number}")
                inside = of_class > 0
                instances[inside] = of_class[inside] + instances.max(initial=0)
                types[inside] = channel + 1
            rgb = as_rgb(images[number], f"{images_file}: image {number}")
            yield Sample(f"{fold or 'fold'}_{number:05}", rgb, instances, types, mpp=0.25)

    what = "masks.npy beside images.npy"
    return map(samples, source.need((".npy",), what, lambda path: path.name == "masks.npy"))


def hovernet(source: Source, skipped: Skipped) -> Samples:
    """HoVer-Net: `NAME.npy` `(H, W, 4)` RGB and instances, or `(H, W, 5)` with types too."""
    files = source.need((".npy",), "NPY files")
    names = source.names(files)

    def samples(file: Path) -> Iterator[Sample]:
        array = read_npy(file)
        if array.ndim != 3 or array.shape[2] not in (4, 5):
            raise ImageFileError(f"{file}: expected (H, W, 4 or 5): RGB, instances, types; got {array.shape}.")
        instances, *types = (
            as_ids(array[..., channel], f"{file}: channel {channel}") for channel in range(3, array.shape[2])
        )
        yield Sample(names[file], as_rgb(array[..., :3], str(file)), instances, types[0] if types else None)

    return map(samples, files)


def points(source: Source, skipped: Skipped) -> Samples:
    """Points and a model's nuclei: `images/NAME`, `points/NAME.csv` (`x,y` in px, then whatever else) and
    the model's instance map `nuclei_pred/NAME`. A nucleus counts if exactly one point confirms it."""
    files = source.need((".csv",), "CSV files of points in points/", below="points")
    names = source.names(files)
    images = source.partners(files, source.listed(IMAGE_SUFFIXES, below="images").files)
    outlines = source.partners(files, source.listed(LABEL_SUFFIXES, below="nuclei_pred").files)

    def samples(file: Path) -> Iterator[Sample]:
        for folder, of_folder in (("images", images), ("nuclei_pred", outlines)):
            if isinstance(of_folder[file], str):
                raise ImageFileError(f"{of_folder[file]} Looked in {folder}/.")
        image = read_image(image_of(file, images))
        shape = image.rgb.shape[:2]
        model, notes = read_instances_of(image.path, shape, image_of(file, outlines))
        source.notes += notes
        yield Sample(names[file], image.path, confirmed(model, read_points(file, shape)), mpp=image.square_mpp)

    return map(samples, files)


IMPORTERS: dict[str, Callable[[Source, Skipped], Samples]] = {
    importer.__name__: importer
    for importer in (monuseg, glas, consep, lizard, pannuke, qupath, hovernet, points, labels)
}
"""Importers by the name of their layout."""

_NUCLEI_CLASSES = {
    "consep": (
        "other",
        "inflammatory",
        "healthy_epithelial",
        "malignant_epithelial",
        "fibroblast",
        "muscle",
        "endothelial",
    ),
    "lizard": ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective"),
    "pannuke": ("neoplastic", "inflammatory", "connective", "dead", "epithelial"),
}
"""Names of the type ids from 1, as the sets' own documentation numbers them."""


def _classes(layout: str, found: Sequence[str]) -> dict[str, dict[str, str]]:
    """The class names of a layout by label id, as a datalist has them; `found` are those in the files, from id 1 on."""
    nuclei = found if len(found) > 1 else _NUCLEI_CLASSES.get(layout, ())
    tables = {"nuclei_classes": ("background", *nuclei)} if nuclei else {}
    if layout == "glas":
        tables["tissue_classes"] = ("background", "gland")
    return {kind: table_of(names) for kind, names in tables.items()}


def convert(
    layout: str,
    source: Path,
    dest: Path,
    validation_fraction: float = 0.2,
    holdout: Collection[str] = (),
    seed: int = 0,
    nuclei_classes: Sequence[str] = (),
) -> Converted:
    """Writes a set's images and label maps below `dest`, and a datalist of them; what cannot be used is listed.

    The datalist is split as `datalist.scan_folder` does.

    Args:
        layout: A name of `IMPORTERS`.
        source: The set.
        dest: Folder for label maps, images that are no files yet, and `datalist.json`.
        validation_fraction: As `datalist.scan_folder` takes it.
        holdout: The same.
        seed: The same.
        nuclei_classes: Names by type id, background first, where a set of the layout `labels` has ids without names.

    Raises:
        DatalistError: The layout is unknown, `source` does not have it, none of its files can be used, some name
            their classes and others number them, the split is impossible (see `datalist.scan_folder`), or ids of an
            earlier conversion into `dest` would move: its datalist cannot be read, `nuclei_classes` gives its names
            other ids, or a class may have another name now.
        NoRoomError: The disk is full; a datalist in `dest` stays as it was.
    """
    if layout not in IMPORTERS:
        raise DatalistError(f"Unknown layout {layout!r}: expected one of {', '.join(IMPORTERS)}.")
    if not source.is_dir():
        raise DatalistError(f"{source} is not a folder.")
    check_share(validation_fraction)
    items: list[dict[str, Any]] = []
    skipped: Skipped = []
    former = _former_names(dest / "datalist.json", nuclei_classes)
    searched, taken = Source(source, dest, nuclei_classes, former), set[str]()
    ours = _converted_before(dest, layout)
    every = IMPORTERS[layout](searched, skipped)
    _check_renamed(searched, dest / "datalist.json")
    for samples in every:
        try:
            for sample in samples:
                items.append(_write(replace(sample, name=free_name(sample.name, taken)), dest, layout, ours))
        except NoRoomError:
            raise  # no fault of the files
        except Exception as error:
            if not spares_others(error):
                raise
            skipped.append(first_line(error))
    if not items:
        raise DatalistError(f"No file below {source} can be used. {' '.join(skipped[:3])}")
    _check_one_meaning(searched)
    found = _numbered(searched)
    check_holdout(holdout, items)
    classes = _classes(layout, found)
    searched.notes += alike({kind: list(table.values()) for kind, table in classes.items()})
    datalist = split(items, validation_fraction, holdout, seed)
    searched.notes += put_aside(dest / "datalist.json", datalist, classes)
    write_datalist(dest / "datalist.json", datalist, classes)
    return Converted(items, skipped, searched.notes)


def _converted_before(dest: Path, layout: str) -> set[Path]:
    """Files that a conversion into the folder wrote before, by its datalist: earlier versions left no mark in them.

    The datalist is written last, so what is younger was changed since.
    """
    path = dest / "datalist.json"
    try:
        listed = [item for items in read_datalist(path).values() for item in items]
        written = path.stat().st_mtime_ns
    except (DatalistError, OSError):
        return set()
    ours = [item for item in listed if item.get(keys.DATASET) == layout]
    files = {Path(item[key]) for item in ours for key in (keys.IMAGE, *keys.LABELS) if key in item}
    return {file for file in files if file.is_file() and file.stat().st_mtime_ns <= written}


def _former_names(path: Path, given: Sequence[str]) -> list[str]:
    """Class names of nuclei of an earlier conversion: other datalists may list its label maps under their ids.

    Raises:
        DatalistError: The names cannot be read, or some would get other ids.
    """
    try:
        former = class_names_of(path, "nuclei_classes", ())
    except DatalistError as error:
        raise DatalistError(
            f"{error} The class ids in the label maps beside it are not known without it: mend it, or move it, and the "
            "classes are numbered anew."
        ) from error
    if moved := [name for name in former if name in given and given.index(name) != former.index(name)]:
        raise DatalistError(
            f"{path}: expected its ids, since other datalists may list the label maps beside it, got "
            f"{given.index(moved[0])}={moved[0]} for {former.index(moved[0])}={moved[0]}; give another --output, or "
            "remove the folder."
        )
    return former


def _check_renamed(source: Source, path: Path) -> None:
    """Refuses names that may be new ones of former classes: by another id they would mean others in the label maps.

    Raises:
        DatalistError: A former name is in no file, a new one is, and nobody says which id it has.
    """
    new = sorted(source.met.difference(source.former))
    gone = [name for name in source.former[1:] if name not in source.met]
    if new and gone and not source.named:
        named = " ".join(f"{number}={name}" for number, name in enumerate(source.former) if number)
        raise DatalistError(
            f"{path}: expected its classes ({named}) in the files, got {first_of(new)} and no {first_of(gone)}, which "
            "may be one class by two names; write what the files call it there, a new class with the next id (or give "
            "all with --layout labels --nuclei-classes 1=NAME 2=NAME ...), or give another --output."
        )


def _numbered(source: Source) -> list[str]:
    """The class names from id 1 on, where the files or a person give names, and what is said of them."""
    if not (source.met or source.named):
        return []
    if unused := [name for name in source.former[1:] if name not in source.met and not source.named]:
        source.notes.append(f"{first_of(unused)}: classes of the datalist that was there and of no file; they stay")
    if len(source.classes) > 1:
        named = ", ".join(f"{number} {name}" for name, number in source.classes.items())
        source.notes.append(f"type ids: {named}")
    return list(source.classes)


def _check_one_meaning(source: Source) -> None:
    """Refuses ids that files give beside ids that names of other files would get."""
    if source.numbered and source.met and not source.named:
        names = first_of(sorted(source.met))
        raise DatalistError(
            f"{source.folder}: expected classes as names or as ids in all files, got names ({names}) and ids "
            f"({len(source.numbered)} files, first: {source.numbered[0].name}); "
            "say which id is which class with --nuclei-classes 1=NAME 2=NAME ..."
        )


def _write(sample: Sample, dest: Path, layout: str, ours: Collection[Path]) -> dict[str, Any]:
    item: dict[str, Any] = {keys.IMAGE: _write_image(sample, dest, ours), keys.DATASET: layout}
    folders = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
    for key, folder in folders.items():
        label = getattr(sample, key)
        if label is not None:
            # 255 nuclei with 8 bits may be more whose ids did not fit (`labels.maps`): 16 leave no doubt.
            dtype = np.promote_types(_dtype(label), np.uint16 if key == keys.INSTANCES else np.uint8)
            item[key] = str(_written(dest / folder / f"{sample.name}.tif", label.astype(dtype), ours))
    return {**item, keys.MPP: sample.mpp} if sample.mpp else item


def _write_image(sample: Sample, dest: Path, ours: Collection[Path]) -> str:
    if isinstance(sample.image, Path):
        return str(sample.image.resolve())
    return str(_written(dest / "images" / f"{sample.name}.tif", sample.image, ours))


def _written(path: Path, array: NDArray[Any], ours: Collection[Path]) -> Path:
    return write_tiff(path, array, software="coseg datalist", known=path.resolve() in ours)


def _dtype(label: NDArray[np.integer]) -> type[np.integer[Any]]:
    if label.min(initial=0) < 0:
        return np.int32
    highest = int(label.max(initial=0))
    return np.uint8 if highest < 2**8 else np.uint16 if highest < 2**16 else np.uint32


def _sibling_images(masks: Path, source: Path) -> Path:
    parts = masks.parent.relative_to(source).parts
    beside = source.joinpath(*("images" if part == "masks" else part for part in parts))
    places = dict.fromkeys([masks.with_name("images.npy"), beside / "images.npy"])
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(map(str, places))
    raise ImageFileError(f"{masks}: no images.npy beside it (looked for {looked}); name the folder that holds both.")


def _bitmap(path: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB") if image.mode not in ("L", "I", "I;16", "P", "RGB") else image)
    except OSError as error:
        raise ImageFileError(f"{path}: not readable as an image ({error}); copy it again.") from error

"""Importers of what people have: each layout becomes images, label maps and a datalist.

An importer finds the files of a set and yields, for each, a generator of the `Sample`s in it, so that a folder of any
size is converted in the memory of one image, and a file that cannot be used does not stop the others; `convert` writes
the samples. What a set lacks (tissue, types) its samples lack too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.data.annotations import FARTHEST_PX, Region, read_annotations
from coseg_bundle.data.arrays import as_ids, as_rgb, read_mat, read_npy
from coseg_bundle.data.datalist import DatalistError, check_holdout, check_share, split, write_datalist
from coseg_bundle.data.images import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    ImageFileError,
    check_same_size,
    read_image,
    read_label_of,
    stem_of,
    suffix_of,
    write_tiff,
)
from coseg_bundle.data.points import confirmed, read_points
from coseg_bundle.data.polygons import paint_instances


@dataclass(frozen=True)
class Sample:
    """One image with the labels that it has.

    Attributes:
        name: Stem of the files to write.
        image: `(H, W, 3)` uint8, or the path of a file that stays where it is.
        instances: `(H, W)` instance map, -1 where unlabelled.
        types: `(H, W)` type map.
        tissue: `(H, W)` tissue map.
        mpp: Microns per pixel, where it is known.
    """

    name: str
    image: NDArray[np.uint8] | Path
    instances: NDArray[np.integer] | None = None
    types: NDArray[np.integer] | None = None
    tissue: NDArray[np.integer] | None = None
    mpp: float | None = None


@dataclass(frozen=True)
class Converted:
    """What became of a set.

    Attributes:
        items: Datalist items with absolute paths.
        skipped: A sentence for each file or outline that was left out.
    """

    items: list[dict[str, Any]]
    skipped: list[str]


Skipped = list[str]
Samples = Iterator[Iterator[Sample]]


def monuseg(source: Path, skipped: Skipped) -> Samples:
    """MoNuSeg: an Aperio XML of outlines beside each image; 0.25 mpp. Smaller nuclei lie on top."""
    images = _images(source)

    def samples(xml: Path) -> Iterator[Sample]:
        image = _partner(xml, images)
        outlines = _aperio_outlines(xml, skipped)
        shape = read_image(image).rgb.shape[:2]
        instances, _ = paint_instances([[outline] for outline in outlines], [_area(o) for o in outlines], shape)
        yield Sample(xml.stem, image, instances, mpp=0.25)

    return map(samples, _need(source, "*.xml", "Aperio XML files"))


def glas(source: Path, skipped: Skipped) -> Samples:
    """GlaS: `NAME.bmp` with its glands in `NAME_anno.bmp`; 0.62 mpp. Tissue 1 is gland."""

    def samples(anno: Path) -> Iterator[Sample]:
        image = anno.with_name(anno.name.replace("_anno", ""))
        if not image.is_file():
            raise ImageFileError(f"{anno}: its image {image} is missing; copy it there.")
        tissue, rgb = _bitmap(anno), _bitmap(image)
        check_same_size(rgb.shape[:2], tissue.shape[:2], image, anno)
        if tissue.ndim == 3:
            tissue = tissue.max(axis=2)
        yield Sample(image.stem, rgb, tissue=(tissue > 0).astype(np.uint8), mpp=0.62)

    return map(samples, _need(source, "*_anno.bmp", "NAME_anno.bmp files"))


def consep(source: Path, skipped: Skipped) -> Samples:
    """CoNSeP: `Images/NAME.png` and `Labels/NAME.mat` with `inst_map` and `type_map`; 0.25 mpp."""
    images = _images(source)

    def samples(mat: Path) -> Iterator[Sample]:
        content, image = read_mat(mat, "inst_map", "type_map"), _partner(mat, images)
        shape = read_image(image).rgb.shape[:2]
        instances, types = (as_ids(content[key], f"{mat}: {key}", shape) for key in ("inst_map", "type_map"))
        yield Sample(mat.stem, image, instances, types, mpp=0.25)

    return map(samples, _need(source, "*.mat", "MAT files"))


def lizard(source: Path, skipped: Skipped) -> Samples:
    """Lizard: images and `NAME.mat` with `inst_map`, `id` and `class`; 0.5 mpp."""
    images = _images(source)

    def samples(mat: Path) -> Iterator[Sample]:
        content, image = read_mat(mat, "inst_map", "id", "class"), _partner(mat, images)
        instances = as_ids(content["inst_map"], f"{mat}: inst_map", read_image(image).rgb.shape[:2])
        ids, classes = (as_ids(np.reshape(content[key], -1), f"{mat}: {key}") for key in ("id", "class"))
        if ids.size != classes.size:
            raise ImageFileError(f"{mat}: {ids.size} ids and {classes.size} classes; expected a class for each id.")
        present, row = np.unique(instances, return_inverse=True)
        class_of = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        types = np.array([class_of.get(i, 0) for i in present.tolist()], np.int32)[row].reshape(instances.shape)
        yield Sample(mat.stem, image, instances, types, mpp=0.5)

    return map(samples, _need(source, "*.mat", "MAT files"))


def pannuke(source: Path, skipped: Skipped) -> Samples:
    """PanNuke: folders with `images.npy` `(N, 256, 256, 3)` and `masks.npy` `(N, 256, 256, 6)`, a channel of instances
    for each class, background last; 0.25 mpp."""

    def samples(masks_file: Path) -> Iterator[Sample]:
        images_file = _sibling_images(masks_file, source)
        images, masks = read_npy(images_file, "r"), read_npy(masks_file, "r")
        if images.ndim != 4 or images.shape[3] != 3 or masks.ndim != 4 or masks.shape[:3] != images.shape[:3]:
            raise ImageFileError(f"{masks_file} {masks.shape} and {images_file} {images.shape} do not fit each other.")
        fold = "_".join(part for part in masks_file.parent.relative_to(source).parts if part != "masks")
        for number in range(len(masks)):
            instances, types = np.zeros(masks.shape[1:3], np.int32), np.zeros(masks.shape[1:3], np.uint8)
            for channel in range(masks.shape[3] - 1):
                of_class = as_ids(masks[number, ..., channel], f"{masks_file}: image {number}")
                inside = of_class > 0
                instances[inside] = of_class[inside] + instances.max(initial=0)
                types[inside] = channel + 1
            rgb = as_rgb(images[number], f"{images_file}: image {number}")
            yield Sample(f"{fold or 'fold'}_{number:05}", rgb, instances, types, mpp=0.25)

    return map(samples, _need(source, "masks.npy", "masks.npy beside images.npy"))


def qupath(source: Path, skipped: Skipped) -> Samples:
    """QuPath: `NAME.geojson` for an image of any kind; every object is a nucleus, the classes are numbered by name."""
    images = _images(source)
    files = _need(source, "*.geojson", "GeoJSON files")
    names = _qupath_names(files)
    ids = {name: number for number, name in enumerate(names, start=1)}

    def samples(file: Path) -> Iterator[Sample]:
        image, annotations = read_image(_partner(file, images)), read_annotations(file)
        skipped.extend(f"{file}: {reason}" for reason in annotations.skipped)
        regions = annotations.regions
        shapes, areas = [region.rings_xy for region in regions], [region.area_px for region in regions]
        instances, _ = paint_instances(shapes, areas, image.rgb.shape[:2])
        of_id = np.array([0, *(ids.get(region.name, 0) for region in regions)], np.int32)
        types = of_id[instances] if all(region.name for region in regions) and len(names) > 1 else None
        yield Sample(file.stem, image.path, instances, types, mpp=image.square_mpp)

    return map(samples, files)


def _qupath_names(files: Collection[Path]) -> list[str]:
    return sorted({region.name for file in files for region in _regions_of(file) if region.name})


def hovernet(source: Path, skipped: Skipped) -> Samples:
    """HoVer-Net: `NAME.npy` `(H, W, 4)` RGB and instances, or `(H, W, 5)` with types too."""

    def samples(file: Path) -> Iterator[Sample]:
        array = read_npy(file)
        if array.ndim != 3 or array.shape[2] not in (4, 5):
            raise ImageFileError(f"{file}: expected (H, W, 4 or 5): RGB, instances, types; got {array.shape}.")
        instances, *types = (
            as_ids(array[..., channel], f"{file}: channel {channel}") for channel in range(3, array.shape[2])
        )
        yield Sample(file.stem, as_rgb(array[..., :3], str(file)), instances, types[0] if types else None)

    return map(samples, _need(source, "*.npy", "NPY files"))


def points(source: Path, skipped: Skipped) -> Samples:
    """Points and a model's nuclei: `images/NAME`, `points/NAME.csv` (`x,y` in px, then whatever else) and
    the model's instance map `nuclei_pred/NAME`. A nucleus counts if exactly one point confirms it."""
    images = _images(source / "images")
    outlines = {stem_of(p): p for p in sorted((source / "nuclei_pred").rglob("*")) if suffix_of(p) in LABEL_SUFFIXES}

    def samples(file: Path) -> Iterator[Sample]:
        if file.stem not in images or file.stem not in outlines:
            folder = "images" if file.stem not in images else "nuclei_pred"
            raise ImageFileError(f"{file}: nothing with the stem {file.stem} in {folder}/; copy it there.")
        image = read_image(images[file.stem])
        shape = image.rgb.shape[:2]
        instances = confirmed(read_label_of(image.path, shape, outlines[file.stem]), read_points(file, shape))
        yield Sample(file.stem, image.path, instances, mpp=image.square_mpp)

    return map(samples, _need(source / "points", "*.csv", "CSV files of points in points/"))


IMPORTERS: dict[str, Callable[[Path, Skipped], Samples]] = {
    importer.__name__: importer for importer in (monuseg, glas, consep, lizard, pannuke, qupath, hovernet, points)
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


def _classes(layout: str, source: Path) -> dict[str, dict[str, str]]:
    """The class names of a layout by label id, as a datalist has them."""
    nuclei: Collection[str] = _NUCLEI_CLASSES.get(layout, ())
    if layout == "qupath":
        names = _qupath_names(sorted(source.rglob("*.geojson")))
        nuclei = names if len(names) > 1 else ()
    tables = {"nuclei_classes": ("background", *nuclei)} if nuclei else {}
    if layout == "glas":
        tables["tissue_classes"] = ("background", "gland")
    return {kind: {str(number): name for number, name in enumerate(names)} for kind, names in tables.items()}


def convert(
    layout: str,
    source: Path,
    dest: Path,
    validation_fraction: float = 0.2,
    holdout: Collection[str] = (),
    seed: int = 0,
) -> Converted:
    """Writes a set's images and label maps below `dest`, and a datalist of them; what cannot be used is listed.

    The datalist is split as `datalist.scan_folder` does.

    Raises:
        DatalistError: The layout is unknown, `source` does not have it, none of its files can be used,
            or the split is impossible (see `datalist.scan_folder`).
    """
    if layout not in IMPORTERS:
        raise DatalistError(f"Unknown layout {layout!r}: expected one of {', '.join(IMPORTERS)}.")
    if not source.is_dir():
        raise DatalistError(f"{source} is not a folder.")
    check_share(validation_fraction)
    items: list[dict[str, Any]] = []
    skipped: Skipped = []
    for samples in IMPORTERS[layout](source, skipped):
        try:
            items += (_write(sample, dest, layout) for sample in samples)
        except (ImageFileError, OSError) as error:
            skipped.append(str(error))
    if not items:
        raise DatalistError(f"No file below {source} can be used. {' '.join(skipped[:3])}")
    check_holdout(holdout, items)
    write_datalist(dest / "datalist.json", split(items, validation_fraction, holdout, seed), _classes(layout, source))
    return Converted(items, skipped)


def _write(sample: Sample, dest: Path, layout: str) -> dict[str, Any]:
    item: dict[str, Any] = {keys.IMAGE: _write_image(sample, dest), keys.DATASET: layout}
    folders = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
    for key, folder in folders.items():
        label = getattr(sample, key)
        if label is not None:
            item[key] = str(write_tiff(dest / folder / f"{sample.name}.tif", label.astype(_dtype(label))))
    return {**item, keys.MPP: sample.mpp} if sample.mpp else item


def _write_image(sample: Sample, dest: Path) -> str:
    if isinstance(sample.image, Path):
        return str(sample.image.resolve())
    return str(write_tiff(dest / "images" / f"{sample.name}.tif", sample.image))


def _dtype(label: NDArray[np.integer]) -> type[np.integer[Any]]:
    if label.min(initial=0) < 0:
        return np.int32
    highest = int(label.max(initial=0))
    return np.uint8 if highest < 2**8 else np.uint16 if highest < 2**16 else np.uint32


def _need(source: Path, pattern: str, what: str) -> list[Path]:
    found = sorted(source.rglob(pattern))
    if not found:
        raise DatalistError(f"No {what} below {source}; check the folder and the layout.")
    return found


def _images(source: Path) -> dict[str, Path]:
    return {stem_of(path): path for path in sorted(source.rglob("*")) if suffix_of(path) in IMAGE_SUFFIXES}


def _partner(label: Path, images: dict[str, Path]) -> Path:
    if label.stem not in images:
        raise ImageFileError(f"{label}: no image with the stem {label.stem}; copy it beside the labels.")
    return images[label.stem]


def _sibling_images(masks: Path, source: Path) -> Path:
    places = [masks.with_name("images.npy"), Path(str(masks.parent).replace("masks", "images")) / "images.npy"]
    for place in places:
        if place.is_file():
            return place
    raise ImageFileError(f"{masks}: no images.npy beside it (looked for {' and '.join(map(str, places))}).")


def _bitmap(path: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB") if image.mode not in ("L", "I", "I;16", "P", "RGB") else image)
    except OSError as error:
        raise ImageFileError(f"{path}: not readable as an image ({error}); copy it again.") from error


def _regions_of(path: Path) -> tuple[Region, ...]:
    """The regions of a file; none of one that is broken, which is said when its turn comes."""
    try:
        return read_annotations(path).regions
    except (ImageFileError, OSError):
        return ()


def _aperio_outlines(path: Path, skipped: Skipped) -> list[NDArray[np.float64]]:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, ValueError) as error:
        raise ImageFileError(f"{path}: not valid XML ({error}); download it again.") from error
    outlines = []
    for number, region in enumerate(root.iter("Region"), start=1):
        try:
            outline = np.array([[float(v.attrib["X"]), float(v.attrib["Y"])] for v in region.iter("Vertex")])
        except (KeyError, ValueError):
            outline = np.full((3, 2), np.nan)
        if len(outline) < 3:
            skipped.append(f"{path}: region {number} has {len(outline)} points")
        elif not (abs(outline) <= FARTHEST_PX).all():
            skipped.append(f"{path}: region {number} has a point that is no place in an image")
        else:
            outlines.append(outline)
    return outlines


def _area(outline: NDArray[np.float64]) -> float:
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

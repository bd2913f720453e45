"""Importers of what people have: each layout becomes images, label maps and a datalist.

Every importer is a generator of `Sample`s, so that a folder of any size is converted in the memory of one image;
`convert` writes them. What a set lacks (tissue, types) its samples lack too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.datalist import DatalistError, write_datalist
from coseg_bundle.data.image_io import IMAGE_SUFFIXES, ImageFileError, read_image, stem_of, suffix_of, write_tiff
from coseg_bundle.data.polygons import paint_instances


@dataclass(frozen=True)
class Sample:
    """One image with the labels that it has.

    Attributes:
        name: Stem of the files to write.
        image: `(H, W, 3)` uint8, or the path of a file that stays where it is.
        instances: `(H, W)` instance map.
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


def monuseg(source: Path) -> Iterator[Sample]:
    """MoNuSeg: an Aperio XML of outlines beside each image; 0.25 mpp. Smaller nuclei lie on top."""
    images = _images(source)
    for xml in _need(source, "*.xml", "Aperio XML files"):
        image = _partner(xml, images)
        shape = read_image(image).rgb.shape[:2]
        outlines = _aperio_outlines(xml)
        instances, _ = paint_instances([[outline] for outline in outlines], [_area(o) for o in outlines], shape)
        yield Sample(xml.stem, image, instances, mpp=0.25)


def glas(source: Path) -> Iterator[Sample]:
    """GlaS: `NAME.bmp` with its glands in `NAME_anno.bmp`; 0.62 mpp. Tissue 1 is gland."""
    for anno in _need(source, "*_anno.bmp", "NAME_anno.bmp files"):
        image = anno.with_name(anno.name.replace("_anno", ""))
        if not image.is_file():
            raise ImageFileError(f"{anno}: its image {image} is missing; copy it there.")
        tissue = (_bitmap(anno) > 0).astype(np.uint8)
        yield Sample(image.stem, _bitmap(image), tissue=tissue, mpp=0.62)


def consep(source: Path) -> Iterator[Sample]:
    """CoNSeP: `Images/NAME.png` and `Labels/NAME.mat` with `inst_map` and `type_map`; 0.25 mpp."""
    images = _images(source)
    for mat in _need(source, "*.mat", "MAT files"):
        content = _mat(mat, "inst_map", "type_map")
        yield Sample(mat.stem, _partner(mat, images), _ids(content["inst_map"]), _ids(content["type_map"]), mpp=0.25)


def lizard(source: Path) -> Iterator[Sample]:
    """Lizard: images and `NAME.mat` with `inst_map`, `id` and `class`; 0.5 mpp."""
    images = _images(source)
    for mat in _need(source, "*.mat", "MAT files"):
        content = _mat(mat, "inst_map", "id", "class")
        instances = _ids(content["inst_map"])
        ids, classes = (np.asarray(content[key]).ravel().astype(np.int64) for key in ("id", "class"))
        of_id = np.zeros(max(int(instances.max(initial=0)), int(ids.max(initial=0))) + 1, np.int32)
        of_id[ids] = classes
        yield Sample(mat.stem, _partner(mat, images), instances, of_id[instances], mpp=0.5)


def pannuke(source: Path) -> Iterator[Sample]:
    """PanNuke: folders with `images.npy` `(N, 256, 256, 3)` and `masks.npy` `(N, 256, 256, 6)`, a channel of instances
    for each class, background last; 0.25 mpp."""
    for masks_file in _need(source, "masks.npy", "masks.npy beside images.npy"):
        images_file = _sibling_images(masks_file, source)
        images, masks = np.load(images_file, mmap_mode="r"), np.load(masks_file, mmap_mode="r")
        if images.ndim != 4 or masks.shape[:3] != images.shape[:3]:
            raise ImageFileError(f"{masks_file} {masks.shape} and {images_file} {images.shape} do not fit each other.")
        fold = "_".join(part for part in masks_file.parent.relative_to(source).parts if part != "masks")
        for number in range(len(masks)):
            instances, types = np.zeros(masks.shape[1:3], np.int32), np.zeros(masks.shape[1:3], np.uint8)
            for channel in range(masks.shape[3] - 1):
                of_class = np.asarray(masks[number, ..., channel]).astype(np.int32)
                inside = of_class > 0
                instances[inside] = of_class[inside] + instances.max(initial=0)
                types[inside] = channel + 1
            yield Sample(
                f"{fold or 'fold'}_{number:05}", np.asarray(images[number], np.uint8), instances, types, mpp=0.25
            )


def qupath(source: Path) -> Iterator[Sample]:
    """QuPath: `NAME.geojson` for an image of any kind; every object is a nucleus, the classes are numbered by name."""
    images = _images(source)
    files = _need(source, "*.geojson", "GeoJSON files")
    names = sorted({region.name for file in files for region in read_annotations(file).regions if region.name})
    ids = {name: number for number, name in enumerate(names, start=1)}
    for file in files:
        image = read_image(_partner(file, images))
        regions = read_annotations(file).regions
        shapes, areas = [region.rings_xy for region in regions], [region.area_px for region in regions]
        instances, _ = paint_instances(shapes, areas, image.rgb.shape[:2])
        of_id = np.array([0, *(ids.get(region.name, 0) for region in regions)], np.int32)
        types = of_id[instances] if all(region.name for region in regions) and len(names) > 1 else None
        yield Sample(file.stem, image.path, instances, types, mpp=image.mpp)


def hovernet(source: Path) -> Iterator[Sample]:
    """HoVer-Net: `NAME.npy` `(H, W, 4)` RGB and instances, or `(H, W, 5)` with types too."""
    for file in _need(source, "*.npy", "NPY files"):
        array = np.load(file)
        if array.ndim != 3 or array.shape[2] not in (4, 5):
            raise ImageFileError(f"{file}: expected (H, W, 4 or 5): RGB, instances, types; got {array.shape}.")
        types = array[..., 4].astype(np.int32) if array.shape[2] == 5 else None
        yield Sample(file.stem, array[..., :3].astype(np.uint8), array[..., 3].astype(np.int32), types)


IMPORTERS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    importer.__name__: importer for importer in (monuseg, glas, consep, lizard, pannuke, qupath, hovernet)
}
"""Importers by the name of their layout."""


def convert(layout: str, source: Path, dest: Path) -> list[dict[str, Any]]:
    """Writes a set's images and label maps below `dest`.

    Returns:
        Datalist items with absolute paths.

    Raises:
        DatalistError: The layout is unknown, or `source` does not have it.
        ImageFileError: A file cannot be used; the message names it.
    """
    if layout not in IMPORTERS:
        raise DatalistError(f"Unknown layout {layout!r}: expected one of {', '.join(IMPORTERS)}.")
    if not source.is_dir():
        raise DatalistError(f"{source} is not a folder.")
    items = []
    for sample in IMPORTERS[layout](source):
        item: dict[str, Any] = {keys.IMAGE: _write_image(sample, dest), keys.DATASET: layout}
        folders = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
        for key, folder in folders.items():
            label = getattr(sample, key)
            if label is not None:
                item[key] = str(write_tiff(dest / folder / f"{sample.name}.tif", label.astype(_dtype(label))))
        items.append({**item, keys.MPP: sample.mpp} if sample.mpp else item)
    write_datalist(dest / "datalist.json", {"training": items})
    return items


def _write_image(sample: Sample, dest: Path) -> str:
    if isinstance(sample.image, Path):
        return str(sample.image.resolve())
    return str(write_tiff(dest / "images" / f"{sample.name}.tif", sample.image))


def _dtype(label: NDArray[np.integer]) -> type[np.unsignedinteger[Any]]:
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


def _mat(path: Path, *wanted: str) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(str(path))
    except Exception as error:  # scipy raises many kinds for what is no MAT file
        raise ImageFileError(f"{path}: not readable as a MAT file ({error}).") from error
    if lacking := [key for key in wanted if key not in content]:
        raise ImageFileError(f"{path}: expected {', '.join(wanted)} in it, {', '.join(lacking)} is missing.")
    return content


def _ids(values: Any) -> NDArray[np.int32]:
    return np.asarray(values).astype(np.int32)


def _aperio_outlines(path: Path) -> list[NDArray[np.float64]]:
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise ImageFileError(f"{path}: not valid XML ({error}); download it again.") from error
    outlines = []
    for region in root.iter("Region"):
        points = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
        if len(points) >= 3:
            outlines.append(np.array(points))
    return outlines


def _area(outline: NDArray[np.float64]) -> float:
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

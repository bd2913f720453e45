"""The PUMA dataset (Schuiveling et al., GigaScience 2025): from its folders to label maps, a datalist and a split."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.atomic import NoRoomError, clear, whole_file
from coseg_bundle.classes import NUCLEI_PRESETS, PUMA_TRACK1_OF_TRACK2, TISSUE_PRESETS, UNLABELLED
from coseg_bundle.data.annotations import Annotations, Region, read_annotations
from coseg_bundle.data.classes import table_of
from coseg_bundle.data.datalist import DatalistError
from coseg_bundle.data.images import (
    MAX_PIXELS,
    ImageFileError,
    check_written_by,
    composed,
    read_image,
    stem_of,
    suffix_of,
    write_tiff,
)
from coseg_bundle.data.images.files import first_line, spares_others
from coseg_bundle.data.listing import listed
from coseg_bundle.data.polygons import large_first, paint, paint_instances

Track = Literal[1, 2]
ROI_SIZE = (1024, 1024)
"""Height and width of PUMA's regions, px: used for labels whose image is not there."""

MPP = 0.23
"""Microns per pixel, about (the dataset's description)."""

_IMAGE_SUFFIXES = (".tif", ".tiff", ".png")
_KINDS = ("nuclei", "types", "tissue")
"""Folders of label maps."""

_SOFTWARE = "coseg puma"
"""The mark in label maps."""


@dataclass(frozen=True)
class RoiFiles:
    """The files of one region of interest; any of them may be absent."""

    name: str
    image: Path | None = None
    nuclei: Path | None = None
    tissue: Path | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Folders that get a label map of it."""
        return ("nuclei", "types") * (self.nuclei is not None) + ("tissue",) * (self.tissue is not None)


@dataclass
class RoiReport:
    """What became of one region. Areas count the image's pixels, rounded to whole ones where labels are finer.

    Attributes:
        name: Its name.
        nuclei: Nuclei of each class; `nuclei_area_px` their area.
        tissue_area_px: Area of each tissue class.
        overlap_px: Area that the order of painting decided, of nuclei and of tissue.
        hidden: Nuclei without a pixel (under others, outside the image, or without the centre of a pixel in them).
        mended: Polygons that were mended.
        skipped: A sentence for each polygon or file that was left out.
        stamp: Settings, and the content of the sources that it was made of.
        failed: Whether a source could not be used: what an earlier run made of it is not listed.
        maps: Digest of the label map in each folder, as written: another content is a person's. None in reports of
            former versions, whose maps have no mark either.
    """

    name: str
    nuclei: dict[str, int] = field(default_factory=dict)
    nuclei_area_px: dict[str, int] = field(default_factory=dict)
    tissue_area_px: dict[str, int] = field(default_factory=dict)
    overlap_px: dict[str, int] = field(default_factory=dict)
    hidden: int = 0
    mended: int = 0
    skipped: list[str] = field(default_factory=list)
    stamp: list[Any] = field(default_factory=list)
    failed: bool = False
    maps: dict[str, str] | None = None


def find_rois(source: Path, dest: Path | None = None) -> list[RoiFiles]:
    """Finds regions in any folders below `source`, matched by the stem of their files; context regions are left out.

    Args:
        source: PUMA's folders.
        dest: Where labels go, which may lie in `source`.

    Raises:
        DatalistError: There is none, or two files claim the same place.
    """
    if not source.is_dir():
        raise DatalistError(f"{source} is not a folder; expected PUMA's folders as published.")
    found: dict[str, dict[str, Path]] = {}
    for path in listed(source, (".geojson", *_IMAGE_SUFFIXES), deep=True, without=dest).files:
        kind, name = _kind_and_name(path, source)
        if kind is None:
            continue
        if other := found.setdefault(name, {}).get(kind):
            raise DatalistError(f"{path} and {other} are both the {kind} of {name}; keep one of them.")
        found[name][kind] = path
    rois = [RoiFiles(name, **files) for name, files in sorted(found.items()) if set(files) - {"image"}]
    if not rois:
        raise DatalistError(f"No NAME_nuclei.geojson or NAME_tissue.geojson below {source}; expected PUMA's folders.")
    return rois


def _kind_and_name(path: Path, source: Path) -> tuple[str | None, str]:
    folders, stem = "/".join(path.relative_to(source).parts[:-1]).lower(), stem_of(path)
    if path.suffix.lower() == ".geojson":
        for kind in ("nuclei", "tissue"):
            if stem.endswith(f"_{kind}"):
                return kind, stem.removesuffix(f"_{kind}")
            if kind in folders:
                return kind, stem
    elif suffix_of(path) in _IMAGE_SUFFIXES and "context" not in folders + stem:
        return "image", stem
    return None, ""


def class_ids(track: Track) -> dict[str, int]:
    """Type id of each of PUMA's nuclei class names on a track."""
    names = NUCLEI_PRESETS[f"puma_track{track}"]
    if track == 1:
        return {name: names.id_of(merged) for name, merged in PUMA_TRACK1_OF_TRACK2.items()} | {
            name: names.id_of(name) for name in names.names[1:]
        }
    return {name: names.id_of(name) for name in names.names[1:]}


def rasterise_nuclei(
    regions: Sequence[Region], type_ids: Mapping[str, int], shape: tuple[int, int], oversample: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """Instance map, type map and the number of their pixels where nuclei overlap; smaller nuclei stay on top.

    Instance ids are positions in `regions`, from 1. Maps are `oversample` times as fine as `shape`.
    """
    shapes, areas = [region.rings_xy for region in regions], [region.area_px for region in regions]
    instance_map, overlap = paint_instances(shapes, areas, shape, oversample)
    types = np.array([0, *(type_ids[region.name] for region in regions)], np.uint8)
    return instance_map, types[instance_map], overlap


def rasterise_tissue(
    regions: Sequence[Region], shape: tuple[int, int], oversample: int = 1
) -> tuple[NDArray[np.uint8], int]:
    """Tissue map (255 where no region is) and the number of its pixels where regions overlap; larger ones lie below.

    The map is `oversample` times as fine as `shape`.
    """
    classes = TISSUE_PRESETS["puma"]
    order = large_first([region.area_px for region in regions])
    values = [classes.id_of(regions[i].name) for i in order]
    tissue_map, overlap = paint([regions[i].rings_xy for i in order], values, shape, UNLABELLED, oversample)
    return tissue_map.astype(np.uint8), overlap


def class_tables(track: Track) -> dict[str, dict[str, str]]:
    """Class names by label id, as a datalist has them.

    Example:
        >>> class_tables(1)["nuclei_classes"]
        {'0': 'background', '1': 'nuclei_tumor', '2': 'nuclei_lymphocyte', '3': 'nuclei_other'}
    """
    kinds = {"tissue_classes": TISSUE_PRESETS["puma"], "nuclei_classes": NUCLEI_PRESETS[f"puma_track{track}"]}
    return {kind: table_of(classes.names) for kind, classes in kinds.items()}


def prepare_roi(roi: RoiFiles, dest: Path, track: Track, oversample: int = 1) -> RoiReport:
    """Writes the label maps of one region, unless they are there already; its report is written last.

    Args:
        roi: Its files.
        dest: Folder of the labels and reports.
        track: Which nuclei classes.
        oversample: How many times as fine as the image the labels are, in each direction.

    Raises:
        ImageFileError: A file cannot be used, or a label map of somebody else is where one goes.
        NoRoomError: The disk is full.
    """
    record = dest / "reports" / f"{roi.name}.json"
    sources = [path for path in (roi.image, roi.nuclei, roi.tissue) if path]
    stamp: list[Any] = [track, oversample, *([path.name, _digest(path)] for path in sources)]
    labels = [dest / kind / f"{roi.name}.tif" for kind in roi.labels]
    earlier = _earlier(record)
    if earlier and earlier.stamp == stamp and all(path.is_file() for path in labels):
        return earlier
    for path in labels:
        _check_ours(path, record, earlier)
    shape = ROI_SIZE if roi.image is None else read_image(roi.image).rgb.shape[:2]
    check_oversample(oversample, shape)
    if earlier:  # were this run cut, it would speak for maps of both settings: now it only says whose they are
        _write_report(RoiReport(roi.name, maps=None if earlier.maps is None else {}), record)
    report = RoiReport(roi.name, stamp=stamp, maps={})
    if roi.nuclei:
        _prepare_nuclei(roi.nuclei, shape, dest, track, oversample, report)
    if roi.tissue:
        _prepare_tissue(roi.tissue, shape, dest, oversample, report)
    _write_report(report, record)
    return report


def _write_report(report: RoiReport, record: Path) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(record) as partial_file:
        partial_file.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.blake2b(file.read(), digest_size=16).hexdigest()


def _earlier(record: Path) -> RoiReport | None:
    """The report of an earlier run."""
    try:
        return RoiReport(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _check_ours(label: Path, record: Path, earlier: RoiReport | None) -> None:
    """Refuses to replace a label map that somebody else wrote, or corrected.

    Times do not tell: a corrected map that was put back or copied may have any. Nor does the mark alone: some tools
    keep it. Former versions left nothing else: they wrote the report last, and it speaks for maps that are no younger.
    """
    if earlier and earlier.maps is None and label.is_file():
        if label.stat().st_mtime_ns <= record.stat().st_mtime_ns:
            return
    written = earlier.maps.get(label.parent.name) if earlier and earlier.maps else None
    check_written_by(label, _SOFTWARE, changed=label.is_file() and written not in (None, _digest(label)))


def _prepare_nuclei(
    path: Path, shape: tuple[int, int], dest: Path, track: Track, oversample: int, report: RoiReport
) -> None:
    type_ids = class_ids(track)
    regions = _known(read_annotations(path), type_ids, report)
    instance_map, type_map, overlap = rasterise_nuclei(regions, type_ids, shape, oversample)
    report.overlap_px["nuclei"] = round(overlap / oversample**2)
    areas = np.bincount(instance_map.ravel(), minlength=len(regions) + 1)[1:]
    report.hidden = int((areas == 0).sum())
    names = NUCLEI_PRESETS[f"puma_track{track}"]
    counts = Counter(names.name_of(type_ids[region.name]) for region in regions)
    report.nuclei = dict(counts)
    pixels = np.bincount(type_map.ravel(), minlength=len(names))
    report.nuclei_area_px = {name: round(pixels[names.id_of(name)] / oversample**2) for name in counts}
    _write(dest, "nuclei", instance_map.astype(np.uint16 if len(regions) < 2**16 else np.uint32), report)
    _write(dest, "types", type_map, report)


def _prepare_tissue(path: Path, shape: tuple[int, int], dest: Path, oversample: int, report: RoiReport) -> None:
    classes = TISSUE_PRESETS["puma"]
    regions = _known(read_annotations(path), {name: i for i, name in enumerate(classes.names)}, report)
    tissue_map, overlap = rasterise_tissue(regions, shape, oversample)
    report.overlap_px["tissue"] = round(overlap / oversample**2)
    pixels = np.bincount(tissue_map.ravel(), minlength=256) / oversample**2
    areas = {name: round(pixels[i]) for i, name in enumerate(classes.names)} | {"unlabelled": round(pixels[UNLABELLED])}
    report.tissue_area_px = {name: area for name, area in areas.items() if area}
    _write(dest, "tissue", tissue_map, report)


def _write(dest: Path, kind: str, array: NDArray[np.integer], report: RoiReport) -> None:
    path = dest / kind / f"{report.name}.tif"
    write_tiff(path, array, software=_SOFTWARE, known=True)  # asked before anything was written
    report.maps = {**(report.maps or {}), kind: _digest(path)}


def _known(annotations: Annotations, names: Mapping[str, int], report: RoiReport) -> list[Region]:
    report.mended += annotations.mended
    report.skipped += [f"{annotations.path.name}: {reason}" for reason in (*annotations.skipped, *annotations.notes)]
    known = []
    for region in annotations.regions:
        if region.name in names:
            known.append(region)
        else:
            report.skipped.append(f"{annotations.path.name}: unknown class {region.name!r}")
    return known


def prepare(
    rois: Sequence[RoiFiles], dest: Path, track: Track, workers: int, oversample: int = 1
) -> Iterator[RoiReport]:
    """Prepares all regions in parallel; a region that fails is reported and does not stop the others.

    Yields:
        One report per region, in order.

    Raises:
        ValueError: `oversample` is no odd number, or labels would be too large.
        NoRoomError: The disk is full.
    """
    check_oversample(oversample, ROI_SIZE)
    for kind in ("", *_KINDS, "reports"):
        clear(dest / kind)
    work = partial(_prepare_or_report, dest=dest, track=track, oversample=oversample)
    if workers <= 1:
        yield from map(work, rois)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, rois, chunksize=4)


def check_oversample(oversample: int, shape: tuple[int, ...]) -> None:
    """Refuses labels that cannot be as fine.

    Raises:
        ImageFileError: `oversample` is no odd number, or labels would be larger than any image that is read.
    """
    if oversample < 1 or oversample % 2 == 0:
        raise ImageFileError(
            f"Expected an odd number of label pixels per pixel of the image (1, 3, 5, ...), got {oversample}: with an "
            "even one, none of them has its centre where the image's pixel has it."
        )
    height, width = shape[0] * oversample, shape[1] * oversample
    if height * width > MAX_PIXELS:
        raise ImageFileError(
            f"Labels {oversample} times as fine as {shape[1]} x {shape[0]} pixels would have {width} x {height}, and "
            f"at most {MAX_PIXELS} are painted; choose a smaller --oversample."
        )


def _prepare_or_report(roi: RoiFiles, dest: Path, track: Track, oversample: int) -> RoiReport:
    try:
        return prepare_roi(roi, dest, track, oversample)
    except NoRoomError:
        raise  # no fault of the region
    except Exception as error:
        if not spares_others(error):
            raise
        return RoiReport(roi.name, skipped=[f"all of it: {first_line(error)}"], failed=True)


def gone(rois: Sequence[RoiFiles], dest: Path) -> list[str]:
    """Label files of an earlier run whose sources are no longer there; they are not listed any more."""
    now = {roi.name: roi.labels for roi in rois}
    found = [(kind, path) for kind in _KINDS for path in sorted((dest / kind).glob("*.tif"))]
    return [f"{kind}/{path.name}" for kind, path in found if kind not in now.get(stem_of(path), ())]


def datalist_items(rois: Sequence[RoiFiles], dest: Path, failed: Collection[str] = ()) -> list[dict[str, Any]]:
    """Datalist items of the regions that have an image, sources of labels, and labels in `dest`.

    Args:
        rois: The regions.
        dest: Folder of the labels.
        failed: Names of regions with sources that could not be used: what an earlier run made of them does not count.
    """
    items = []
    for roi in rois:
        folders = {keys.INSTANCES: "nuclei", keys.TYPES: "types", keys.TISSUE: "tissue"}
        labels = {key: dest / folder / f"{roi.name}.tif" for key, folder in folders.items() if folder in roi.labels}
        found = {key: str(path) for key, path in labels.items() if path.is_file() and roi.name not in failed}
        if roi.image and found:
            items.append({keys.IMAGE: str(roi.image.resolve()), **found, keys.MPP: MPP, keys.DATASET: "puma"})
    return items


def split_names(names: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """Splits names 7 : 1 : 2, primary and metastatic regions apart, by a seed.

    Returns:
        `{"train": [...], "valid": [...], "test": [...]}`, sorted.
    """
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    strata: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted(set(names)):
        strata["primary" in name].append(name)
    for stratum in strata.values():
        random.Random(seed).shuffle(stratum)
        valid, test = round(len(stratum) * 0.1), round(len(stratum) * 0.2)
        parts["valid"] += stratum[:valid]
        parts["test"] += stratum[valid : valid + test]
        parts["train"] += stratum[valid + test :]
    return {part: sorted(of_part) for part, of_part in parts.items()}


def apply_split(items: Sequence[dict[str, Any]], split: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, Any]]]:
    """Sorts datalist items into training, validation and testing by the stems of their images.

    Raises:
        DatalistError: The split is none, a name is in two parts, or an image is in none.
    """
    sections = {"train": "training", "valid": "validation", "test": "testing"}
    for names in split.values() if isinstance(split, Mapping) else [None]:
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise DatalistError('Expected a split {"train": [...], "valid": [...], "test": [...]} of lists of names.')
    if set(split) - set(sections):
        raise DatalistError(f"Expected a split with train, valid and test, got {sorted(split)}.")
    parts = {part: set(map(composed, names)) for part, names in split.items()}
    places = Counter(name for names in parts.values() for name in names)
    if twice := sorted(name for name, count in places.items() if count > 1):
        raise DatalistError(f"{len(twice)} regions are in two parts of the split (first: {twice[0]}); keep each once.")
    part_of = {name: sections[part] for part, names in parts.items() for name in names}
    datalist: dict[str, list[dict[str, Any]]] = {section: [] for section in sections.values()}
    for item in items:
        name = stem_of(item[keys.IMAGE])
        if name not in part_of:
            raise DatalistError(f"{name} is in no part of the split; add it, or split by seed.")
        datalist[part_of[name]].append(item)
    return datalist

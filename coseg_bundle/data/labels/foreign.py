"""Nuclei as other programs save them: read where the format says enough, named where it does not.

Read: GeoJSON (QuPath, CellViT), HoVer-Net's JSON and MAT, COCO and labelme, label maps, InstanSeg's two channels,
cellpose's masks. Named: cellpose's `_seg.npy`, which only Python's pickle reads, and everything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.annotations import Annotations, annotations_of, counted
from coseg_bundle.data.arrays import as_ids, read_mat
from coseg_bundle.data.images import LABEL_SUFFIXES, ImageFileError, composed, read_instances, stem_of, suffix_of
from coseg_bundle.data.labels.json_files import kind_of, read_json
from coseg_bundle.data.labels.nuclei import Nuclei, nuclei_of, on_image
from coseg_bundle.data.polygons import paint

NUCLEI_SUFFIXES = (*LABEL_SUFFIXES, ".mat", ".geojson", ".geojson.gz", ".json", ".json.gz")
"""What `read_nuclei` takes."""

ENDINGS = (
    *("_inst", "_instances", "_nuclei", "_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg"),
    *("_instanseg_prediction", ""),
)
"""What stands between the stem of an image and the suffix of its nuclei, the first one preferred: without any, it may
be the image itself."""

_EXPECTED = "nuclei as GeoJSON, HoVer-Net's JSON, COCO or labelme"


@dataclass(frozen=True)
class NucleiMap:
    """The nuclei of an image.

    Attributes:
        instances: `(H, W)` int32, -1 where unlabelled.
        names: Class name of each id; None where the file has no names. Empty for a nucleus without a class.
        types: `(H, W)` type ids, where the file has ids instead of names.
        notes: Sentences on how the file was read and what was left out.
        unlabelled: `(H, W)`, what labels leave open by a `Region*` or an `Ignore*`, where the file has one; a
            prediction leaves nothing open.
    """

    instances: NDArray[np.int32]
    names: dict[int, str] | None = None
    types: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = ()
    unlabelled: NDArray[np.bool_] | None = None


def stem_of_nuclei(path: Path) -> str:
    """The stem of the image that a file of nuclei is about; of none, if it has one of `ENDINGS`."""
    stem = composed(path.name[: len(path.name) - len(nuclei_suffix(path))])
    endings = [ending for ending in ENDINGS if ending and stem.endswith(ending)]
    return stem.removesuffix(max(endings, key=len, default=""))


def nuclei_suffix(path: Path) -> str:
    """The suffix of a file; `.geojson.gz` and `.json.gz` count as one."""
    name = path.name.lower()
    return next((suffix for suffix in (".geojson.gz", ".json.gz") if name.endswith(suffix)), suffix_of(path))


def read_nuclei(path: Path, shape: tuple[int, int], image: str = "") -> NucleiMap:
    """Reads the nuclei of one image.

    Args:
        path: A file of one of `NUCLEI_SUFFIXES`.
        shape: Height and width of the image.
        image: Stem of the image, for files about several.

    Raises:
        ImageFileError: The file cannot be used; the message says what it is.
    """
    suffix = nuclei_suffix(path)
    if suffix == ".mat":
        return _read_mat(path, shape)
    if suffix in (".geojson", ".geojson.gz", ".json", ".json.gz"):
        return _read_json(path, shape, image)
    instances, notes = read_nuclei_map(path)
    if instances.shape != shape:
        raise ImageFileError(
            f"{path} has shape {instances.shape} and its image {shape}; export the nuclei at the size of the image."
        )
    return NucleiMap(instances, notes=notes)


def read_nuclei_map(path: Path) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Reads a label map of nuclei, as `read_instances` gives it.

    Raises:
        ImageFileError: It is none, or Cellpose's `_seg.npy`.
    """
    if path.name.lower().endswith("_seg.npy"):
        raise ImageFileError(
            f"{path}: cellpose's _seg.npy is a pickled Python object, which is not opened; save the masks with "
            "`cellpose --save_tif` (or io.save_masks) as NAME_cp_masks.tif."
        )
    return read_instances(path)


def _read_mat(path: Path, shape: tuple[int, int]) -> NucleiMap:
    """HoVer-Net's layout: `inst_map`, and `inst_type` with a class for each id in rising order."""
    content = read_mat(path, "inst_map", perhaps="inst_type")
    instances = as_ids(content["inst_map"], f"{path}: inst_map", shape)
    types = as_ids(np.reshape(content.get("inst_type", []), -1), f"{path}: inst_type")
    ids = np.unique(instances[instances > 0])
    if not types.size or not ids.size:
        return NucleiMap(instances)
    if types.size != ids.size:
        note = f"{path}: {types.size} classes in inst_type and {ids.size} nuclei in inst_map: the classes are left out"
        return NucleiMap(instances, notes=(note,))
    row = np.where(instances > 0, np.searchsorted(ids, instances) + 1, 0)
    return NucleiMap(instances, types=np.concatenate([[0], types]).astype(np.int32)[row])


def _read_json(path: Path, shape: tuple[int, int], image: str) -> NucleiMap:
    content = read_json(path, _EXPECTED)
    kind = kind_of(content)
    if kind not in _JSON:
        raise ImageFileError(f"{path}: expected {_EXPECTED}, got {kind}; export it as one of them.")
    try:
        found = _JSON[kind](content, path, shape, image)
    except ImageFileError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ImageFileError(f"{path}: {kind} that is not as it should be ({error}); export it again.") from error
    return found


def misnamed(path: Path) -> str:
    """What a JSON that no image is called as holds, and what to do: a sentence.

    Raises:
        ImageFileError: It is no JSON.
    """
    kind = kind_of(read_json(path, "JSON"))
    remedy = "; save a file for each image, called as the image is" if kind in _JSON else ""
    return f"{path.name} is called as no image is; it holds {kind}{remedy}"


def _geojson(content: Any, path: Path, shape: tuple[int, int], image: str) -> NucleiMap:
    return _of_annotations(annotations_of(content, path), shape)


def _of_annotations(annotations: Annotations, shape: tuple[int, int], notes: Sequence[str] = ()) -> NucleiMap:
    annotations.raise_if_skipped()
    nuclei = on_image(nuclei_of(annotations), (shape[1], shape[0]), annotations.path)
    return painted(nuclei, shape, [*notes, *(f"{annotations.path}: {note}" for note in nuclei.notes)])


def painted(nuclei: Nuclei, shape: tuple[int, int], notes: Iterable[str] = ()) -> NucleiMap:
    """Paints nuclei in file order, the later one on top of an overlap."""
    ids = range(1, len(nuclei.regions) + 1)
    instances, _ = paint([region.rings_xy for region in nuclei.regions], ids, shape)
    names = {i: region.name for i, region in zip(ids, nuclei.regions, strict=True)}
    unlabelled = nuclei.unlabelled(instances) if nuclei.frames or nuclei.ignored else None
    return NucleiMap(instances, names, notes=tuple(notes), unlabelled=unlabelled)


def _hovernet(content: Any, path: Path, shape: tuple[int, int], image: str) -> NucleiMap:
    """`{"nuc": {id: {"contour": [[x, y], ...], "type": n}}}`; OpenCV's contours run through the middles of the
    outermost pixels, which belong to the nucleus, so they are filled as OpenCV does."""
    import cv2

    instances, types = np.zeros(shape, np.int32), [0]
    for number, nucleus in enumerate(content["nuc"].values(), start=1):
        contour = np.asarray(nucleus["contour"], np.float64).reshape(-1, 2)
        if not len(contour):
            raise ValueError(f"nucleus {number} has a contour without points")
        if not (abs(contour) < 2**30).all():
            raise ValueError(f"nucleus {number} has a point that is no place in an image")
        cv2.fillPoly(instances, [np.round(contour).astype(np.int32)], number)
        kind = nucleus.get("type")
        types.append(UNLABELLED if kind is None else int(kind))
    has_types = bool(set(types) - {0, UNLABELLED})
    return NucleiMap(instances, types=np.array(types, np.int32)[instances] if has_types else None)


def _coco(content: Any, path: Path, shape: tuple[int, int], image: str) -> NucleiMap:
    entries = content["images"]
    wanted = [entry for entry in entries if image and stem_of(str(entry["file_name"])) == image]
    wanted = wanted or (entries if len(entries) == 1 else [])
    if len(wanted) != 1:
        raise ImageFileError(
            f"{path}: COCO with {len(entries)} images, {len(wanted)} of them called {image or 'as asked'}; save a file "
            "for each image, called as the image is."
        )
    _check_size((wanted[0].get("height"), wanted[0].get("width")), shape, path)
    names = {category["id"]: str(category.get("name", "")) for category in content.get("categories", [])}
    features: list[Any] = []
    crowds: list[Any] = []
    run_lengths: list[Any] = []
    others: Counter[str] = Counter()
    for annotation in content["annotations"]:
        if annotation["image_id"] != wanted[0]["id"]:
            continue
        segmentation, is_crowd = annotation.get("segmentation"), annotation.get("iscrowd")
        if is_crowd and isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
            run_lengths.append(segmentation)
            continue
        if not isinstance(segmentation, list) or not segmentation:
            others["run-length mask" if segmentation else "box without an outline"] += 1
            continue
        rings = [np.asarray(ring, np.float64).reshape(-1, 2).tolist() for ring in segmentation]
        drawn = _detection(rings, names.get(annotation.get("category_id"), ""))
        (crowds if is_crowd else features).append(drawn)
    if others:
        raise ImageFileError(f"{path}: COCO with {counted(others)} that are not read; export the nuclei as polygons.")
    found = _of_annotations(annotations_of(features, path), shape)
    return _with_crowds(found, annotations_of(crowds, path), run_lengths, shape)


def _with_crowds(
    found: NucleiMap, crowds: Annotations, run_lengths: Sequence[Any], shape: tuple[int, int]
) -> NucleiMap:
    """Leaves the areas unlabelled that COCO calls crowds, where nobody told one nucleus from the other."""
    crowds.raise_if_skipped()
    if not (number := len(crowds.regions) + len(run_lengths)):
        return found
    painted, _ = paint([region.rings_xy for region in crowds.regions], [1] * len(crowds.regions), shape)
    area = painted > 0
    for segmentation in run_lengths:
        area |= _of_run_lengths(segmentation, shape, crowds.path)
    instances = np.where(area & (found.instances == 0), UNLABELLED_INSTANCE, found.instances)
    note = f"{crowds.path}: {number} crowds (iscrowd) are unlabelled, but for the nuclei in them"
    return replace(found, instances=instances.astype(np.int32), notes=(*found.notes, note))


def _of_run_lengths(segmentation: Any, shape: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    """`{"counts": [n, ...], "size": [height, width]}`: pixels outside and inside by turns, column by column."""
    counts, (height, width) = segmentation["counts"], segmentation["size"]
    _check_size((height, width), shape, path)
    if min(counts, default=0) < 0 or sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"counts of {sum(counts)} pixels on {shape[1]} x {shape[0]}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape[::-1]).T  # (W * H,) -> (H, W)


def _check_size(said: tuple[Any, Any], shape: tuple[int, int], path: Path) -> None:
    """Refuses outlines that were drawn on an image of another height and width; a file need not say any."""
    height, width = (int(side or 0) for side in said)
    if height and width and (height, width) != shape:
        raise ImageFileError(
            f"{path}: its outlines are on an image of {width} x {height} pixels, and its image has {shape[1]} x "
            f"{shape[0]}; export them at the size of the image."
        )


def _labelme(content: Any, path: Path, shape: tuple[int, int], image: str) -> NucleiMap:
    _check_size((content.get("imageHeight"), content.get("imageWidth")), shape, path)
    features: list[Any] = []
    others: Counter[str] = Counter()
    for drawn in content["shapes"]:
        kind, points = drawn.get("shape_type") or "polygon", np.asarray(drawn["points"], np.float64).reshape(-1, 2)
        if kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        elif kind == "circle" and len(points) == 2:
            angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
            radius = np.hypot(*(points[1] - points[0]))
            points = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        elif kind != "polygon":
            others[kind] += 1
            continue
        features.append(_detection([points.tolist()], str(drawn.get("label") or "")))
    notes = [f"{path}: left out: {counted(others)}"] if others else []
    if others and not features:
        raise ImageFileError(f"{path}: expected polygons, got labelme with {counted(others)}; draw polygons.")
    return _of_annotations(annotations_of(features, path), shape, notes)


def _detection(rings: list[list[list[float]]], name: str) -> dict[str, Any]:
    """A nucleus as GeoJSON; several rings are its parts."""
    polygons = [[[*ring, ring[0]]] for ring in rings if len(ring) > 2]
    return {
        "geometry": {"type": "MultiPolygon", "coordinates": polygons},
        "properties": {"objectType": "detection", "classification": name},
    }


_JSON: dict[str, Callable[[Any, Path, tuple[int, int], str], NucleiMap]] = {
    "GeoJSON": _geojson,
    "HoVer-Net's JSON": _hovernet,
    "COCO": _coco,
    "labelme": _labelme,
}

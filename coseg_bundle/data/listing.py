"""What lies in a folder: the files that are meant, without those that systems and programs leave beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coseg_bundle.data.images.files import stem_of, suffix_of
from coseg_bundle.fingerprint import is_junk

_SUMMARY = "summary.json"
_OURS = {"instances.tif", "nuclei.geojson", "nuclei.parquet", "tissue.tif", "tissue.ome.tif"}
"""A folder with the first and one of these holds results of `coseg`."""

_SERVER = "coseg"
_OF_SERVER = "weights/coseg_v*.pt", f"runs/{8 * '[0-9]'}-{6 * '[0-9]'}"
"""A folder of the first name with one of these holds what the annotation server wrote: tiles of the images beside it,
with the labels of then."""

_STORE, _LABELS, _FINAL = "datastore_v2.json", "labels", "final"
"""MONAI Label's list of its images, beside it the folder of labels, in that one for each tag: with others than the last
they are answers of a network that nobody looked at."""

RECORDS = {"datalist.json", "summary.json", "report.json", _STORE}
"""Files among labels that are none: those of `coseg`, and MONAI Label's list of its images."""

_DERIVED = {
    *("mask", "masks", "label", "labels", "overlay", "overlays", "instances", "inst", "type", "types", "tissue"),
    *("cp_masks", "cp_outlines", "outlines", "flows", "seg", "gt", "anno", "annotation", "segmentation", "prediction"),
    "instanseg_prediction",
}
"""What stands behind the stem of an image's name in the name of a file that was made from it or for it."""

_NOT_IMAGES = _DERIVED | {
    *("nuclei", "nuclei_type", "nuclei_types", "nuclei_pred", "tissues", "tissue_maps", "type_maps", "instance_maps"),
    *("glands", "predictions", "results", "annotations", "geojson", "groundtruth", "ground_truth", "thumbnails"),
}
"""Folders beside the images."""


@dataclass(frozen=True)
class Listed:
    """Files of a folder.

    Attributes:
        files: Those that are meant, sorted.
        left_out: How many others of the same suffixes there are, by why they are none.
    """

    files: list[Path]
    left_out: Mapping[str, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on what was left out, if anything was."""
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(self.left_out.items()))
        return (f"left out: {reasons}",) if reasons else ()


def listed(
    folder: Path,
    suffixes: Collection[str],
    *,
    deep: bool = False,
    images: bool = False,
    without: Path | None = None,
) -> Listed:
    """Lists the files of a folder that have one of some suffixes.

    Left out are hidden files (`._NAME` too), folders like `__MACOSX`, results of `coseg`, and what the annotation
    server wrote, its labels that are not final among them.

    Args:
        folder: The folder.
        suffixes: As `suffix_of` gives them.
        deep: Whether to go down into its folders.
        images: Whether images are meant: then masks, labels and overlays beside them are left out too.
        without: A folder to leave out without a word: where the results of this command go.
    """
    wanted, left_out = set(suffixes), Counter[str]()
    found = []
    for path, reason in _walk(folder, deep, images, None if without is None else without.resolve()):
        if suffix_of(path) not in wanted or not path.is_file():
            continue
        if reason:
            left_out[reason] += 1
        else:
            found.append(path)
    if images:
        made = _derived(found)
        left_out["named after another image (mask, label, overlay)"] += len(made)
        found = [path for path in found if path not in made]
    return Listed(sorted(found), {reason: number for reason, number in left_out.items() if number})


def folders(top: Path, name: str) -> list[Path]:
    """Folders of a name below `top`, sorted; none in what `listed` leaves out."""
    found = []
    for place, inner, files in os.walk(top):
        inner[:] = sorted(each for each in inner if not is_junk(each))
        if not _holds_results({*inner, *files}):
            found += [Path(place, each) for each in inner if each == name]
    return sorted(found)


def _walk(folder: Path, deep: bool, images: bool, without: Path | None) -> Iterator[tuple[Path, str]]:
    """Every file, and why it is not meant; nothing where it may be."""
    reasons = {str(folder): ""}
    for place, inner, files in os.walk(folder):
        reason = reasons[place]
        if not reason and _holds_results({*inner, *files}):
            reason = "in results of coseg"
        elif not reason and _is_of_server(place):
            reason = "written by the annotation server"
        elif not reason and place != str(folder) and _is_not_final(Path(place)):
            reason = "among the annotation server's labels and not final"
        for name in files:
            yield Path(place, name), reason or ("hidden" if is_junk(name) else "")
        inner[:] = [name for name in inner if deep and Path(place, name).resolve() != without]
        for name in inner:
            below = (
                "hidden" if is_junk(name) else "in folders of masks and overlays" if _is_beside(name, images) else ""
            )
            reasons[os.path.join(place, name)] = reason or below


def _is_beside(name: str, images: bool) -> bool:
    return images and name.lower() in _NOT_IMAGES


def _holds_results(names: set[str]) -> bool:
    return _SUMMARY in names and bool(names & _OURS)


def _is_of_server(place: str) -> bool:
    named = os.path.basename(os.path.abspath(place)) == _SERVER
    return named and any(True for pattern in _OF_SERVER for _ in Path(place).glob(pattern))


def _is_not_final(place: Path) -> bool:
    labels = place.parent
    of_store = labels.name == _LABELS and ((labels.parent / _STORE).is_file() or (labels / _FINAL).is_dir())
    return of_store and place.name != _FINAL


def _derived(found: Collection[Path]) -> set[Path]:
    """Files whose name is another one's with a word behind it."""
    stems = {(path.parent, stem_of(path).lower()) for path in found}
    made = set()
    for path in found:
        stem = stem_of(path).lower()
        for word in _DERIVED:
            if any(
                stem.endswith(sign + word) and (path.parent, stem[: -len(word) - 1]) in stems for sign in "_-." if stem
            ):
                made.add(path)
    return made

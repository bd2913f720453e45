"""What a path is: a finished folder of ours, or nuclei of others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from coseg_bundle.data.images import IMAGE_SUFFIXES, LABEL_SUFFIXES, ImageFileError, composed, stem_of, suffix_of
from coseg_bundle.data.images.files import SLIDE_SUFFIXES
from coseg_bundle.data.labels.foreign import nuclei_suffix, stem_of_nuclei
from coseg_bundle.measures.finished import finished_image, finished_slide
from coseg_bundle.measures.foreign.annotation_store import STORE
from coseg_bundle.measures.foreign.geojson import foreign_nuclei
from coseg_bundle.measures.foreign.label_map import label_map_nuclei
from coseg_bundle.measures.source import Source
from coseg_bundle.writers.folders import ResultsFolderError, recorded
from coseg_bundle.writers.summary import BrokenRecordError
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.backends import open_backend

_GEOJSON = (".geojson", ".geojson.gz", ".json", ".json.gz")
_MORE_SLIDES = (".qptiff", ".btf", ".tf8", ".tf2", ".bmp")
"""Files that `coseg slide` may read besides those of `IMAGE_SUFFIXES` and `SLIDE_SUFFIXES`."""


def image_in(folder: Path, path: Path) -> Path:
    """The slide or image of a path in a folder of them: the file that was segmented, by its name; of nuclei of other
    programs the one of their stem, or else of what stands before its ending (`_cp_masks`).

    Raises:
        ImageFileError: None is there, or several are.
    """
    if path.is_dir():
        stem = Path((recorded(path) or {}).get("file") or path.name).name
        found = [one for one in folder.iterdir() if composed(one.name) == composed(stem)]
    else:
        slides = [one for one in sorted(folder.iterdir()) if one != path and _may_be_slide(one)]
        whole = composed(path.name[: len(path.name) - len(nuclei_suffix(path))])
        stem = stem_of_nuclei(path)
        found = _called(whole, slides) or _called(stem, slides)
    if len(found) != 1:
        got = ", ".join(one.name for one in found) or "none"
        raise ImageFileError(f"{path}: expected one slide called {stem} in {folder}, got {got}; move or rename it.")
    return found[0]


def is_folder_of_slides(path: Path) -> bool:
    """Whether a path is a folder, and no slide itself, as DICOM and OME-Zarr are."""
    if not path.is_dir():
        return False
    try:
        open_backend(path).close()
    except (ValueError, OSError):
        return True
    return False


def _may_be_slide(path: Path) -> bool:
    """By its suffix; a folder is one, unless it is the data of the slide beside it."""
    if path.is_dir():
        return not path.with_name(f"{path.name}.mrxs").exists()
    return suffix_of(path) in (*IMAGE_SUFFIXES, *SLIDE_SUFFIXES, *_MORE_SLIDES)


def _called(name: str, slides: Sequence[Path]) -> list[Path]:
    name = name.removesuffix(".ome")
    return [one for one in slides if name in (composed(one.name), stem_of(one).removesuffix(".ome"))]


def open_source(
    path: Path, image: Path | None = None, mpp: float | None = None, origin: Origin | None = None
) -> AbstractContextManager[Source]:
    """Opens what is to be measured.

    Args:
        path: A folder that `coseg slide` or `coseg predict` wrote, or nuclei as GeoJSON, label map or annotation store.
        image: The slide or image, where it is not where it was, or nothing says where.
        mpp: Microns per pixel, where nothing says them.
        origin: Where (0, 0) of nuclei of other programs lies, where they do not say it.

    Raises:
        ResultsFolderError: The folder holds no finished results, or is given an origin, which it says itself.
        ImageFileError: The file holds no nuclei.
    """
    if path.is_dir():
        try:
            kind = (recorded(path) or {}).get("kind")
        except BrokenRecordError as error:
            raise ResultsFolderError(f"{error}; make the results anew with --overwrite.") from error
        if origin and kind in ("slide", "predict"):
            raise ResultsFolderError(f"{path}: results say themselves where (0, 0) lies; leave --origin away for them.")
        if kind == "slide":
            return finished_slide(path, image)
        if kind == "predict":
            return finished_image(path, image, mpp)
        raise ResultsFolderError(
            f"{path}: no finished results (summary.json is missing); give a folder that coseg slide or coseg predict "
            "wrote, such as results/slide.svs."
        )
    if not path.exists():
        raise ImageFileError(f"{path}: file not found; check the path.")
    if path.name.lower().endswith((*_GEOJSON, STORE)):
        return foreign_nuclei(path, image, mpp, origin)
    if suffix_of(path) in LABEL_SUFFIXES:
        return label_map_nuclei(path, image, mpp, origin)
    raise ImageFileError(
        f"{path}: expected a folder of results, or nuclei as GeoJSON, label map or annotation store, got "
        f"{path.suffix or 'no suffix'}; segment it first with coseg slide or coseg predict."
    )

"""What a path is: a finished folder of ours, or nuclei of others."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from coseg_bundle.data.images import LABEL_SUFFIXES, ImageFileError, stem_of, suffix_of
from coseg_bundle.data.labels.foreign import stem_of_nuclei
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
_NO_SLIDES = {".geojson", ".json", ".gz", ".npy", ".mat", ".csv", ".xml", ".txt", ".parquet", ".zip", STORE}
"""What lies beside slides under their names."""


def image_in(folder: Path, path: Path) -> Path:
    """The slide or image of a path in a folder of them: the file that was segmented, by its name; of nuclei of other
    programs the one of their stem. A folder that is a slide itself (DICOM, OME-Zarr) is that of any path.

    Raises:
        ImageFileError: None is there, or several are.
    """
    if path.is_dir():
        name = Path((recorded(path) or {}).get("file") or path.name).name
        found = [folder / name] if (folder / name).exists() else []
    else:
        name = stem_of_nuclei(path)
        inside = [one for one in sorted(folder.iterdir()) if suffix_of(one) not in _NO_SLIDES]
        found = [one for one in inside if name in (one.name, stem_of(one).removesuffix(".ome")) and one != path]
    if not found and _is_slide(folder):
        return folder
    if len(found) != 1:
        got = ", ".join(one.name for one in found) or "none"
        raise ImageFileError(f"{path}: expected one slide called {name} in {folder}, got {got}; move or rename it.")
    return found[0]


def _is_slide(folder: Path) -> bool:
    try:
        open_backend(folder).close()
    except (ValueError, OSError):
        return False
    return True


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

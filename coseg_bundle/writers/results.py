"""The folder of results of one image."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coseg_bundle.atomic import whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import HistologyImage, ImageFileError
from coseg_bundle.data.labels.json_files import OF_IMAGE
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.geojson import nuclei_features, tissue_features, write_features
from coseg_bundle.writers.nuclei_table import write_csv
from coseg_bundle.writers.overlay import draw_overlay
from coseg_bundle.writers.summary import FILES, SUMMARY, sizes_in, versions

NIFTI = ("image", "instances", "tissue")
"""Names of the volumes."""

_OF_TASK = {"nuclei": ("instances.tif", "nuclei.geojson", "nuclei.csv"), "tissue": ("tissue.tif", "tissue.geojson")}
"""Files that are left out where nobody taught the network the task."""

NIFTI_SIDE = 2**15 - 1
"""The longest side that NIfTI's header has room for."""


def write_results(
    folder: Path,
    image: HistologyImage,
    prediction: Prediction,
    tissue_classes: ClassMap,
    nuclei_classes: ClassMap,
    *,
    nifti: bool = False,
    extra: dict[str, Any] | None = None,
    untrained: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes every result of one image; files of an earlier run are replaced, each as a whole.

    Args:
        folder: Made if it does not exist.
        image: The image.
        prediction: What was found in it, at its size.
        tissue_classes: Tissue class names.
        nuclei_classes: Nuclei class names, background first.
        nifti: Whether to write NIfTI volumes of the image and both maps, too.
        extra: More entries for the summary (timings, the weights' hash).
        untrained: Tasks that nobody taught the network: their files are left out, those of an earlier run removed.

    Returns:
        The content of `summary.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)
    left_out = {name for task in untrained for name in _OF_TASK.get(task, ())}
    writers: dict[str, Callable[[Path], object]] = {
        "instances.tif": partial(_write_map, prediction.instance_map.astype(np.uint32), prediction.mpp),
        "tissue.tif": partial(_write_map, prediction.tissue_map.astype(np.uint8), prediction.mpp),
        "nuclei.geojson": lambda path: write_features(
            path, nuclei_features(prediction.instances, nuclei_classes, tissue_classes), OF_IMAGE
        ),
        "tissue.geojson": lambda path: write_features(
            path, tissue_features(prediction.tissue_map, tissue_classes), OF_IMAGE
        ),
        "nuclei.csv": lambda path: write_csv(path, prediction, tissue_classes, nuclei_classes),
    }
    for name, write in writers.items():
        if name in left_out:
            (folder / name).unlink(missing_ok=True)
        else:
            write(folder / name)
    with whole_file(folder / "overlay.png") as path:
        Image.fromarray(draw_overlay(image.rgb, prediction, tissue_classes, nuclei_classes)).save(path)
    for name in NIFTI:  # of an earlier run
        (folder / f"{name}.nii.gz").unlink(missing_ok=True)
    volumes = [name for name in NIFTI if f"{name}.tif" not in left_out] if nifti else []
    if nifti:
        write_nifti(folder, image, prediction, volumes)
    summary = summarise(image, prediction, tissue_classes, nuclei_classes)
    files = [*(name for name in writers if name not in left_out), *(f"{name}.nii.gz" for name in volumes)]
    summary |= {"untrained": list(untrained), FILES: sizes_in(folder, files), **(extra or {})}
    with whole_file(folder / SUMMARY) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _write_map(array: NDArray[Any], mpp: float | None, path: Path) -> None:
    resolution = (1e4 / mpp, 1e4 / mpp) if mpp else (1, 1)  # pixels per cm
    unit = "CENTIMETER" if mpp else "NONE"
    with whole_file(path) as whole:
        tifffile.imwrite(whole, array, compression="deflate", metadata=None, resolution=resolution, resolutionunit=unit)


def check_nifti_size(path: Path, shape: tuple[int, ...]) -> None:
    """Says before a prediction that it could not be written.

    Args:
        path: The image.
        shape: Its height and width, and whatever follows.

    Raises:
        ImageFileError: A side is longer than NIfTI allows.
    """
    height, width = shape[:2]
    if max(height, width) > NIFTI_SIDE:
        raise ImageFileError(
            f"{path}: expected at most {NIFTI_SIDE} px a side for --nifti, got {width} x {height}; leave --nifti away, "
            "or cut regions from it."
        )


def write_nifti(folder: Path, image: HistologyImage, prediction: Prediction, names: Collection[str] = NIFTI) -> None:
    """Writes `image.nii.gz` and label volumes that lie on it in 3D Slicer: those of `names`.

    Volumes are `(W, H, 1)`. Of a NIfTI image the affine is kept; otherwise x grows to the left and y to the back of the
    patient (as Slicer places pictures), with the pixel size in mm, or 1 mm where it is not known.
    """
    import nibabel

    spacing = prediction.mpp / 1000 if prediction.mpp else 1.0
    affine = np.diag([-spacing, -spacing, spacing, 1.0]) if image.affine is None else image.affine
    rgb = np.ascontiguousarray(image.rgb).view([(channel, "u1") for channel in "RGB"])[..., 0]
    arrays: tuple[NDArray[Any], ...] = rgb, prediction.instance_map.astype(np.int32), prediction.tissue_map
    for name, array in zip(NIFTI, arrays, strict=True):
        if name not in names:
            continue
        volume = nibabel.Nifti1Image(_to_xyz(array), affine)
        volume.header.set_xyzt_units("mm")
        with whole_file(folder / f"{name}.nii.gz") as path:
            nibabel.save(volume, path)


def summarise(
    image: HistologyImage, prediction: Prediction, tissue_classes: ClassMap, nuclei_classes: ClassMap
) -> dict[str, Any]:
    """Counts and areas of one image, with the versions that made them."""
    table, mpp = prediction.instances, prediction.mpp
    height, width = prediction.tissue_map.shape
    unscanned = np.zeros(prediction.tissue_map.shape, bool) if prediction.unscanned is None else prediction.unscanned
    pixels = np.bincount(prediction.tissue_map[~unscanned], minlength=len(tissue_classes))
    counts = np.bincount(np.maximum(table.type_id, 1), minlength=len(nuclei_classes))
    return {
        "image": str(image.path),
        "width_px": width,
        "height_px": height,
        "mpp": mpp,
        "nuclei": len(table),
        "nuclei_by_class": {nuclei_classes.name_of(i): int(counts[i]) for i in range(1, len(nuclei_classes))},
        "nuclei_area_px_median": float(np.median(table.area_px)) if len(table) else None,
        "tissue_area_px": {tissue_classes.name_of(i): int(n) for i, n in enumerate(pixels)},
        "tissue_area_um2": {tissue_classes.name_of(i): round(int(n) * mpp**2, 1) for i, n in enumerate(pixels)}
        if mpp
        else None,
        "unscanned": {
            "fraction": round(float(unscanned.mean()), 4),
            "area_um2": round(int(unscanned.sum()) * mpp**2, 1) if mpp else None,
        },
        "versions": versions("coseg-bundle", "torch", "monai", "onnxruntime"),
    }


def _to_xyz(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))[..., None]  # (H, W) -> (W, H, 1)

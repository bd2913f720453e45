"""Predicts many image files: one bad file does not stop the others."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle import __version__
from coseg_bundle.data.images import IMAGE_SUFFIXES, HistologyImage, ImageFileError, read_image
from coseg_bundle.data.images.files import SLIDE_SUFFIXES, sentence_of, spares_others, suffix_of
from coseg_bundle.data.listing import listed
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.folders import ResultsFolderError, claimed, finished, result_folders
from coseg_bundle.writers.results import check_nifti_size, write_results
from coseg_bundle.writers.summary import MADE_FROM, doubts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        path: The image.
        folder: Its folder of results.
        summary: Content of its `summary.json`; empty after an error.
        error: Why it failed, in one sentence.
        skipped: Whether complete results were there already.
    """

    path: Path
    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    skipped: bool = False


def collect_images(inputs: Sequence[str | PathLike[str]]) -> list[Path]:
    """Files as they are given, and for each folder the images in it, sorted; what `listing.listed` leaves out is said.

    Raises:
        ImageFileError: A folder holds no image.
    """
    files: list[Path] = []
    for given in map(Path, inputs):
        if suffix_of(given) in SLIDE_SUFFIXES or not os.path.isdir(
            given
        ):  # where Path.is_dir raises, the file is reported with the other results
            files.append(given)
            continue
        found = listed(given, IMAGE_SUFFIXES, images=True)
        if not found.files:
            raise ImageFileError(
                f"{given}: no image in this folder; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
                f"{''.join(f' ({note})' for note in found.notes)}{_hint(given)}."
            )
        for note in found.notes:
            logger.warning("%s: %s", given, note)
        files.extend(found.files)
    return list(dict.fromkeys(files))


def _hint(folder: Path) -> str:
    """Where a folder holds slides, what reads them."""
    slides = any(suffix_of(path) in SLIDE_SUFFIXES for path in folder.iterdir())
    return "; its whole slides are for `coseg slide`" if slides else ""


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path,
    *,
    mpp: float | None = None,
    nifti: bool = False,
    skip_existing: bool = False,
    overwrite: bool = False,
) -> Iterator[FileResult]:
    """Predicts files one after the other and writes their results.

    Args:
        predictor: The predictor.
        files: Images.
        output: Folder that gets a folder for each image.
        mpp: Resolution of all images; what the files say when not given.
        nifti: Whether to write NIfTI volumes too.
        skip_existing: Whether to leave images alone whose results are complete and made from the same; where they are
            made from something else, the image fails.
        overwrite: Whether to make those anew.

    Yields:
        One result per file, in order, errors included.
    """
    for path, folder in zip(files, result_folders(files, output), strict=True):
        try:
            with claimed(folder, "predict"):
                result = _predict_file(predictor, path, folder, mpp, nifti, skip_existing, overwrite)
        except Exception as error:
            if not spares_others(error):
                raise
            logger.debug("%s failed", path, exc_info=True)
            result = FileResult(path, folder, error=sentence_of(path, error, "; cut regions from it."))
            with suppress(OSError):
                folder.rmdir()  # where nothing was written
        yield result


def _predict_file(
    predictor: Predictor,
    path: Path,
    folder: Path,
    mpp: float | None,
    nifti: bool,
    skip_existing: bool,
    overwrite: bool,
) -> FileResult:
    start = time.perf_counter()
    if suffix_of(path) in SLIDE_SUFFIXES and path.exists():
        raise ImageFileError(f"{path}: a whole slide; segment it with `coseg slide {path.name} --output DIR`.")
    made_from = _made_from(predictor, path, mpp, nifti) if path.is_file() else {}
    if skip_existing and made_from:
        try:
            if (summary := finished(folder, made_from)) is not None:
                return FileResult(path, folder, summary, skipped=True)
        except ResultsFolderError:
            if not overwrite:
                raise
    image = read_image(path)
    if nifti:
        check_nifti_size(path, image.rgb.shape)
    used = image.square_mpp if mpp is None else mpp
    read = time.perf_counter()
    prediction = predictor.predict(image.rgb, used, unscanned=image.unscanned)
    predicted = time.perf_counter()
    extra = provenance(predictor, image, prediction, mpp) | {
        MADE_FROM: made_from,
        "seconds": {"read": round(read - start, 3), "predict": round(predicted - read, 3)},
    }
    written = write_results(
        folder,
        image,
        prediction,
        *predictor.result_classes,
        nifti=nifti,
        extra=extra,
        untrained=predictor.untrained,
    )
    return FileResult(path, folder, written)


def provenance(
    predictor: Predictor, image: HistologyImage, prediction: Prediction, given: float | None
) -> dict[str, Any]:
    """What `summary.json` says of where an image's results come from.

    Args:
        predictor: What found them.
        image: The image.
        prediction: What was found.
        given: Its microns per pixel, where somebody gave them.
    """
    area_px, um = prediction.instances.area_px, prediction.mpp or predictor.mpp
    return {
        "mpp_source": "given" if given else "file" if image.mpp else "unknown",
        "network_mpp": predictor.mpp,
        "read_as": list(image.notes),
        "doubts": doubts(len(area_px), float(np.median(area_px)) * um**2 if len(area_px) else None, given, image.mpp),
        "unscanned_px": 0 if image.unscanned is None else int(image.unscanned.sum()),
        "weights": predictor.weights.name if predictor.weights else None,
        "weights_sha256": predictor.weights_sha256,
        "precision": predictor.settings.get("precision"),
        "engine": predictor.engine,
    }


def _made_from(predictor: Predictor, path: Path, mpp: float | None, nifti: bool) -> dict[str, Any]:
    """What the results of an image depend on; `mpp` where it is given, since the rest is in the file's content."""
    record = {
        "kind": "predict",
        "file": str(path.resolve()),
        "content": fingerprint(path),
        "mpp": mpp,
        "network_mpp": predictor.mpp,
        "inference": predictor.settings,
        "windows": predictor.windows,
        "postprocessing": asdict(predictor.postprocessing),
        "tissue_classes": predictor.tissue_classes.names,
        "nuclei_classes": predictor.nuclei_classes.names,
        "nifti": nifti,
        "weights_sha256": predictor.weights_sha256,
        "version": __version__,
    }
    return dict(json.loads(json.dumps(record)))


def failures(results: Iterable[FileResult]) -> list[FileResult]:
    """The results with an error."""
    return [result for result in results if result.error]

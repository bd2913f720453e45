"""Predicts many image files: one bad file does not stop the others."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from coseg_bundle.data.images import IMAGE_SUFFIXES, ImageFileError, read_image, stem_of, suffix_of
from coseg_bundle.data.images.files import first_line, is_out_of_memory
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.writers.results import write_results
from coseg_bundle.writers.summary import SUMMARY

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        path: The image.
        folder: Its folder of results.
        summary: Content of its `summary.json`; empty after an error or when it was skipped.
        error: Why it failed, in one sentence.
        skipped: Whether complete results were there already.
    """

    path: Path
    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    skipped: bool = False


def collect_images(inputs: Sequence[str | PathLike[str]]) -> list[Path]:
    """Files as they are given, and for each folder the images in it, sorted.

    Raises:
        ImageFileError: A folder holds no image.
    """
    files: list[Path] = []
    for given in map(Path, inputs):
        if not given.is_dir():
            files.append(given)
            continue
        found = sorted(path for path in given.iterdir() if path.is_file() and suffix_of(path) in IMAGE_SUFFIXES)
        if not found:
            raise ImageFileError(
                f"{given}: no image in this folder; expected files ending in {', '.join(IMAGE_SUFFIXES)}."
            )
        files.extend(found)
    return list(dict.fromkeys(files))


def result_folders(files: Sequence[Path], output: Path) -> list[Path]:
    """A folder for each file: its stem, its whole name where stems collide, numbered where names do."""
    stems = Counter(stem_of(path) for path in files)
    names = Counter(path.name for path in files)
    seen: Counter[str] = Counter()
    folders = []
    for path in files:
        name = stem_of(path) if stems[stem_of(path)] == 1 else path.name
        if names[path.name] > 1:
            seen[path.name] += 1
            name = f"{path.name}-{seen[path.name]}"
        folders.append(output / name)
    return folders


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path,
    *,
    mpp: float | None = None,
    nifti: bool = False,
    skip_existing: bool = False,
) -> Iterator[FileResult]:
    """Predicts files one after the other and writes their results.

    Args:
        predictor: The predictor.
        files: Images.
        output: Folder that gets a folder for each image.
        mpp: Resolution of all images; what the files say when not given.
        nifti: Whether to write NIfTI volumes too.
        skip_existing: Whether to leave images alone whose results are complete.

    Yields:
        One result per file, in order, errors included.
    """
    for path, folder in zip(files, result_folders(files, output), strict=True):
        if skip_existing and (folder / SUMMARY).is_file():
            yield FileResult(path, folder, skipped=True)
            continue
        try:
            yield FileResult(path, folder, _predict_file(predictor, path, folder, mpp, nifti))
        except Exception as error:
            if not isinstance(error, (ValueError, OSError)) and not is_out_of_memory(error):
                raise
            logger.debug("%s failed", path, exc_info=True)
            reason = " ".join(str(error).split()) or type(error).__name__
            if is_out_of_memory(error):
                reason = f"{path}: does not fit in memory ({first_line(error)}); cut regions from it."
            yield FileResult(path, folder, error=reason if str(path) in reason else f"{path}: {reason}")


def _predict_file(predictor: Predictor, path: Path, folder: Path, mpp: float | None, nifti: bool) -> dict[str, Any]:
    start = time.perf_counter()
    image = read_image(path)
    used, source = (mpp, "given") if mpp else (image.square_mpp, "file" if image.mpp else "unknown")
    read = time.perf_counter()
    prediction = predictor.predict(image.rgb, used, unscanned=image.unscanned)
    predicted = time.perf_counter()
    extra = {
        "mpp_source": source,
        "network_mpp": predictor.mpp,
        "read_as": list(image.notes),
        "unscanned_px": 0 if image.unscanned is None else int(image.unscanned.sum()),
        "weights": predictor.weights.name if predictor.weights else None,
        "weights_sha256": predictor.weights_sha256,
        "precision": predictor.settings.get("precision"),
        "seconds": {"read": round(read - start, 3), "predict": round(predicted - read, 3)},
    }
    classes = predictor.tissue_classes, predictor.nuclei_classes
    return write_results(folder, image, prediction, *classes, nifti=nifti, extra=extra)


def failures(results: Iterable[FileResult]) -> list[FileResult]:
    """The results with an error."""
    return [result for result in results if result.error]

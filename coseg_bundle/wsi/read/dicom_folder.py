"""A folder of DICOM files as one slide."""

from __future__ import annotations

from pathlib import Path

from coseg_bundle.data.images import ImageFileError

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of VL Whole Slide Microscopy Images."""


def dicom_file(folder: Path) -> Path:
    """A file of the one slide in a folder; whatever opens it finds the slide's other files beside it.

    Raises:
        ImageFileError: The folder holds no slide's DICOM files or several slides', or pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImageFileError(
            f"{folder}: a folder, and pydicom is not installed ({error}), which tells what is in it; pip install "
            "'coseg-bundle[dicom]', or give one of the slide's DICOM files."
        ) from error
    tags = ["SeriesInstanceUID", "SOPClassUID", "ImageType"]
    slides: dict[str, Path] = {}
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        if not pydicom.misc.is_dicom(path):
            continue
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        except Exception:  # damaged: OpenSlide says so of the one that it needs
            continue
        if found.get("SOPClassUID") == WHOLE_SLIDE and "VOLUME" in (found.get("ImageType") or ()):
            slides.setdefault(str(found.get("SeriesInstanceUID")), path)
    if len(slides) == 1:
        return next(iter(slides.values()))
    if slides:
        some = ", ".join(path.name for path in list(slides.values())[:5])
        raise ImageFileError(
            f"{folder}: expected the DICOM files of one slide, got {len(slides)} slides (series); give a file of each "
            f"that is meant: {some}."
        )
    raise ImageFileError(
        f"{folder}: a folder without a slide; expected DICOM files of one slide, or OME-Zarr; give other slides by "
        "their files."
    )

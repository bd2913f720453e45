"""A folder of DICOM files as one slide: which of them hold its images, and which images show the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coseg_bundle.data.images import ImageFileError

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of VL Whole Slide Microscopy Images."""

_SHARED_GROUPS = 0x52009229
"""The last element that is looked at: behind it stands what may be said of each of a million tiles."""

_SAME_PLACE = 0.02
"""Share of its width by which an image may lie elsewhere than a smaller copy of it, beside a pixel of that."""


@dataclass(frozen=True)
class SlideImage:
    """What a DICOM file says of the image that it holds, or holds a part of.

    Attributes:
        path: The file.
        series: UID of the series; "" where it does not say.
        identity: UID of the image; of the concatenation where it is stored in parts.
        pyramid: UID of the pyramid; "" where it does not say.
        size_xy: Width and height, px.
        pixel_mm: Width and height of a pixel; None where it does not say.
        corner_mm: Where its first pixel lies on the glass; None where it does not say.
    """

    path: Path
    series: str
    identity: str
    pyramid: str
    size_xy: tuple[int, int]
    pixel_mm: tuple[float, float] | None
    corner_mm: tuple[float, float] | None

    def shows_the_same(self, other: SlideImage) -> bool:
        """Whether both are of one pyramid and cover the same glass, as far as they say."""
        if self.pyramid and other.pyramid and self.pyramid != other.pyramid:
            return False
        if self.pixel_mm is None or other.pixel_mm is None:
            return True
        extents = [[n * mm for n, mm in zip(i.size_xy, i.pixel_mm or (), strict=True)] for i in (self, other)]
        slack = _SAME_PLACE * max(*extents[0], *extents[1]) + max(*self.pixel_mm, *other.pixel_mm)
        corners = [self.corner_mm or other.corner_mm or (0, 0), other.corner_mm or self.corner_mm or (0, 0)]
        return all(abs(a - b) <= slack for pair in (extents, corners) for a, b in zip(*pair, strict=True))


def slide_images(folder: Path) -> list[SlideImage]:
    """The images of slides in a folder, by the names of their files; labels and pictures of the glass left out.

    Damaged files are passed over: OpenSlide says so of those that it needs.

    Raises:
        ImportError: pydicom is not installed.
    """
    found = ((path, header(path)) for path in sorted(folder.iterdir()))
    return [image for path, said in found if said is not None and (image := _image(path, said)) is not None]


def header(path: Path) -> Any:
    """What a DICOM file says before it comes to its tiles, a pydicom `Dataset`; None for every other file.

    Raises:
        ImportError: pydicom is not installed.
    """
    import pydicom

    if not path.is_file() or not pydicom.misc.is_dicom(path):
        return None
    try:
        with path.open("rb") as file:
            return pydicom.filereader.read_partial(file, lambda tag, vr, length: tag > _SHARED_GROUPS)
    except Exception:  # pydicom raises whatever damaged files make it raise
        return None


def series_in(said: Any) -> str:
    """UID of the series that a header names; "" where it names none, as that of a DICOMDIR, or where there is none."""
    return str(said.get("SeriesInstanceUID") or "") if said is not None else ""


def dicom_file(folder: Path) -> Path:
    """The file of a folder's one slide that holds its widest image, or a part of it; whatever opens it finds the
    slide's other files beside it.

    Raises:
        ImageFileError: The folder holds no slide's DICOM files or several slides', or pydicom is not installed.
    """
    try:
        images = slide_images(folder)
    except ImportError as error:
        raise ImageFileError(
            f"{folder}: a folder, and pydicom is not installed ({error}), which tells what is in it; pip install "
            "'coseg-bundle[dicom]', or give one of the slide's DICOM files."
        ) from error
    slides: dict[str, SlideImage] = {}
    for image in images:
        widest = slides.setdefault(image.series, image)
        if image.size_xy > widest.size_xy:
            slides[image.series] = image
    if len(slides) == 1:
        return next(iter(slides.values())).path
    if slides:
        some = ", ".join(image.path.name for image in list(slides.values())[:5])
        raise ImageFileError(
            f"{folder}: expected the DICOM files of one slide, got {len(slides)} slides (series); give a file of each "
            f"that is meant: {some}."
        )
    raise ImageFileError(
        f"{folder}: a folder without a slide; expected DICOM files of one slide, or OME-Zarr; give other slides by "
        "their files."
    )


def other_areas(path: Path, size_xy: tuple[int, int]) -> list[SlideImage]:
    """Images of a slide's series that are no smaller copies of its widest one, such as those of another area.

    Args:
        path: A DICOM file of the slide.
        size_xy: Width and height of the widest image, px.

    Raises:
        ImageFileError: The file itself holds one of them: OpenSlide would read the widest instead.
    """
    try:
        said = header(path)
        images = slide_images(path.parent) if said is not None else []
    except ImportError:
        return []
    images = [image for image in images if image.series == series_in(said)]
    widest = next((image for image in images if image.size_xy == size_xy), None)
    others = [image for image in images if widest is not None and not image.shows_the_same(widest)]
    if widest is not None and path in (image.path for image in others):
        raise ImageFileError(
            f"{path}: its series holds another area too, which is wider ({widest.path.name}) and would be read; give "
            "that file, or move this one and its smaller copies to a folder of their own."
        )
    return others


def _image(path: Path, said: Any) -> SlideImage | None:
    """What a header says of a slide's image; None of every other one, and of a damaged one."""
    try:
        if said.get("SOPClassUID") != WHOLE_SLIDE or "VOLUME" not in (said.get("ImageType") or ()):
            return None
        shared = (said.get("SharedFunctionalGroupsSequence") or [{}])[0]
        spacing = (shared.get("PixelMeasuresSequence") or [{}])[0].get("PixelSpacing")  # from row to row comes first
        origin = (said.get("TotalPixelMatrixOriginSequence") or [{}])[0]
        corner = [origin.get(f"{axis}OffsetInSlideCoordinateSystem") for axis in "XY"]
        return SlideImage(
            path,
            series_in(said),
            str(said.get("ConcatenationUID") or said.get("SOPInstanceUID")),
            str(said.get("PyramidUID") or ""),
            (int(said.get("TotalPixelMatrixColumns") or 0), int(said.get("TotalPixelMatrixRows") or 0)),
            (float(spacing[1]), float(spacing[0])) if spacing else None,
            None if None in corner else (float(corner[0]), float(corner[1])),
        )
    except Exception:  # values are decoded when they are asked for
        return None

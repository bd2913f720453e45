"""Finished results as DICOM: nuclei as Microscopy Bulk Simple Annotations, tissue as a Segmentation.

Both refer to an image. That is the slide where it is DICOM itself. Of any other slide DICOM knows nothing: its study,
series, image and frame of reference get identities that are derived from its path, the same ones at every conversion.
A DICOM slide that was moved is asked for, never made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import __version__
from coseg_bundle.atomic import clear, whole_file
from coseg_bundle.classes import ClassMap
from coseg_bundle.writers.converted import DICOM_MODEL, NUCLEI_DICOM, TISSUE_DICOM, check_converted
from coseg_bundle.wsi.read.dicom_folder import WHOLE_SLIDE, SlideImage, dicom_file, header, series_in, slide_images
from coseg_bundle.wsi.read.ome_zarr_backend import is_zarr
from coseg_bundle.wsi.results.reading import LARGEST_TISSUE_PX, FinishedSlide

_NAMESPACE = UUID("c1b5f7a4-6a0f-5c39-9f0e-5f0a3ad8a7d6")
_TILE = 512
_SCHEME = "99COSEG"
"""Coding scheme of what no public one has a code for."""

_UTF_8 = "ISO_IR 192"
_DICOM_SUFFIXES = ("", ".dcm", ".dic", ".dicom", ".ima")
"""How DICOM files are called, beside those that end in numbers because they bear their UID."""

_SAME_SPACING = 0.02
"""Share by which an image's PixelSpacing may differ from the results' resolution: a scanner's rounding."""

_MAY_BE_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""What a DICOM image must have but need not fill; some that were stripped of their patient lack it."""

_MEASUREMENTS = {
    "area_um2": (("42798000", "SCT", "Area"), ("um2", "UCUM", "square micrometer")),
    "nuclei_prob": (("nuclei_prob", _SCHEME, "Nucleus probability"), ("1", "UCUM", "no units")),
    "type_prob": (("type_prob", _SCHEME, "Class probability"), ("1", "UCUM", "no units")),
    "disagreement": (("disagreement", _SCHEME, "Disagreement"), ("1", "UCUM", "no units")),
    "tissue_border_um": (("tissue_border_um", _SCHEME, "Distance to tissue border"), ("um", "UCUM", "micrometer")),
}
"""Columns of `nuclei.parquet` that go with the nuclei: code and unit."""


@dataclass(frozen=True)
class DicomFiles:
    """What was written.

    Attributes:
        paths: The files.
        image: The DICOM file of the slide that they refer to, or None for made-up identities.
        notes: What is to be said of that.
    """

    paths: list[Path]
    image: Path | None
    notes: tuple[str, ...] = ()


def write_dicom(finished: FinishedSlide, image: Path | None = None) -> DicomFiles:
    """Writes `nuclei.dcm` (where there are nuclei) and `tissue.dcm` beside the other results; older ones are replaced.

    A DICOM file holds all its nuclei in one element: memory grows with their number, about 1 GB per million.

    Args:
        finished: The results.
        image: A DICOM file of the slide to refer to; the slide itself when not given.

    Raises:
        ValueError: highdicom is not installed, `image` is no DICOM image of this slide, `image` is not given and
            the slide was DICOM and is no longer there, or another program's file has the name of one
            (ResultsFolderError).
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ValueError(f"highdicom is not installed ({error}); pip install 'coseg-bundle[dicom]'.") from error
    check_converted(finished.folder, NUCLEI_DICOM, TISSUE_DICOM)
    source = source_image(finished, image)
    clear(finished.folder)
    written = []
    for name, content in (
        (NUCLEI_DICOM, _annotations(finished, source)),
        (TISSUE_DICOM, _segmentation(finished, source)),
    ):
        if content is not None:
            with whole_file(finished.folder / name) as partial:
                content.save_as(partial)
            written.append(finished.folder / name)
    found = getattr(source, "filename", None)  # a stand-in was read from no file
    if not found:
        return DicomFiles(written, None)
    return DicomFiles(written, Path(found), () if image is None else _another_image(Path(found), finished))


def source_image(finished: FinishedSlide, image: Path | None = None) -> Any:
    """The image that the results refer to: the largest level of a DICOM slide, or a stand-in for any other slide.

    Args:
        finished: The results.
        image: Any file of the DICOM slide, or their folder; the slide itself when not given.

    Raises:
        ValueError: `image` is no DICOM image of this slide, or several of its series may be; or it is not given and a
            DICOM slide is no longer there; or its pixels have another size than those of the results.
    """
    import pydicom

    path = image or finished.slide
    if image is None and not path.exists() and _is_called_dicom(path):
        raise ValueError(f"{path}: the DICOM slide is no longer there; give any of its files with --slide.")
    of_dicom_files = path.is_dir() and not is_zarr(path)
    if not of_dicom_files and not (path.is_file() and pydicom.misc.is_dicom(path)):
        if image is not None:
            raise ValueError(f"{image}: no DICOM file; give one of the slide's, or leave --slide away.")
        return _stand_in(finished)
    found = pydicom.dcmread(_level_of(path, finished).path, stop_before_pixels=True)
    _check_spacing(found, finished.summary["mpp"])
    for name in _MAY_BE_EMPTY:
        found.setdefault(name, "")
    return found


def _another_image(path: Path, finished: FinishedSlide) -> tuple[str, ...]:
    """What is to be said where the slide that was segmented is there, is DICOM too, and is another image."""
    try:
        own = _level_of(finished.slide, finished)
    except (ValueError, OSError):  # it is gone, or no DICOM: that is why another file is given
        return ()
    if _level_of(path, finished).identity == own.identity:
        return ()
    return (
        f"{path} is another image than the one that was segmented, {own.path}, by their UIDs: right for a copy of that "
        "slide (without its patient, say), wrong for any other slide of its size",
    )


def _is_called_dicom(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in _DICOM_SUFFIXES or suffix[1:].isdecimal()


def _level_of(path: Path, finished: FinishedSlide) -> SlideImage:
    """The image of the results' size in the series of a DICOM file, or of a folder of them; the file's own where it
    holds one of that size."""
    size = finished.summary["width_px"], finished.summary["height_px"]
    file = dicom_file(path) if path.is_dir() else path
    series = series_in(header(file))
    levels = [i for i in slide_images(file.parent) if i.series == series != "" and i.size_xy == size]
    if not levels:
        raise ValueError(
            f"{path}: no level of {size[0]} x {size[1]} px in its series; it is not the slide of these results."
        )
    if len({image.identity for image in levels}) > 1 and path not in (image.path for image in levels):
        names = ", ".join(image.path.name for image in levels)
        raise ValueError(
            f"{path}: expected one image of {size[0]} x {size[1]} px in its series, got {names}; give the one that was "
            "segmented with --slide."
        )
    return next((image for image in levels if image.path == path), levels[0])


def _check_spacing(image: Any, mpp: float) -> None:
    """Refuses an image whose pixels would contradict the areas and distances of the results."""
    down, right = (side * 1000 for side in _spacing(image))
    if max(abs(down / mpp - 1), abs(right / mpp - 1)) > _SAME_SPACING:
        raise ValueError(
            f"{image.filename}: expected pixels of {mpp:.4g} um, as the results have, got {right:.4g} x {down:.4g} "
            "(PixelSpacing); give the DICOM version of that slide with --slide, make the results anew with the right "
            "--mpp, or mend the image's PixelSpacing."
        )


def _stand_in(finished: FinishedSlide) -> Any:
    """What DICOM wants to know about an image: identities made up, nothing about a patient."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import JPEGBaseline8Bit

    summary, mpp = finished.summary, finished.summary["mpp"]
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.SpecificCharacterSet = _UTF_8
    image.SOPClassUID, image.Modality = WHOLE_SLIDE, "SM"
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(image, name, f"2.25.{uuid5(_NAMESPACE, f'{finished.slide} {name}').int}")
    image.ContainerIdentifier = str(uuid5(_NAMESPACE, f"{finished.slide} ContainerIdentifier"))  # a name may say who
    for name in _MAY_BE_EMPTY:
        setattr(image, name, "")
    specimen = Dataset()
    specimen.SpecimenIdentifier = image.ContainerIdentifier
    specimen.SpecimenUID = f"2.25.{uuid5(_NAMESPACE, f'{finished.slide} SpecimenUID').int}"
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = [], []
    image.SpecimenDescriptionSequence = [specimen]
    image.IssuerOfTheContainerIdentifierSequence, image.ContainerTypeCodeSequence = [], []
    image.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    image.TotalPixelMatrixColumns, image.TotalPixelMatrixRows = summary["width_px"], summary["height_px"]
    image.Rows = image.Columns = _TILE
    image.NumberOfFrames = -(-summary["width_px"] // _TILE) * -(-summary["height_px"] // _TILE)
    image.DimensionOrganizationType = "TILED_FULL"
    image.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]  # as scanners lay a slide
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 0, 0
    image.TotalPixelMatrixOriginSequence = [origin]
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    groups.PixelMeasuresSequence = [measures]
    image.SharedFunctionalGroupsSequence = [groups]
    return image


def _annotations(finished: FinishedSlide, source: Any) -> Any:
    """The nuclei, a group for each class that occurs; None without nuclei."""
    import highdicom as hd

    groups = [_group(number, nuclei, finished) for number, nuclei in enumerate(_by_class(finished).values(), start=1)]
    if not groups:
        return None
    return hd.ann.MicroscopyBulkSimpleAnnotations(
        [source],
        hd.ann.AnnotationCoordinateTypeValues.SCOORD,
        groups,
        content_label="NUCLEI",
        content_description="Nuclei in pixels of the total pixel matrix",
        **_instance(1),
    )


@dataclass
class _Nuclei:
    """Nuclei of one class: outer rings `(P, 2)`, first point not repeated, and what was measured."""

    class_id: int
    rings: list[NDArray[np.float32]] = field(default_factory=list)
    measured: dict[str, list[NDArray[np.float32]]] = field(default_factory=lambda: {name: [] for name in _MEASUREMENTS})

    def add(self, rows: Any) -> None:
        """Takes rows of `nuclei.parquet`."""
        import pyarrow as pa

        self.rings += _rings(rows["geometry"].to_numpy())
        for name, parts in self.measured.items():
            parts.append(rows[name].cast(pa.float32()).to_numpy())  # null becomes NaN


def _by_class(finished: FinishedSlide) -> dict[str, _Nuclei]:
    """The nuclei by the names of their classes, in the order of these."""
    import pyarrow as pa
    import pyarrow.compute as pc

    classes = finished.nuclei_classes
    found = {name: _Nuclei(class_id) for class_id, name in enumerate(classes.names)}
    for rows in finished.nuclei():
        names = rows["type"].cast(pa.string())
        for name in pc.unique(names).to_pylist():
            found[name].add(rows.filter(pc.equal(names, name)))
    return {name: nuclei for name, nuclei in found.items() if nuclei.rings}


def _group(number: int, nuclei: _Nuclei, finished: FinishedSlide) -> Any:
    import highdicom as hd

    classes = finished.nuclei_classes
    measured = {name: np.concatenate(parts) for name, parts in nuclei.measured.items()}
    return hd.ann.AnnotationGroup(
        number,
        hd.UID(),
        classes.name_of(nuclei.class_id)[:64],
        annotated_property_category=_code("91723000", "SCT", "Anatomical Structure"),
        annotated_property_type=_code("84640000", "SCT", "Nucleus"),
        graphic_type=hd.ann.GraphicTypeValues.POLYGON,
        graphic_data=nuclei.rings,
        algorithm_type=hd.ann.AnnotationGroupGenerationTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(finished),
        measurements=[
            hd.ann.Measurements(_code(*code), measured[name], _code(*unit))
            for name, (code, unit) in _MEASUREMENTS.items()
            if np.isfinite(measured[name]).any()
        ],
        display_color=_colour(classes, nuclei.class_id),
    )


def _rings(wkb: NDArray[np.object_]) -> list[NDArray[np.float32]]:
    import shapely

    points, polygon = shapely.get_coordinates(shapely.from_wkb(wkb), return_index=True)
    rings = np.split(points.astype(np.float32), np.flatnonzero(np.diff(polygon)) + 1)
    return [ring[:-1] for ring in rings]


def _segmentation(finished: FinishedSlide, source: Any) -> Any:
    """The tissue, a segment for each class but the first, which is the background; None where it was left out."""
    import highdicom as hd

    if "tissue" in finished.untrained:
        return None
    classes = finished.tissue_classes
    tissue, multiple = _on_the_grid(finished)
    spacing = tuple(side * multiple for side in _spacing(source))
    tissue_code = _code("85756007", "SCT", "Tissue")
    segments = [
        hd.seg.SegmentDescription(
            number,
            name[:64],
            segmented_property_category=tissue_code,
            segmented_property_type=tissue_code,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=_algorithm(finished),
            display_color=_colour(classes, number),
        )
        for number, name in enumerate(classes.names[1:], start=1)
    ]
    segmentation = hd.seg.Segmentation(
        [source],
        tissue[None],  # (1, H, W): one plane
        hd.seg.SegmentationTypeValues.BINARY,
        segments,
        pixel_measures=hd.PixelMeasuresSequence(spacing, slice_thickness=0.001),
        plane_positions=[hd.PlanePositionSequence("SLIDE", _first_centre(source, spacing), (1, 1))],
        tile_pixel_array=True,
        tile_size=(_TILE, _TILE),
        content_label="TISSUE",
        content_description="Tissue classes",
        **_instance(2),
    )
    segmentation.PatientOrientation = ""  # type 2C: there, and not known
    return segmentation


def _on_the_grid(finished: FinishedSlide) -> tuple[NDArray[np.uint8], int]:
    """The tissue map with pixels of a whole number of the slide's, and that number.

    Viewers lay a segmentation over an image by the ratio of their spacings, and some round it (dicom-microscopy-viewer
    0.48 does): at 4.415 pixels, as of 1 um over 0.2265 um, it would end 9 % short. Each pixel takes the class at its
    centre; there are no fewer than before, if the map stays within its limit.
    """
    tissue, mpp = finished.tissue()
    ratio = mpp / finished.summary["mpp"]
    width, height = finished.summary["width_px"], finished.summary["height_px"]
    multiple = max(1, int(ratio + 1e-6))
    while -(-width // multiple) * -(-height // multiple) > max(LARGEST_TISSUE_PX, tissue.size):
        multiple += 1
    rows, columns = (
        np.minimum((np.arange(-(-side // multiple)) + 0.5) * multiple / ratio, last - 1).astype(np.intp)
        for side, last in zip((height, width), tissue.shape, strict=True)
    )
    return tissue[rows[:, None], columns], multiple


def _spacing(source: Any) -> tuple[float, float]:
    """Millimetres from row to row and from column to column of an image.

    Raises:
        ValueError: The image does not say them for all its frames.
    """
    shared = (source.get("SharedFunctionalGroupsSequence") or [{}])[0]
    spacing = (shared.get("PixelMeasuresSequence") or [{}])[0].get("PixelSpacing")
    if not spacing:
        raise ValueError(f"{source.filename}: the image states no PixelSpacing that all its frames share; mend it.")
    return float(spacing[0]), float(spacing[1])


def _first_centre(source: Any, spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Where on the slide, in mm, the first pixel's centre of a map lies whose upper left corner is that of an image.

    DICOM's origins are centres of first pixels (PS3.3, C.8.12.4), so that of a coarser map is further in.

    Args:
        source: The image.
        spacing: Millimetres from row to row and from column to column of the map.
    """
    origin = source.TotalPixelMatrixOriginSequence[0]
    start = [float(origin.get(f"{axis}OffsetInSlideCoordinateSystem") or 0) for axis in "XYZ"]
    cosines = np.array(source.ImageOrientationSlide, dtype=float)
    along_row, along_column = cosines[:3], cosines[3:]
    down, right = (np.array(spacing) - _spacing(source)) / 2
    return tuple((start + right * along_row + down * along_column).tolist())


def _instance(number: int) -> dict[str, Any]:
    """Identity and maker of a new file."""
    import highdicom as hd

    return {
        "series_instance_uid": hd.UID(),
        "series_number": number,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "manufacturer": "The Co-Seg bundle developers",
        "manufacturer_model_name": DICOM_MODEL,
        "software_versions": __version__,
        "device_serial_number": "0",
        "specific_character_set": _UTF_8,  # whatever the slide's is: classes may be called anything
    }


def _algorithm(finished: FinishedSlide) -> Any:
    import highdicom as hd

    weights = str(finished.summary["weights_sha256"] or "unknown weights")
    family = _code("123110", "DCM", "Artificial Intelligence")
    return hd.AlgorithmIdentificationSequence("Co-Seg", family, __version__, parameters={"weights_sha256": weights})


def _colour(classes: ClassMap, class_id: int) -> Any:
    import highdicom as hd

    return hd.color.CIELabColor.from_rgb(*classes.colour_of(class_id))


def _code(value: str, scheme: str, meaning: str) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(value, scheme, meaning)

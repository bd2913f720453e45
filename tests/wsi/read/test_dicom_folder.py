"""A folder of DICOM files as one slide; OpenSlide 4 finds the levels of a series by any of its files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.writers.summary import gaps_in
from coseg_bundle.wsi.read.backend import SlideReadError
from coseg_bundle.wsi.read.dicom_folder import SlideImage, dicom_file, slide_images
from coseg_bundle.wsi.read.reader import open_slide

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

RGB = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)


def write_level(path, rgb, series="1.2.3", mpp=0.5, kind="VOLUME", **elements):
    """One level of a whole-slide image, uncompressed, in tiles of 256 px; `elements` replace its own."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = f"{series}.{rgb.shape[1]}"
    image = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.SeriesInstanceUID, image.StudyInstanceUID, image.Modality = series, "1.2", "SM"
    image.FrameOfReferenceUID, image.PatientID = "1.2.9", ""
    image.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    image.TotalPixelMatrixColumns, image.TotalPixelMatrixRows = rgb.shape[1], rgb.shape[0]
    tile = min(256, rgb.shape[0])
    image.Rows = image.Columns = tile
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.DimensionOrganizationType = "TILED_FULL"
    image.TotalPixelMatrixFocalPlanes, image.NumberOfOpticalPaths = 1, 1
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    groups.PixelMeasuresSequence = [measures]
    image.SharedFunctionalGroupsSequence = [groups]
    path_item = Dataset()
    path_item.OpticalPathIdentifier = "1"
    image.OpticalPathSequence = [path_item]
    tiles = [
        rgb[y : y + tile, x : x + tile].tobytes()
        for y in range(0, rgb.shape[0], tile)
        for x in range(0, rgb.shape[1], tile)
    ]
    image.NumberOfFrames = len(tiles)
    image.PixelData = b"".join(tiles)
    for name, value in elements.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "slide"
    folder.mkdir()
    write_level(folder / "a.dcm", RGB[::2, ::2], mpp=1.0)
    write_level(folder / "b.dcm", RGB)
    write_level(folder / "c.dcm", RGB[:64, :64], kind="LABEL")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_by_hand(folder):
    assert dicom_file(folder) == folder / "b.dcm"
    with open_slide(folder) as slide:
        assert (slide.path, slide.size_xy, slide.mpp) == (folder, (512, 512), 0.5)
        assert np.array_equal(slide.read(10, 20, 40, 30, 0.5), RGB[20:50, 10:50])


def test_several_slides_are_named(folder):
    write_level(folder / "d.dcm", RGB, series="1.2.4")
    with pytest.raises(
        ImageFileError, match=r"got 2 slides \(series\); give a file of each that is meant: b.dcm, d.dcm"
    ):
        open_slide(folder)


def corner(x, y):
    from pydicom.dataset import Dataset

    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = x, y
    return {"TotalPixelMatrixOriginSequence": [origin]}


def test_which_images_show_the_same_by_hand():
    """40 x 20 px of 0.5 mm and their half; another pyramid, another extent, another place; and what says nothing."""
    whole = SlideImage(Path("a"), "1", "1.1", "p", (40, 20), (0.5, 0.5), (3.0, 4.0))
    half = replace(whole, size_xy=(20, 10), pixel_mm=(1.0, 1.0), corner_mm=(3.25, 4.25))
    assert whole.shows_the_same(half)
    assert half.shows_the_same(whole)
    assert replace(half, size_xy=(19, 9)).shows_the_same(whole)  # rounded down
    assert not replace(half, pyramid="q").shows_the_same(whole)
    assert not replace(half, pixel_mm=(0.5, 0.5)).shows_the_same(whole)
    assert not replace(half, pixel_mm=(1.0, 0.5)).shows_the_same(whole)
    assert not replace(half, corner_mm=(3.0, 6.0)).shows_the_same(whole)
    assert replace(half, pyramid="", pixel_mm=None, corner_mm=(9.0, 9.0)).shows_the_same(whole)
    assert replace(half, corner_mm=None).shows_the_same(whole)


@pytest.mark.parametrize(
    ("size", "elements"),
    [
        ((128, 128), {}),  # the pixels of the widest, and not twice as many
        ((128, 128), {"PyramidUID": "1.2.8"}),
        ((128, 64), {"mpp": 2.0}),
        ((128, 128), {"mpp": 2.0, "PyramidUID": "1.2.8"}),
        ((128, 128), {"mpp": 2.0, **(corner(3.0, 9.0) if pydicom else {})}),
    ],
)
def test_another_area_of_the_series_is_no_level(folder, size, elements):
    """It was taken for the level of its size: a blank one made the slide one without tissue."""
    widest = {"PyramidUID": "1.2.7", **corner(3.0, 4.0)}
    write_level(folder / "b.dcm", RGB, **widest)
    write_level(folder / "a.dcm", RGB[::2, ::2], mpp=1.0, **widest)
    write_level(folder / "d.dcm", np.full((size[1], size[0], 3), 243, np.uint8), **elements)
    for path in (folder, folder / "a.dcm", folder / "b.dcm", folder / "c.dcm"):
        with open_slide(path) as slide:
            assert list(slide._downsamples) == [1, 2]
            left_out = f"left out: d.dcm, {size[0]} x {size[1]} px of another area, which may be tissue"
            assert slide.notes == (left_out,)
            assert gaps_in({"read_as": slide.notes}) == [left_out]
            assert np.abs(slide.thumbnail(128).mean() - RGB.mean()) < 2
    with pytest.raises(
        ImageFileError, match=r"d\.dcm: its series holds another area too, which is wider \(b\.dcm\) and"
    ):
        open_slide(folder / "d.dcm")


def test_an_area_is_named_once_with_its_smaller_copies(folder):
    write_level(folder / "d.dcm", RGB[:192, :192])
    write_level(folder / "e.dcm", RGB[:192:2, :192:2], mpp=1.0)
    with open_slide(folder) as slide:
        assert slide.notes == ("left out: d.dcm, 192 x 192 px of another area, which may be tissue",)


def test_a_level_of_another_shape_is_none_without_pydicom(folder, monkeypatch):
    import sys

    write_level(folder / "d.dcm", RGB[:64, :128])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with open_slide(folder / "b.dcm") as slide:
        assert list(slide._downsamples) == [1, 2]


def test_a_header_that_is_damaged_is_passed_over(folder):
    write_level(folder / "d.dcm", RGB[:64, :64])
    content = (folder / "d.dcm").read_bytes()
    (folder / "d.dcm").write_bytes(content.replace(b"0.0005", b"0.00x5"))
    assert [image.path.name for image in slide_images(folder)] == ["a.dcm", "b.dcm"]


def test_a_folder_without_a_slide(tmp_path):
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"broken")
    with pytest.raises(ImageFileError, match="a folder without a slide; expected DICOM files"):
        open_slide(tmp_path)


def test_without_pydicom(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageFileError, match=r"pip install 'coseg-bundle\[dicom\]'"):
        open_slide(folder)


CONCATENATED = {"ConcatenationUID": "1.2.5", "InConcatenationNumber": 1, "InConcatenationTotalNumber": 2}


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"TotalPixelMatrixFocalPlanes": 2}, r"value 2 != 1"),
        (CONCATENATED | {"ConcatenationFrameOffsetNumber": 0}, r"only one SOP instance in concatenation"),
    ],
)
def test_a_folder_that_openslide_refuses_is_one_sentence(tmp_path, elements, words):
    write_level(tmp_path / "a.dcm", RGB, **elements)
    remedy = r"it is a DICOM file of 8-bit RGB, Explicit VR Little Endian, export the slide again, all files of the"
    for path in (tmp_path, tmp_path / "a.dcm"):
        with pytest.raises(ImageFileError, match=rf"not readable as a slide \(.*{words}.*\); {remedy} series"):
            open_slide(path)


def test_what_openslide_reads_of_no_file_is_to_be_exported_as_rgb(tmp_path):
    write_level(tmp_path / "a.dcm", RGB, PhotometricInterpretation="MONOCHROME2", SamplesPerPixel=1)
    with pytest.raises(ImageFileError, match=r"8-bit MONOCHROME2, .*, export it as 8-bit RGB\."):
        open_slide(tmp_path)


def test_a_slide_that_is_gone_is_a_read_error(folder):
    """After an error the file is opened again, which fails where it lies on a drive that is gone."""
    slide = open_slide(folder)
    for file in folder.glob("*.dcm"):
        file.write_bytes(b"")
    with pytest.raises(SlideReadError, match=r"b\.dcm: "):
        slide.read(0, 0, 512, 512, 0.5)
    with pytest.raises(SlideReadError, match=r"b\.dcm: "):
        slide.read(0, 0, 512, 512, 0.5)

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import standin
import tifffile
from full_disk import file_size_limit
from maps import discs

from coseg_bundle.cli import main
from coseg_bundle.writers.corrections import CORRECTIONS, UNCORRECTED
from coseg_bundle.wsi.results.reading import FinishedSlide

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
hd = pytest.importorskip("highdicom", reason="needs the extra dicom")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return standin.two_classes(tmp_path_factory.mktemp("dicom"), discs(700, 700, seed=5)[:650])


@pytest.fixture(scope="module")
def converted(results):
    assert main(["convert", str(results), "--to", "dicom"]) == 0
    return results


def test_nuclei_are_those_of_the_table(converted):
    """Counts, classes, coordinates and measurements, read back by highdicom."""
    table = pq.read_table(converted / "nuclei.parquet")
    columns = {name: table[name].to_numpy() for name in ("geometry", "type", "area_um2", "tissue_border_um")}
    annotations = hd.ann.annread(converted / "nuclei.dcm")
    groups = {group.label: group for group in annotations.get_annotation_groups()}
    assert set(groups) == set(columns["type"]) == {"type 0", "type 1"}
    assert sum(group.number_of_annotations for group in groups.values()) == table.num_rows > 100
    for name, group in groups.items():
        rows = {column: values[columns["type"] == name] for column, values in columns.items()}
        rings = group.get_graphic_data("2D")
        expected = [polygon.exterior.coords[:-1] for polygon in shapely.from_wkb(rows["geometry"])]
        assert len(rings) == len(expected)
        for ring, points in zip(rings, expected, strict=True):
            np.testing.assert_allclose(ring, points, atol=0.01)
        names, values, units = group.get_measurements()
        assert [name.value for name in names][:2] == ["42798000", "nuclei_prob"]
        assert units[0].value == "um2"
        np.testing.assert_allclose(values[:, 0], rows["area_um2"], rtol=1e-6)
        np.testing.assert_allclose(values[:, -1], rows["tissue_border_um"], rtol=1e-6)


def test_coordinates_lie_in_the_image(converted):
    """Areas in pixels of the ring times the pixel's area are the areas that the table states, but for corners."""
    annotations = hd.ann.annread(converted / "nuclei.dcm")
    assert annotations.AnnotationCoordinateType == "2D"
    assert annotations.PixelOriginInterpretation == "VOLUME"
    group = annotations.get_annotation_groups()[0]
    areas = [shapely.Polygon(ring).area * standin.MPP**2 for ring in group.get_graphic_data("2D")]
    np.testing.assert_allclose(areas, group.get_measurements()[1][:, 0], rtol=0.05)


def put_together(found):
    """The whole map, by pydicom alone: frames are put where they say that they lie."""
    height, width = found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns
    whole = np.zeros((height + 512, width + 512), np.uint8)
    frames = found.pixel_array.reshape(-1, found.Rows, found.Columns)
    for frame, groups in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        position = groups.PlanePositionSlideSequence[0]
        row, column = (
            position.RowPositionInTotalImagePixelMatrix - 1,
            position.ColumnPositionInTotalImagePixelMatrix - 1,
        )
        whole[row : row + found.Rows, column : column + found.Columns] = frame
    return whole[:height, :width]


def test_tissue_is_the_map(converted):
    tissue = tifffile.imread(converted / "tissue.ome.tif")
    found = pydicom.dcmread(converted / "tissue.dcm")
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["gland"]
    assert (found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns) == tissue.shape
    spacing = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(side) for side in spacing] == pytest.approx([0.001, 0.001])
    assert (tissue == 1).sum() > 1000
    np.testing.assert_array_equal(put_together(found), tissue == 1)


@pytest.mark.parametrize(
    ("mpp", "multiple", "size", "limit"),
    [
        (0.2265, 4, (772, 717), 2**27),  # 1 um is 4.415 px
        (0.2265, 5, (772, 717), 30_000),  # 193 x 180 px were too many
        (0.499, 2, (350, 326), 2**27),  # 2.004 px
        (0.7, 1, (250, 232), 2**27),
        (1.6, 1, (109, 101), 2**27),  # the map has more pixels than the slide
    ],
)
def test_tissue_has_a_whole_number_of_the_slides_pixels(results, tmp_path, monkeypatch, mpp, multiple, size, limit):
    """By hand for 0.2265 um: pixel 10 has its centre at 42 px of the slide, which lies in pixel 9 of the map (42 / 4.415)."""
    from coseg_bundle.wsi.results import dicom

    monkeypatch.setattr(dicom, "LARGEST_TISSUE_PX", limit)
    width, height = size
    sizes = {"mpp": mpp, "width_px": width, "height_px": height}
    folder = altered(results, tmp_path / "results", lambda summary: summary.update(sizes))
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    found = pydicom.dcmread(folder / "tissue.dcm")
    spacing = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(side) * 1000 for side in spacing] == pytest.approx([multiple * mpp] * 2, rel=1e-9)
    assert (found.TotalPixelMatrixColumns, found.TotalPixelMatrixRows) == (-(-width // multiple), -(-height // multiple))
    tissue = tifffile.imread(folder / "tissue.ome.tif")
    whole = put_together(found)
    for i, j in [(0, 0), (10, 10), (whole.shape[0] - 1, whole.shape[1] - 1), (whole.shape[0] // 2, whole.shape[1] // 2)]:
        y, x = (min(int((k + 0.5) * multiple * mpp), last - 1) for k, last in zip((i, j), tissue.shape, strict=True))
        assert whole[i, j] == (tissue[y, x] == 1)
    assert whole.sum() * (multiple * mpp) ** 2 == pytest.approx((tissue == 1).sum(), rel=0.02)


def test_the_stand_in_has_a_specimen(converted):
    """As the Specimen module wants it, so that `dciodvfy` finds no error in the segmentation."""
    nuclei, tissue = (pydicom.dcmread(converted / name) for name in ("nuclei.dcm", "tissue.dcm"))
    for found in (nuclei, tissue):
        [specimen] = found.SpecimenDescriptionSequence
        assert specimen.SpecimenIdentifier == found.ContainerIdentifier
        assert specimen.SpecimenUID.startswith("2.25.")
        assert found.ContainerTypeCodeSequence == []
    assert tissue.PatientOrientation == ""


def test_made_up_identities_stay(converted):
    """Both files, and those of another conversion, refer to one image and carry nothing about a patient."""
    from coseg_bundle.wsi.results.dicom import source_image

    image = source_image(FinishedSlide.open(converted))
    nuclei, tissue = (pydicom.dcmread(converted / name) for name in ("nuclei.dcm", "tissue.dcm"))
    for found in (nuclei, tissue):
        assert found.StudyInstanceUID == image.StudyInstanceUID
        assert not found.PatientID
        assert not found.PatientName
        assert "slide" not in found.ContainerIdentifier  # the file's name, which may be a patient's
        assert found.ContainerIdentifier == image.ContainerIdentifier
    assert nuclei.ReferencedImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert tissue.FrameOfReferenceUID == image.FrameOfReferenceUID


def dicom_slide(folder, results, columns):
    """A whole-slide image without pixels, and a small level of it."""
    from coseg_bundle.wsi.results.dicom import _stand_in

    folder.mkdir()
    for number, width in enumerate((columns // 2, columns)):
        image = _stand_in(FinishedSlide.open(results))
        image.SeriesInstanceUID, image.SOPInstanceUID = "1.2.3", f"1.2.3.{number}"
        image.PatientID, image.TotalPixelMatrixColumns = "somebody", width
        del image.PatientBirthDate, image.StudyID  # as after careless de-identification
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    (folder / "notes.txt").write_text("no image")
    return folder / "0.dcm"


def test_refers_to_a_dicom_slide(results, tmp_path, capsys):
    """By any of its files: the level that the coordinates count in is found, and named."""
    image = dicom_slide(tmp_path / "slide", results, columns=700)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 0
    assert f"they refer to {image.with_name('1.dcm')}" in capsys.readouterr().out
    found = pydicom.dcmread(results / "nuclei.dcm")
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1"
    assert found.PatientID == "somebody"
    assert main(["convert", str(results), "--to", "dicom"]) == 0
    assert "they refer to made-up identities" in capsys.readouterr().out


def test_refers_to_the_folder_of_a_dicom_slide(results, tmp_path, capsys):
    """Given, and where the folder itself was segmented."""
    folder = dicom_slide(tmp_path / "slide", results, columns=700).parent
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(folder)]) == 0
    assert f"they refer to {folder / '1.dcm'}" in capsys.readouterr().out
    of_folder = altered(results, tmp_path / "results", lambda summary: summary.update(slide=str(folder)))
    assert main(["convert", str(of_folder), "--to", "dicom"]) == 0
    assert f"they refer to {folder / '1.dcm'}" in capsys.readouterr().out


def changed(path, **elements):
    """A DICOM file with other elements."""
    image = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)


def test_another_image_than_the_one_that_was_segmented_is_said(results, tmp_path, capsys):
    """Results went under somebody else's name without a word: scans of a fixed area are of one size."""
    own = dicom_slide(tmp_path / "own", results, columns=700).with_name("1.dcm")
    shutil.copytree(own.parent, tmp_path / "copy")
    other = dicom_slide(tmp_path / "other", results, columns=700).with_name("1.dcm")
    changed(other, SOPInstanceUID="1.2.4.1", SeriesInstanceUID="1.2.4", PatientID="somebody else")
    folder = altered(results, tmp_path / "results", lambda summary: summary.update(slide=str(own.with_name("0.dcm"))))
    for same in (own, own.with_name("0.dcm"), own.parent, tmp_path / "copy"):
        assert main(["convert", str(folder), "--to", "dicom", "--slide", str(same)]) == 0
        assert "another image" not in capsys.readouterr().err
    assert main(["convert", str(folder), "--to", "dicom", "--slide", str(other)]) == 0
    assert f"{other} is another image than the one that was segmented, {own}, by" in capsys.readouterr().err


def test_of_two_images_of_the_size_the_one_that_is_named_counts(results, tmp_path, capsys):
    """As those of two areas, or of two focal planes: the first by its name used to be taken."""
    first = dicom_slide(tmp_path / "slide", results, columns=700).with_name("1.dcm")
    second = first.with_name("2.dcm")
    shutil.copy(first, second)
    changed(second, SOPInstanceUID="1.2.3.2")
    for image in (first, second):
        assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 0
        assert f"they refer to {image}\n" in capsys.readouterr().out
    for path in (first.with_name("0.dcm"), first.parent):
        assert main(["convert", str(results), "--to", "dicom", "--slide", str(path)]) == 1
        words = "expected one image of 700 x 650 px in its series, got 1.dcm, 2.dcm; give the one that was segmented"
        assert f"{path}: {words} with --slide" in capsys.readouterr().err


def test_an_image_in_parts_is_one(results, tmp_path, capsys):
    first = dicom_slide(tmp_path / "slide", results, columns=700).with_name("1.dcm")
    shutil.copy(first, first.with_name("2.dcm"))
    changed(first, ConcatenationUID="1.2.8")
    changed(first.with_name("2.dcm"), ConcatenationUID="1.2.8", SOPInstanceUID="1.2.3.2")
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(first.parent)]) == 0
    assert f"they refer to {first}\n" in capsys.readouterr().out


def test_another_slide_is_refused(results, tmp_path, capsys):
    image = dicom_slide(tmp_path / "slide", results, columns=701)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 1
    assert "no level of 700 x 650 px in its series" in capsys.readouterr().err
    (tmp_path / "x.tif").write_text("x")
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(tmp_path / "x.tif")]) == 1
    assert "no DICOM file" in capsys.readouterr().err


def test_slide_without_nuclei(tmp_path):
    folder = standin.two_classes(tmp_path, np.zeros((300, 300), np.int32))
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    assert not (folder / "nuclei.dcm").exists()
    assert pydicom.dcmread(folder / "tissue.dcm").TotalPixelMatrixRows == 75


def altered(results, folder, change):
    """A copy of results whose summary is another."""
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text())
    change(summary)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize("name", ["a.dcm", "A.DCM", "DICOMSLIDE", "1.2.840.4"])
def test_dicom_slide_that_is_gone_is_asked_for(results, tmp_path, capsys, name):
    """Identities used to be made up for it; now one says where it is."""
    folder = altered(results, tmp_path / "results", lambda summary: summary.update(slide=f"/gone/{name}"))
    (folder / "tissue.dcm").unlink(missing_ok=True)
    assert main(["convert", str(folder), "--to", "dicom"]) == 1
    error = capsys.readouterr().err
    assert f"/gone/{name}: the DICOM slide is no longer there; give any of its files with --slide" in error
    assert error.count("\n") == 1
    assert not (folder / "tissue.dcm").exists()
    image = dicom_slide(tmp_path / "slide", folder, columns=700)
    assert main(["convert", str(folder), "--to", "dicom", "--slide", str(image)]) == 0


@pytest.mark.parametrize("name", ["a.svs", "a.ome.tif"])
def test_other_slides_may_be_gone(results, tmp_path, capsys, name):
    folder = altered(results, tmp_path / "results", lambda summary: summary.update(slide=f"/gone/{name}"))
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    assert "they refer to made-up identities" in capsys.readouterr().out


def test_next_folders_are_converted_after_an_unusable_one(results, tmp_path, capsys):
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    shutil.copytree(results, tmp_path / "broken", dirs_exist_ok=True)
    (tmp_path / "broken" / "summary.json").write_text("{")
    folders = [str(tmp_path / "empty"), str(tmp_path / "broken"), str(results)]
    assert main(["convert", *folders, "--to", "dicom"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{results}: ")
    said = [line.split(":")[1].strip() for line in err.splitlines()]
    assert said == folders  # the last one's is a doubt: its nuclei are small
    assert err.splitlines()[2].endswith("is the resolution right?")


@pytest.mark.parametrize("absent", ["SeriesInstanceUID", "ImageType", "TotalPixelMatrixColumns"])
def test_image_without_what_names_it_is_refused(results, tmp_path, capsys, absent):
    """As a DICOMDIR, which has no series, and images of other makers; it used to be a traceback."""
    path = dicom_slide(tmp_path / "slide", results, columns=700)
    for part in sorted(path.parent.glob("*.dcm")):
        image = pydicom.dcmread(part)
        del image[absent]
        image.save_as(part)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(path)]) == 1
    assert "no level of 700 x 650 px in its series" in capsys.readouterr().err


def scanned(folder, results, row_mm, column_mm):
    """A slide whose scanner says its spacing, and where it lies: (10, 20) mm."""
    path = dicom_slide(folder, results, columns=700).with_name("1.dcm")
    image = pydicom.dcmread(path)
    image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [row_mm, column_mm]
    origin = image.TotalPixelMatrixOriginSequence[0]
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 10, 20
    image.save_as(path)
    return path


def test_tissue_lies_where_the_slide_says(results, tmp_path):
    """The map has a pixel for 4 x 4 of the slide's, which are 0.000252 mm high and 0.00025 mm wide: 0.001008 and 0.001 mm.

    Rows run along -y and columns along -x. The slide's corner is half a pixel before its first centre, (10, 20), and
    the map's first centre half a pixel of the map behind it: 0.000378 mm further down, 0.000375 mm further right.
    """
    image = scanned(tmp_path / "slide", results, row_mm=0.000252, column_mm=0.00025)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 0
    found = pydicom.dcmread(results / "tissue.dcm")
    spacing = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(side) for side in spacing] == pytest.approx([0.001008, 0.001])
    first = found.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    assert (first.RowPositionInTotalImagePixelMatrix, first.ColumnPositionInTotalImagePixelMatrix) == (1, 1)
    for place in (first, found.TotalPixelMatrixOriginSequence[0]):
        assert float(place.XOffsetInSlideCoordinateSystem) == pytest.approx(10 - 0.000378, abs=1e-9)
        assert float(place.YOffsetInSlideCoordinateSystem) == pytest.approx(20 - 0.000375, abs=1e-9)


@pytest.mark.parametrize(("row_mm", "column_mm"), [(0.000125, 0.000125), (0.00025, 0.000256)])
def test_image_of_another_spacing_is_refused(results, tmp_path, capsys, row_mm, column_mm):
    """The file would state areas of 0.25 um per pixel beside polygons that viewers measure at 0.125."""
    image = scanned(tmp_path / "slide", results, row_mm, column_mm)
    before = {file.name: file.read_bytes() for file in results.glob("*.dcm")}
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 1
    said = f"expected pixels of 0.25 um, as the results have, got {column_mm * 1000:.4g} x {row_mm * 1000:.4g}"
    refused = capsys.readouterr().err
    assert said in refused
    assert "or mend the image's PixelSpacing." in refused
    assert {file.name: file.read_bytes() for file in results.glob("*.dcm")} == before


def test_image_without_spacing_is_refused(results, tmp_path, capsys):
    path = scanned(tmp_path / "slide", results, row_mm=0.00025, column_mm=0.00025)
    image = pydicom.dcmread(path)
    del image.SharedFunctionalGroupsSequence
    image.save_as(path)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(path)]) == 1
    assert "1.dcm: the image states no PixelSpacing" in capsys.readouterr().err


def test_names_in_any_script_survive(results, tmp_path):
    """Those of classes, and the patient's of a slide in another character set."""

    def rename(summary):
        summary["files"] = []  # the table is written anew
        summary["nuclei_by_tissue"] = dict(
            zip(["background", "腺体"], summary["nuclei_by_tissue"].values(), strict=True)
        )

    folder = altered(results, tmp_path / "results", rename)
    rows = pq.read_table(folder / "nuclei.parquet")
    names = ["腺体" if name == "gland" else name for name in rows["tissue"].to_pylist()]
    rows = rows.set_column(rows.column_names.index("tissue"), "tissue", pa.array(names))
    pq.write_table(rows, folder / "nuclei.parquet")
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    assert pydicom.dcmread(folder / "tissue.dcm").SegmentSequence[0].SegmentLabel == "腺体"
    path = scanned(tmp_path / "slide", results, row_mm=0.00025, column_mm=0.00025)
    image = pydicom.dcmread(path)
    image.SpecificCharacterSet, image.PatientName = "ISO_IR 100", "Müller^"
    image.save_as(path)
    assert main(["convert", str(folder), "--to", "dicom", "--slide", str(path)]) == 0
    for name in ("nuclei.dcm", "tissue.dcm"):
        assert pydicom.dcmread(folder / name).PatientName == "Müller^"
    assert pydicom.dcmread(folder / "tissue.dcm").SegmentSequence[0].SegmentLabel == "腺体"


def test_tissue_that_was_left_out(tmp_path):
    folder = standin.two_classes(tmp_path, discs(300, 300, seed=5)[:300], ("tissue",))
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    assert (folder / "nuclei.dcm").is_file()
    assert not (folder / "tissue.dcm").exists()


@pytest.mark.parametrize("name", ["nuclei.dcm", "tissue.dcm"])
def test_files_of_others_are_not_replaced(converted, tmp_path, capsys, name):
    folder = altered(converted, tmp_path / "results", lambda summary: None)
    assert main(["convert", str(folder), "--to", "dicom"]) == 0  # ours are
    image = pydicom.dcmread(folder / "tissue.dcm")
    image.ManufacturerModelName = "another program"
    image.save_as(folder / name)
    before = {file.name: file.read_bytes() for file in folder.glob("*.dcm")}
    assert main(["convert", str(folder), "--to", "dicom"]) == 1
    assert f"{name} is not as coseg convert wrote it" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in folder.glob("*.dcm")} == before


def test_saved_corrections_are_said_to_be_left_out(results, tmp_path, capsys):
    folder = altered(results, tmp_path / "results", lambda summary: None)
    (folder / CORRECTIONS).parent.mkdir()
    (folder / CORRECTIONS).touch()
    assert main(["convert", str(folder), "--to", "dicom"]) == 0
    err = capsys.readouterr().err
    assert err.endswith(f"coseg: {folder}: {UNCORRECTED}\n")
    assert err.count(UNCORRECTED) == 1


def test_a_full_disk_is_said_with_the_file(results, tmp_path, capsys):
    """pydicom's traceback stood in the message."""
    folder = shutil.copytree(results, tmp_path / "results")
    for path in folder.glob("*.dcm"):
        path.unlink()
    with file_size_limit(5000):
        assert main(["convert", str(folder), "--to", "dicom"]) == 1
    name = folder / "nuclei.dcm"
    assert capsys.readouterr().err == f"coseg: {name}: the results cannot be written there (File too large).\n"
    assert not list(folder.glob("*.dcm"))

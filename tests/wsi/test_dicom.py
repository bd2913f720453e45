import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import standin
import tifffile
from maps import discs

from coseg_bundle.cli import main
from coseg_bundle.wsi.finished import FinishedSlide

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


def test_tissue_is_the_map(converted):
    """Read by pydicom alone: frames are put where they say that they lie."""
    tissue = tifffile.imread(converted / "tissue.ome.tif")
    found = pydicom.dcmread(converted / "tissue.dcm")
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["gland"]
    assert (found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns) == tissue.shape
    spacing = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(side) for side in spacing] == pytest.approx([0.001, 0.001])
    whole = np.zeros((tissue.shape[0] + 512, tissue.shape[1] + 512), np.uint8)
    frames = found.pixel_array.reshape(-1, found.Rows, found.Columns)
    for frame, groups in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        position = groups.PlanePositionSlideSequence[0]
        row, column = (
            position.RowPositionInTotalImagePixelMatrix - 1,
            position.ColumnPositionInTotalImagePixelMatrix - 1,
        )
        whole[row : row + found.Rows, column : column + found.Columns] = frame
    assert (tissue == 1).sum() > 1000
    np.testing.assert_array_equal(whole[: tissue.shape[0], : tissue.shape[1]], tissue == 1)


def test_made_up_identities_stay(converted):
    """Both files, and those of another conversion, refer to one image and carry nothing about a patient."""
    from coseg_bundle.wsi.dicom import source_image

    image = source_image(FinishedSlide.open(converted))
    nuclei, tissue = (pydicom.dcmread(converted / name) for name in ("nuclei.dcm", "tissue.dcm"))
    for found in (nuclei, tissue):
        assert found.StudyInstanceUID == image.StudyInstanceUID
        assert not found.PatientID
        assert not found.PatientName
    assert nuclei.ReferencedImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert tissue.FrameOfReferenceUID == image.FrameOfReferenceUID


def dicom_slide(folder, results, columns):
    """A whole-slide image without pixels, and a small level of it."""
    from coseg_bundle.wsi.dicom import _stand_in

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


def test_refers_to_a_dicom_slide(results, tmp_path):
    """By any of its files: the level that the coordinates count in is found."""
    image = dicom_slide(tmp_path / "slide", results, columns=700)
    assert main(["convert", str(results), "--to", "dicom", "--slide", str(image)]) == 0
    found = pydicom.dcmread(results / "nuclei.dcm")
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1"
    assert found.PatientID == "somebody"
    assert main(["convert", str(results), "--to", "dicom"]) == 0


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

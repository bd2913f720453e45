import shutil
import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import standin
import tifffile
from maps import discs

from coseg_bundle.cli import main
from coseg_bundle.wsi.run.workers import InlineWorkers
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.wsi.results.reading import FinishedSlide


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    slide = standin.write_slide(folder / "slide.tif", standin.paint(discs(4200, 4200, seed=5)[:600]))
    assert standin.run(slide, folder / "results", InlineWorkers(standin.predictor)).error is None
    return folder / "results"


def copied(results, tmp_path):
    """A copy as former versions wrote it: without the sizes of files, so that what is in them is looked at."""
    folder = shutil.copytree(results, tmp_path / "results")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"files": list(summary["files"])}))
    return folder


def test_reads_what_was_written(results):
    finished = FinishedSlide.open(results)
    assert finished.slide == results.parent / "slide.tif"
    assert finished.nuclei_classes.names == ("background", "nucleus")
    assert finished.tissue_classes.names == ("background", "gland")
    assert sum(rows.num_rows for rows in finished.nuclei()) == finished.summary["nuclei"] > 500


def test_tissue_of_bounded_size(results):
    """The finest level that fits, each half of the one before; the coarsest where none does."""
    finished, whole = FinishedSlide.open(results), tifffile.imread(results / "tissue.ome.tif")
    tissue, mpp = finished.tissue()
    np.testing.assert_array_equal(tissue, whole)
    assert mpp == 1.0
    for largest in (whole.size - 1, 10):
        tissue, mpp = finished.tissue(largest)
        np.testing.assert_array_equal(tissue, whole[::2, ::2])
        assert mpp == 2.0


def test_unfinished_results_are_refused(tmp_path, capsys):
    assert main(["convert", str(tmp_path), "--to", "dicom"]) == 1
    assert "no finished slide (summary.json is missing)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("counts", "said"),
    [("nuclei_by_class", "type nucleus, which summary.json"), ("nuclei_by_tissue", "tissue .+, which summary.json")],
)
def test_classes_that_the_summary_does_not_name(results, tmp_path, counts, said):
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary[counts] = {"other": sum(summary[counts].values())}
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match=rf"nuclei.parquet is broken \({said} does not name\)"):
        list(FinishedSlide.open(folder).nuclei())


def test_a_tissue_map_of_another_size_than_the_summary_says(results, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary["mpp"] *= 10
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match=r"tissue.ome.tif is broken \(\(150, 1050\) pixels, and by summary.json"):
        FinishedSlide.open(folder).tissue()


@pytest.mark.parametrize(("package", "extra"), [("highdicom", "dicom"), ("spatialdata", "spatialdata")])
def test_a_missing_extra_is_one_sentence(results, monkeypatch, capsys, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["convert", str(results), "--to", extra]) == 1
    error = capsys.readouterr().err
    assert f"pip install 'coseg-bundle[{extra}]'" in error
    assert error.count("\n") == 1


def test_one_slide_for_one_folder(results, capsys):
    assert main(["convert", str(results), str(results), "--to", "dicom", "--slide", "x.dcm"]) == 1
    assert main(["convert", str(results), "--to", "spatialdata", "--slide", "x.dcm"]) == 1
    assert "--slide is for one folder" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}", "3", "{", "null"])
def test_broken_summaries_are_one_sentence(results, tmp_path, capsys, text):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (folder / "summary.json").write_text(text)
    assert main(["convert", str(folder), "--to", "dicom"]) == 1
    error = capsys.readouterr().err
    assert "summary.json is broken" in error
    assert error.count("\n") == 1


def test_every_unusable_entry_is_named(results, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text()) | {"mpp": "x", "nuclei": True, "nuclei_by_class": []}
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match=r"no usable mpp, nuclei, nuclei_by_class\); make the results anew"):
        FinishedSlide.open(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("origin_x_px", value) for value in (None, [], 0.5)),
        *(("thumbnail", value) for value in (None, [], 0.5, {"glass": 2}, {"glass": "x"}, {"glass": -0.1})),
    ],
)
def test_entries_of_another_kind(results, tmp_path, name, value):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text()) | {name: value}
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match=rf"no usable {name}"):
        FinishedSlide.open(folder)


@pytest.mark.parametrize(("content", "words"), [(b"", "nuclei.parquet is broken"), (None, "summary.json says 3;")])
def test_tables_that_do_not_fit(results, tmp_path, content, words):
    folder = copied(results, tmp_path)
    if content is not None:
        (folder / "nuclei.parquet").write_bytes(content)
    else:
        summary = json.loads((folder / "summary.json").read_text()) | {"nuclei": 3}
        (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match=words):
        FinishedSlide.open(folder)


@pytest.mark.parametrize("column", ["geometry", "type_prob"])
def test_a_table_without_a_column(results, tmp_path, column):
    folder = copied(results, tmp_path)
    pq.write_table(pq.read_table(folder / "nuclei.parquet").drop_columns([column]), folder / "nuclei.parquet")
    with pytest.raises(ResultsFolderError, match=rf"nuclei.parquet is broken \(no column {column}\)"):
        FinishedSlide.open(folder)


def test_damaged_tables_and_maps_are_one_sentence(results, tmp_path, capsys):
    """Found by `make fuzz`: the codecs' own errors came through."""
    for name, words in (("tissue.ome.tif", "broken"), ("nuclei.parquet", "broken")):
        folder = tmp_path / name
        shutil.copytree(results, folder)
        content = bytearray((folder / name).read_bytes())
        middle = len(content) // 3
        content[middle : middle + 60] = bytes(60)
        (folder / name).write_bytes(content)
        assert main(["convert", str(folder), "--to", "dicom"]) == 1
        error = capsys.readouterr().err
        assert f"{name} is {words} (" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("tissue", [np.full((9, 9), 7, np.uint8), np.zeros((9, 9), np.uint16), np.zeros((2, 9, 9), np.uint8)])
def test_another_map_is_none_of_tissue(results, tmp_path, tissue):
    folder = copied(results, tmp_path)
    tifffile.imwrite(folder / "tissue.ome.tif", tissue, metadata=None)
    with pytest.raises(ResultsFolderError, match=r"tissue.ome.tif is broken \(values to .+; make the results anew"):
        FinishedSlide.open(folder).tissue()


def test_a_map_that_asks_for_too_much_memory_is_broken(results, monkeypatch):
    """Found by `make fuzz`: few pixels, in a tile that is said to be huge."""

    def asarray(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tifffile.TiffFile, "asarray", asarray)
    with pytest.raises(ResultsFolderError, match="tissue.ome.tif is broken .it asks for more memory than there is.; make"):
        FinishedSlide.open(results).tissue()


def test_results_of_an_image_are_no_slide(tmp_path):
    (tmp_path / "summary.json").write_text('{"image": "a.png"}')
    with pytest.raises(ResultsFolderError, match="give a folder that coseg slide wrote"):
        FinishedSlide.open(tmp_path)

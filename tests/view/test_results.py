from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.view.desk import Desk
from coseg_bundle.view.results import open_result, open_results
from coseg_bundle.writers.folders import ResultsFolderError


def change(folder, **values):
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, **values}))


def test_a_slide(result):
    assert (result.name, result.kind, result.size_xy, result.mpp) == ("slide.tif", "slide", (600, 400), 0.5)
    assert len(result.nuclei) == 24
    assert result.tissue_map[1] == 4
    [gland] = result.tissue_regions
    assert gland == {"name": "gland", "area_um2": 30000.0, "area_px": None, "box": [0, 0, 300, 400]}
    assert result.reader.size_xy == (600, 400)
    assert result.notes == []


def test_where_a_slide_holds_tissue(tmp_path, result):
    import tifffile

    rgb = np.full((400, 600, 3), 240, np.uint8)
    rgb[100:300, 200:400] = np.random.default_rng(0).integers(90, 180, (200, 200, 1)) + np.array([40, 0, 30])
    tifffile.imwrite(tmp_path / "slide.tif", rgb, photometric="rgb")
    assert result.tissue_area.bounds == pytest.approx((200, 100, 400, 300), abs=8)
    result.kind = "predict"
    del result.tissue_area
    assert result.tissue_area is None


def test_an_image(image_result):
    result = open_result(image_result)
    assert (result.kind, result.size_xy, result.mpp) == ("predict", (120, 100), None)
    assert result.nuclei.points_xy.tolist() == [[20, 20], [70, 20], [20, 70], [70, 70]]
    assert result.nuclei.columns["tissue"].values.tolist() == [1, 1, 0, 0]
    assert result.tissue_map[0].shape == (100, 120)
    assert result.tissue_regions == [{"name": "gland", "area_um2": None, "area_px": 6000, "box": [0, 0, 120, 50]}]
    assert result.reader.size_xy == (120, 100)
    _, points = result.nuclei.outlines(np.array([3]))
    assert (points.min(0).tolist(), points.max(0).tolist()) == ([60, 60], [80, 80])


@pytest.fixture
def image_result(tmp_path):
    """What `coseg predict` writes about an image of four nuclei, without a network."""
    import tifffile

    from coseg_bundle.classes import ClassMap
    from coseg_bundle.data.images import read_image
    from coseg_bundle.postprocessing.instances import instance_table
    from coseg_bundle.postprocessing.prediction import Prediction
    from coseg_bundle.writers.results import write_results

    instances, gland = np.zeros((100, 120), np.int32), np.zeros((100, 120), np.uint8)
    for number, (y, x) in enumerate([(10, 10), (10, 60), (60, 10), (60, 60)], start=1):
        instances[y : y + 20, x : x + 20] = number
    gland[:50] = 1
    tifffile.imwrite(tmp_path / "image.tif", np.full((100, 120, 3), 200, np.uint8), photometric="rgb")
    prediction = Prediction(instances, instance_table(instances, tissue_map=gland), gland)
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    folder = tmp_path / "out" / "image.tif"
    write_results(folder, read_image(tmp_path / "image.tif"), prediction, *names)
    return folder


def test_folders_of_folders(folder, tmp_path):
    shutil.copytree(folder, folder.parent / "b")
    results, sentences = open_results([folder.parent, folder])
    assert [result.name for result in results] == ["b", "slide.tif"]
    assert sentences == []


def test_a_bad_folder_does_not_stop_the_others(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    results, [first, second] = open_results([tmp_path / "empty", tmp_path / "nowhere", folder])
    assert [result.name for result in results] == ["slide.tif"]
    assert (
        "no finished results (summary.json is missing); give a folder that coseg slide or coseg predict wrote" in first
    )
    assert "nowhere: no finished results" in second


def test_a_broken_summary(folder):
    (folder / "summary.json").write_text("{")
    with pytest.raises(ResultsFolderError, match=r"is broken.*; make the results anew with --overwrite"):
        open_result(folder)


def test_an_image_whose_files_are_missing(image_result):
    (image_result / "tissue.tif").unlink()
    with pytest.raises(ResultsFolderError, match=r"tissue\.tif is missing; predict anew"):
        open_result(image_result)


def test_files_of_other_results(image_result):
    with (image_result / "tissue.geojson").open("a") as file:
        file.write("\n")
    with pytest.raises(ResultsFolderError, match=r"tissue\.geojson was changed, or is of other results"):
        open_result(image_result)


def test_an_image_whose_summary_lacks_entries(image_result):
    change(image_result, width_px=None)
    with pytest.raises(ResultsFolderError, match=r"summary\.json is broken \(no usable .*; predict anew"):
        open_result(image_result)


def test_the_image_was_moved(folder, tmp_path):
    (tmp_path / "slide.tif").rename(tmp_path / "moved.tif")
    result = open_result(folder)
    assert result.reader is None
    assert "is not there; give the image with --image FILE" in result.notes[0]
    [result], _ = open_results([folder], tmp_path / "moved.tif")
    assert result.reader.size_xy == (600, 400)


def test_another_image_is_not_shown(folder, tmp_path):
    change(folder, made_from={"kind": "slide", "file": str(tmp_path / "slide.tif"), "content": "other"})
    result = open_result(folder)
    assert result.reader is None
    assert "another image than the one that was segmented" in result.notes[0]
    change(folder, made_from={"kind": "slide", "content": fingerprint(tmp_path / "slide.tif")})
    assert open_result(folder).reader is not None


def test_an_image_of_another_size_is_not_shown(folder):
    change(folder, width_px=601)
    result = open_result(folder)
    assert result.reader is None
    assert "no longer as large" in result.notes[0]


def test_one_image_for_two_folders(folder, tmp_path):
    shutil.copytree(folder, folder.parent / "b")
    with pytest.raises(ResultsFolderError, match="--image is for one folder of results, got 2"):
        open_results([folder.parent], tmp_path / "slide.tif")


def test_a_network_that_was_taught_one_task_only(image_result):
    change(image_result, untrained=["tissue"], files=[])
    for name in ("tissue.tif", "tissue.geojson"):
        (image_result / name).unlink()
    result = open_result(image_result)
    assert not result.tissue_map[0].any()
    assert result.tissue_regions == []
    assert len(result.nuclei) == 4
    change(image_result, untrained=["nuclei"])
    assert len(open_result_without_nuclei(image_result).nuclei) == 0


def open_result_without_nuclei(folder):
    for name in ("nuclei.csv", "nuclei.geojson"):
        (folder / name).unlink()
    for name in ("tissue.tif", "tissue.geojson"):
        (folder / name).touch()
    return open_result(folder)


def test_measures_that_do_not_fit_are_named(folder):
    (folder / "measures").mkdir()
    (folder / "measures" / "nuclei.parquet").write_bytes(b"PAR1")
    result = open_result(folder)
    assert len(result.nuclei) == 24
    assert "is not used" in result.notes[0]


def test_an_image_without_results_is_shown(tmp_path):
    path = tmp_path / "small.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)
    (found,), sentences = open_results([path])
    assert (found.name, found.kind, found.size_xy, sentences) == ("small.png", "image", (60, 40), [])
    assert "coseg predict small.png --output results" in found.notes[0]
    desk = Desk(found, lambda: None)
    assert (desk.about()["nuclei"], desk.about()["correct"], desk.edits()["patches"]) == (0, 0, [])
    assert desk.image_tiles.jpeg((0, 0, 0))[:2] == b"\xff\xd8"
    with pytest.raises(ValueError, match="no folder of results to save regions in"):
        desk.save_regions({"features": []})


def test_results_of_one_name_are_told_apart(tmp_path):
    """Two patients' slides were both `case.png`, in the list and on the page."""
    for place in ("one/a", "two/a", "one/b"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / place / "case.png")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "other.png")
    places = [tmp_path / place / "case.png" for place in ("one/a", "two/a", "one/b")]
    results, _ = open_results([*places, tmp_path / "other.png"])
    assert [one.title for one in results] == ["one/a/case.png", "two/a/case.png", "one/b/case.png", "other.png"]
    assert Desk(results[0]).about()["name"] == "one/a/case.png"
    results, _ = open_results(places[1:])
    assert [one.title for one in results] == ["a/case.png", "b/case.png"]


def test_a_file_that_is_no_image_is_a_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("no image")
    results, (sentence,) = open_results([tmp_path / "a.txt"])
    assert results == []
    assert "no slide that can be read" in sentence

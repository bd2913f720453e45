from pathlib import Path

import pytest

from coseg_bundle.data.listing import folders, listed


def touch(top, *names):
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()


def names(top, found):
    return [path.relative_to(top).as_posix() for path in found.files]


def test_a_folder_by_hand(tmp_path):
    touch(tmp_path, "b.png", "a.PNG", "._a.png", ".hidden.png", "a.txt", "__MACOSX/._a.png", "x/c.png", ".git/d.png")
    flat = listed(tmp_path, (".png",))
    assert names(tmp_path, flat) == ["a.PNG", "b.png"]
    assert flat.notes == ("left out: 2 hidden",)
    deep = listed(tmp_path, (".png",), deep=True)
    assert names(tmp_path, deep) == ["a.PNG", "b.png", "x/c.png"]
    assert deep.left_out == {"hidden": 4}


def test_masks_and_overlays_beside_images(tmp_path):
    touch(
        tmp_path,
        "a.png",
        "a_mask.png",
        "a_cp_masks.tif",
        "a_instanseg_prediction.tif",
        "a-overlay.png",
        "b_mask.png",
        "Masks/a.png",
        "x/nuclei/a.png",
    )
    found = listed(tmp_path, (".png", ".tif"), deep=True, images=True)
    assert names(tmp_path, found) == ["a.png", "b_mask.png"]  # no image is called b
    assert found.left_out == {
        "in folders of masks and overlays": 2,
        "named after another image (mask, label, overlay)": 4,
    }
    assert len(listed(tmp_path, (".png", ".tif"), deep=True).files) == 8


@pytest.mark.parametrize("deep", [False, True])
def test_results_of_ours_are_no_images(tmp_path, deep):
    touch(
        tmp_path,
        "a.png",
        "out/a.png/summary.json",
        "out/a.png/instances.tif",
        "out/a.png/overlay.png",
        "y/summary.json",
    )
    assert names(tmp_path, listed(tmp_path, (".png", ".tif"), deep=deep)) == ["a.png"]
    inside = listed(tmp_path / "out" / "a.png", (".png", ".tif"), deep=deep)
    assert inside.files == []
    assert inside.notes == ("left out: 2 in results of coseg",)


@pytest.mark.parametrize("mark", ["coseg/weights/coseg_v001.pt", "coseg/runs/20250101-101010/data/datalist.json"])
def test_the_annotation_server_s_tiles_are_no_images(tmp_path, mark, monkeypatch):
    """Pixels of the images with labels of then were listed beside the images, in training and validation."""
    tile = "coseg/runs/20250101-101010/data/000/0_0_9_9.tif"
    touch(tmp_path, "a.tif", "labels/final/a.geojson", "coseg/training.json", tile, mark)
    found = listed(tmp_path, (".tif", ".geojson", ".json"), deep=True)
    assert names(tmp_path, found) == ["a.tif", "labels/final/a.geojson"]
    [note] = found.notes
    assert note == f"left out: {2 + mark.endswith('json')} written by the annotation server"
    monkeypatch.chdir(tmp_path / "coseg")
    assert listed(Path(), (".tif",), deep=True).files == []
    assert len(listed(tmp_path / "coseg" / "runs", (".tif",), deep=True).files) == 1  # a person names it


@pytest.mark.parametrize("mark", ["datastore_v2.json", "labels/final/two.geojson"])
def test_answers_that_nobody_looked_at_are_no_labels(tmp_path, mark):
    """They were truth, and the one that a person had corrected was left out beside its own answer."""
    touch(tmp_path, "labels/original/one.geojson", "labels/original/two.geojson", "labels/final/two.geojson", mark)
    found = listed(tmp_path, (".geojson",), deep=True)
    assert names(tmp_path, found) == ["labels/final/two.geojson"]
    assert found.notes == ("left out: 2 among the annotation server's labels and not final",)
    named = tmp_path / "labels" / "original"  # by a person
    assert len(listed(named, (".geojson",), deep=True).files) == 2
    touch(tmp_path / "other", "labels/original/one.geojson")
    assert len(listed(tmp_path / "other", (".geojson",), deep=True).files) == 1


def test_a_folder_of_the_server_s_name_is_another_one(tmp_path):
    touch(
        tmp_path, "coseg/images/a.png", "coseg/runs/train/model.pt", "coseg/weights/mine.pt", "x/runs/20250101-101010"
    )
    assert len(listed(tmp_path, (".png",), deep=True).files) == 1


def test_the_command_s_own_results_are_not_even_counted(tmp_path):
    touch(tmp_path, "a.png", "out/nuclei/a.png", "out/.b.png")
    assert listed(tmp_path, (".png",), deep=True, without=tmp_path / "out").left_out == {}
    assert names(tmp_path, listed(tmp_path, (".png",), deep=True, without=tmp_path / "out")) == ["a.png"]


def test_folders_of_a_name(tmp_path):
    touch(tmp_path, "images/a.png", "x/images/a.png", "__MACOSX/images/._a.png", ".old/images/a.png")
    assert folders(tmp_path, "images") == [tmp_path / "images", tmp_path / "x" / "images"]

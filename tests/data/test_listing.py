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


def test_the_command_s_own_results_are_not_even_counted(tmp_path):
    touch(tmp_path, "a.png", "out/nuclei/a.png", "out/.b.png")
    assert listed(tmp_path, (".png",), deep=True, without=tmp_path / "out").left_out == {}
    assert names(tmp_path, listed(tmp_path, (".png",), deep=True, without=tmp_path / "out")) == ["a.png"]


def test_folders_of_a_name(tmp_path):
    touch(tmp_path, "images/a.png", "x/images/a.png", "__MACOSX/images/._a.png", ".old/images/a.png")
    assert folders(tmp_path, "images") == [tmp_path / "images", tmp_path / "x" / "images"]

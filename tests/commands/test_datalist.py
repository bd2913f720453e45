import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.cli import main


@pytest.mark.parametrize(("count", "said"), [(1, "label a second image"), (2, "name some with --holdout"), (3, "")])
def test_no_image_for_validation_is_said(tmp_path, capsys, count, said):
    """A fifth of one or two images is none."""
    (tmp_path / "images").mkdir()
    (tmp_path / "nuclei").mkdir()
    for number in range(count):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / f"{number}.png")
        tifffile.imwrite(tmp_path / "nuclei" / f"{number}.tif", np.ones((8, 8), np.uint16))
    assert main(["datalist", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert ("No image is kept for validation" in out) == bool(said)
    assert said in out
    if said:
        assert main(["train", str(tmp_path / "datalist.json"), "--output", str(tmp_path / "run")]) == 1
        assert "keep some of a small set with `coseg datalist --holdout`" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["folders", "points"])
@pytest.mark.parametrize(
    ("held", "said"),
    [("ab", "No image is left to train on"), ("", "No image is kept for validation"), ("a", "")],
)
def test_a_section_without_images_is_said(tmp_path, capsys, layout, held, said):
    folder = labelled(tmp_path / "set", "a", "b")
    if layout == "points":
        (folder / "nuclei").rename(folder / "nuclei_pred")
        (folder / "points").mkdir()
        for name in "ab":
            (folder / "points" / f"{name}.csv").write_text("2,2\n")
    options = ["--layout", layout, "--output", str(tmp_path / "out" / ("" if layout == "points" else "datalist.json"))]
    options += ["--holdout", *held] if held else []
    assert main(["datalist", str(folder), *options]) == 0
    out = capsys.readouterr().out
    assert f"training: {2 - len(held)} images (" in out
    assert [line[: len(said)] for line in out.splitlines() if line.startswith("No image")] == [said] * bool(said)


def labelled(folder, *names, types=False):
    for kind in ("images", "nuclei", *(["types"] if types else [])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / f"{name}.png")
        for kind in ("nuclei", *(["types"] if types else [])):
            tifffile.imwrite(folder / kind / f"{name}.tif", np.ones((8, 8), np.uint8))
    return folder


def test_two_datalists_become_one(tmp_path, capsys):
    """Converted sets have no images/ of their own: their datalists are joined as they are."""
    for name, classes in (("a", ["1=x", "2=y"]), ("b", ["1=x", "2=y"]), ("c", ["1=y", "2=x"])):
        labelled(tmp_path / name, f"{name}0", f"{name}1", types=True)
        options = ["--nuclei-classes", *classes, "--holdout", f"{name}0", "-o", str(tmp_path / f"{name}.json")]
        assert main(["datalist", str(tmp_path / name), *options]) == 0
    both = ["datalist", str(tmp_path / "a.json"), "--also", str(tmp_path / "b.json")]
    assert main([*both, "-o", str(tmp_path / "both.json")]) == 0
    written = json.loads((tmp_path / "both.json").read_text())
    assert written["nuclei_classes"] == {"0": "background", "1": "x", "2": "y"}
    assert [item["image"] for item in written["training"]] == ["a/images/a1.png", "b/images/b1.png"]
    assert [item["image"] for item in written["validation"]] == ["a/images/a0.png"]
    assert (
        main(["datalist", str(tmp_path / "a"), "--nuclei-classes", "1=x", "2=y", "--also", str(tmp_path / "c.json")])
        == 1
    )
    assert "in which 1 is x, got 1=y" in capsys.readouterr().err
    assert main(both) == 1
    assert "A datalist is joined as it is divided: give --output" in capsys.readouterr().err
    for option in (["--seed", "0"], ["--validation", "0.5"]):
        assert main([*both, *option, "-o", str(tmp_path / "other.json")]) == 1
        assert "give --output, and no --validation, --seed" in capsys.readouterr().err


def test_listing_once_more_keeps_sections(tmp_path, capsys):
    """Images moved to `testing` by hand were for training again, without a word."""
    names = [str(number) for number in range(10)]
    folder, path = labelled(tmp_path / "set", *names), tmp_path / "set" / "datalist.json"
    assert main(["datalist", str(folder), "--holdout", "0", "1"]) == 0
    content = json.loads(path.read_text())
    content["testing"] = [content["training"].pop(), content["validation"].pop()]
    path.write_text(json.dumps(content | {"notes": "mine"}))
    labelled(tmp_path / "set", "new")
    capsys.readouterr()
    assert main(["datalist", str(folder)]) == 0
    assert "is divided already, and images that it lists stay in their sections" in capsys.readouterr().out
    again = json.loads(path.read_text())
    assert again["notes"] == "mine"
    for section, items in content.items():
        assert [item for item in again[section] if "new.png" not in item["image"]] == items
    before = path.read_text()
    for options in (["--holdout", "2"], ["--validation", "0"], ["--seed", "1"]):  # they say nothing of testing
        assert main(["datalist", str(folder), *options]) == 1
        assert "would lose the section of 2 images (first: testing of " in capsys.readouterr().err
        assert path.read_text() == before
    path.write_text(json.dumps({"training": again["training"], "validation": again["validation"]}))
    assert main(["datalist", str(folder), "--holdout", "2"]) == 0  # as a person has just said
    assert [item["image"] for item in json.loads(path.read_text())["validation"]] == ["images/2.png"]


def test_names_and_resolutions_that_a_person_wrote_are_kept(tmp_path, capsys):
    folder = str(labelled(tmp_path / "set", "a", "b", "c", types=True))
    path = tmp_path / "set" / "datalist.json"
    assert main(["datalist", folder]) == 0
    assert main(["datalist", folder]) == 0  # nothing is lost
    content = json.loads(path.read_text())
    content["training"][0]["mpp"] = 0.5
    content["nuclei_classes"] = {"1": "round"}
    path.write_text(json.dumps(content))
    assert main(["datalist", folder]) == 1
    said = capsys.readouterr().err
    assert "would lose the nuclei_classes 1=round and the mpp of 1 images (first: 0.5 of " in said
    assert json.loads(path.read_text()) == content
    del content["training"][0]["mpp"]
    path.write_text(json.dumps(content))
    assert main(["datalist", folder]) == 1
    assert main(["datalist", folder, "--nuclei-classes", "1=spindle"]) == 0  # a person says so
    for content, said in (('{"mean": {}}', "is there and is no datalist."), ("{", "is not valid JSON")):
        path.write_text(content)
        assert main(["datalist", folder]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert "It is not replaced: remove it, or give another --output." in err


@pytest.mark.parametrize("layout", ["folders", "labels"])
def test_one_image_under_two_names_is_said(tmp_path, capsys, layout):
    """One of them is trained on, and the other judges."""
    labelled(tmp_path / "set", "a", "b")
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(tmp_path / "set" / "images" / "c.png")
    tifffile.imwrite(tmp_path / "set" / "nuclei" / "c.tif", np.ones((8, 8), np.uint8))
    if layout == "labels":
        for name in "abc":
            (tmp_path / "set" / "nuclei" / f"{name}.tif").rename(tmp_path / "set" / "images" / f"{name}_cp_masks.tif")
    options = ["datalist", str(tmp_path / "set"), "--layout", layout, "--output"]
    output = [str(tmp_path / name) for name in (("1.json", "2.json") if layout == "folders" else ("1", "2"))]
    assert main([*options, output[0], "--holdout", "c"]) == 0
    assert "training images too" not in capsys.readouterr().out
    assert main([*options, output[1], "--holdout", "b"]) == 0
    assert "1 of 1 validation images are training images too (first: " in capsys.readouterr().out


def test_joining_says_what_is_trained_on_and_validated_by(tmp_path, capsys):
    labelled(tmp_path / "a", "a0", "a1")
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(tmp_path / "a" / "images" / "a1.png")
    labelled(tmp_path / "b", "b0")
    for name, held in (("a", ["--holdout", "a0"]), ("b", [])):
        assert main(["datalist", str(tmp_path / name), *held, "-o", str(tmp_path / f"{name}.json")]) == 0
    assert "training images too" not in capsys.readouterr().out
    also = ["--also", str(tmp_path / "b.json"), "-o", str(tmp_path / "both.json")]
    assert main(["datalist", str(tmp_path / "a.json"), *also]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 validation images are training images too (first: " in out
    assert "b0.png): scores of what was trained on are too good" in out

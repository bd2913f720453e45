from __future__ import annotations

import json
from pathlib import Path

import pytest

from coseg_bundle.view.correcting.saved import (
    content_of,
    is_of_training,
    put_changed_aside,
    read_saved,
    remove_saved,
    write_saved,
)
from coseg_bundle.writers.corrections import corrected_results


@pytest.mark.parametrize(
    ("place", "own"),
    [
        ("datalist.json", True),
        ("000/00.tif", True),
        ("000/00_tissue.tif", True),
        ("000.tif", True),
        (".DS_Store", True),
        ("datalist.former.json", False),
        ("datalist.csv", False),
        ("run/datalist.json", False),
        ("run/000.tif", False),
        ("my000.tif", False),
    ],
)
def test_what_is_of_the_training_data(place, own):
    assert is_of_training(Path(place)) is own


def test_what_was_written_is_known_again(tmp_path):
    folder = tmp_path / "corrections"
    (folder / "training").mkdir(parents=True)
    (folder / "label.geojson").write_text("a")  # without a datalist: it was removed
    write_saved(folder, "abc", [])
    assert corrected_results(tmp_path) == "abc"
    assert read_saved(folder) == ([], [])
    assert put_changed_aside(folder) == []
    (folder / "label.geojson").write_text("b")
    (folder / "training" / "datalist.json").write_text("c")
    aside = [folder / "label.former.geojson", folder / "training" / "datalist.former.json"]
    assert put_changed_aside(folder) == aside
    assert [path.read_text() for path in aside] == ["b", "c"]
    remove_saved(folder)
    assert sorted(path.name for path in folder.rglob("*.*")) == ["datalist.former.json", "label.former.geojson"]


def test_the_summary_is_beside_the_patches_for_other_programs(tmp_path):
    write_saved(tmp_path, "abc", [], {"nuclei": 2})
    content = json.loads((tmp_path / "patches.json").read_text())
    assert (content["results"], content["summary"]) == ("abc", {"nuclei": 2})


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"written": []}', '{"written": {}}'])
def test_of_what_nothing_is_said_nothing_is_renamed(tmp_path, content):
    assert put_changed_aside(tmp_path) == []  # nothing was saved
    (tmp_path / "patches.json").write_text(content)
    (tmp_path / "label.geojson").write_text("a")
    assert put_changed_aside(tmp_path) == []


def test_nothing_that_can_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"patches\.json"):
        read_saved(tmp_path)
    (tmp_path / "patches.json").write_text(json.dumps({"patches": [{"box": 1}]}))
    with pytest.raises(ValueError, match="no correction that was saved here"):
        read_saved(tmp_path)
    (tmp_path / "patches.json").write_text("1")
    with pytest.raises(TypeError, match="not iterable"):
        read_saved(tmp_path)


def test_content(tmp_path):
    assert content_of(tmp_path / "a") is None
    (tmp_path / "a").write_text("abc")
    assert str(content_of(tmp_path / "a")).startswith("ba7816bf")  # of SHA-256's standard

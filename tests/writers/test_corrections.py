from __future__ import annotations

import json

from coseg_bundle.writers.corrections import (
    CORRECTIONS,
    FORMER,
    UNCORRECTED,
    are_former,
    content_of_results,
    corrected_results,
    doubts_about,
)


def saved(folder, content):
    (folder / CORRECTIONS).parent.mkdir(exist_ok=True)
    (folder / CORRECTIONS).write_text(json.dumps(content))


def summary(folder, **said):
    (folder / "summary.json").write_text(json.dumps({"nuclei": 3, **said}))
    return content_of_results(folder)


def test_saved_corrections_are_a_doubt(tmp_path):
    assert doubts_about(tmp_path, ["a"]) == doubts_about(tmp_path, iter("a")) == ["a"]
    (tmp_path / CORRECTIONS).parent.mkdir()
    assert doubts_about(tmp_path, ()) == []  # they were taken back
    (tmp_path / CORRECTIONS).touch()
    assert doubts_about(tmp_path, ["a"]) == ["a", UNCORRECTED]
    assert doubts_about(tmp_path, ["a", UNCORRECTED]) == ["a", UNCORRECTED]


def test_a_file_of_the_results(tmp_path):
    summary(tmp_path, files={"nuclei.geojson": 2})
    saved(tmp_path, [])
    (tmp_path / "nuclei.geojson").write_text("{}")
    (tmp_path / "other.geojson").write_text("{}")
    assert doubts_about(tmp_path / "nuclei.geojson", ["a"]) == ["a", UNCORRECTED]
    assert doubts_about(tmp_path / "other.geojson", ["a"]) == ["a"]


def test_corrections_know_their_results(tmp_path):
    saved(tmp_path, {"results": summary(tmp_path, mpp=0.5), "patches": []})
    assert not are_former(tmp_path)
    assert doubts_about(tmp_path, ["a"]) == ["a", UNCORRECTED]
    summary(tmp_path, mpp=0.25)
    assert are_former(tmp_path)
    assert doubts_about(tmp_path, ["a", UNCORRECTED]) == ["a", FORMER]
    summary(tmp_path, mpp=0.5)  # with the former settings again
    assert not are_former(tmp_path)


def test_how_long_a_run_took_makes_no_other_results(tmp_path):
    assert summary(tmp_path, seconds=1) == summary(tmp_path, seconds=2) == summary(tmp_path)
    assert summary(tmp_path, seconds=1) != summary(tmp_path, nuclei=4)


def test_where_files_lie_makes_no_other_results(tmp_path):
    """`coseg predict a.png` and `coseg predict $PWD/a.png` into one folder: corrections are of both."""
    here = summary(
        tmp_path, image="a.png", weights="m.pt", versions={"torch": "2"}, made_from={"file": "a.png", "mpp": 0.5}
    )
    there = summary(tmp_path, image="/x/a.png", versions={"torch": "3"}, made_from={"file": "/x/a.png", "mpp": 0.5})
    assert here == there
    assert there != summary(tmp_path, image="/x/a.png", made_from={"file": "/x/a.png", "mpp": 0.25})


def test_what_does_not_say_of_which_results_it_is(tmp_path):
    assert corrected_results(tmp_path) is None  # nothing was saved
    summary(tmp_path)
    for content in ([], [{"box": [0, 0, 1, 1]}], {"patches": []}):
        saved(tmp_path, content)
        assert corrected_results(tmp_path) is None
        assert not are_former(tmp_path)


def test_results_that_are_gone(tmp_path):
    saved(tmp_path, {"results": summary(tmp_path), "patches": []})
    for content in ("{", "[]"):
        (tmp_path / "summary.json").write_text(content)
        assert content_of_results(tmp_path) == ""
        assert are_former(tmp_path)
    (tmp_path / "summary.json").unlink()
    assert are_former(tmp_path)

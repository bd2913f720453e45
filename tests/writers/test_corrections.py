from __future__ import annotations

import hashlib
import json

import pytest

from coseg_bundle.writers.corrections import (
    CORRECTIONS,
    FORMER,
    UNCORRECTED,
    are_former,
    content_of_results,
    corrected_results,
    doubts_about,
    said_of_results,
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
        tmp_path, image="a.png", weights="m.pt", versions={"torch": "2"}, made_from={"file": "a.png", "content": "c"}
    )
    there = summary(tmp_path, image="/x/a.png", versions={"torch": "3"}, made_from={"file": "/x/a.png", "content": "c"})
    assert here == there
    assert there != summary(tmp_path, image="/x/a.png", made_from={"file": "/x/a.png", "content": "d"})


def said(**others):
    """A summary of `coseg predict a.png`, the file of which says 0.25 um."""
    precision = {"name": "bf16", "reason": others.pop("reason", "avx512_bf16")}
    made_from = {"mpp": others.pop("given", None), "nifti": others.pop("nifti", False), "windows": {"tile_size": 1024}}
    made_from["inference"] = {"flips": False, "precision": precision}
    files = {"nuclei.geojson": 20, "tissue.geojson": 5, "nuclei.csv": 9}
    return {"mpp": 0.25, "precision": precision, "made_from": made_from, "files": files, "read_as": [], **others}


SAME = {
    "with --nifti": {
        "nifti": True,
        "files": {"nuclei.geojson": 20, "tissue.geojson": 5, "nuclei.csv": 9, "instances.nii.gz": 7},
    },
    "without a table": {"files": {"nuclei.geojson": 20, "tissue.geojson": 5}},
    "with --precision": {"reason": "asked for"},
    "with --mpp": {"given": 0.25, "mpp_source": "given", "read_as": ["0.25 um per pixel"], "doubts": ["wide"]},
}
OTHER = {
    "other outlines": {"files": {"nuclei.geojson": 21, "tissue.geojson": 5, "nuclei.csv": 9}},
    "another resolution": {"given": 0.5, "mpp": 0.5},
    "more nuclei": {"nuclei": 4},
}


@pytest.mark.parametrize("others", SAME.values(), ids=SAME)
def test_what_changes_nothing_in_results_makes_no_others(tmp_path, others):
    assert summary(tmp_path, **said()) == summary(tmp_path, **said(**others))


@pytest.mark.parametrize("others", OTHER.values(), ids=OTHER)
def test_what_changes_results_makes_others(tmp_path, others):
    assert summary(tmp_path, **said()) != summary(tmp_path, **said(**others))


def test_corrections_that_a_former_version_saved_know_their_results(tmp_path):
    """It took all of the summary but where files lie, how long it took and with which versions."""
    there = {"image": "a.png", "seconds": 2, **said()}
    there["made_from"]["file"] = "a.png"
    summary(tmp_path, **there)
    content = hashlib.sha256(json.dumps({"nuclei": 3, **said()}, sort_keys=True).encode()).hexdigest()
    saved(tmp_path, {"results": content, "patches": []})
    assert not are_former(tmp_path)
    summary(tmp_path, **there, nuclei=4)
    assert are_former(tmp_path)


def test_what_is_said_of_results_is_in_their_summary(tmp_path):
    """By which the script for QuPath compares it: all that was said then is said now."""

    def is_in(then, now):
        return all(is_in(value, now[name]) for name, value in then.items()) if isinstance(then, dict) else then == now

    summary(tmp_path, **said())
    then = said_of_results(tmp_path)
    assert then["made_from"] == {
        "windows": {"tile_size": 1024},
        "inference": {"flips": False, "precision": {"name": "bf16"}},
    }
    assert all(is_in(then, {"nuclei": 3, **said(**others)}) for others in ({}, *SAME.values()))
    assert not any(is_in(then, {"nuclei": 3, **said(**others)}) for others in OTHER.values())


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

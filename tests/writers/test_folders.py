import errno
import fcntl
import json
import logging
import os
from pathlib import Path

import pytest

from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.writers import folders
from coseg_bundle.writers.folders import (
    OF_MEASURES,
    ResultsFolderError,
    check_own,
    claimed,
    finished,
    is_measures,
    is_own,
    recorded,
    remove_measures,
    result_folders,
)
from coseg_bundle.writers.summary import BrokenRecordError


def files(root: Path, *names: str) -> list[Path]:
    """Files whose content is their place."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return [root / name for name in names]


def results(folder: Path, path: Path, **made_from) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"kind": "predict", "file": str(path.resolve()), "content": fingerprint(path), **made_from}
    (folder / "summary.json").write_text(json.dumps({"nuclei": 3, "made_from": record}))


def test_a_folder_is_called_as_its_file(tmp_path):
    given = files(tmp_path, "a.png", "a.jpg", "a.png.tif", "..png", "...png")
    found = result_folders(given, tmp_path / "out")
    assert [folder.name for folder in found] == ["a.png", "a.jpg", "a.png.tif", "..png", "...png"]
    assert {folder.parent for folder in found} == {tmp_path / "out"}
    assert [result_folders([path], tmp_path / "out") for path in given] == [[folder] for folder in found]


def test_equal_names_keep_apart_in_any_order(tmp_path):
    given = files(tmp_path, "x/a.png", "y/a.png", "y/A.png", "y/b.png")
    there = dict(zip(given, result_folders(given, tmp_path / "out"), strict=True))
    assert len({str(folder).casefold() for folder in there.values()}) == 4
    assert there[given[3]].name == "b.png"
    assert dict(zip(given[::-1], result_folders(given[::-1], tmp_path / "out"), strict=True)) == there
    again = [given[0], Path(os.path.relpath(given[0]))]
    assert {folder.name for folder in result_folders(again, tmp_path / "out")} == {"a.png"}  # one file, named twice


def test_a_folder_of_another_file_is_left_to_it(tmp_path):
    x, y = files(tmp_path, "x/a.png", "y/a.png")
    out = tmp_path / "out"
    results(out / "a.png", x)
    assert result_folders([x], out) == result_folders([x, y], out)[:1] == [out / "a.png"]
    [of_y] = result_folders([y], out)
    assert of_y.name.startswith("a.png-")
    assert result_folders([y, x], out) == [of_y, out / "a.png"]
    of_y.mkdir()
    (out / "a.png" / "summary.json").unlink()
    assert result_folders([y], out) == [of_y]  # begun there


def test_a_file_that_was_moved_keeps_its_folder(tmp_path):
    [x] = files(tmp_path, "x/a.png")
    out = tmp_path / "out"
    results(out / "a.png", x)
    (tmp_path / "y").mkdir()
    y = tmp_path / "y" / "a.png"
    y.write_bytes(x.read_bytes())
    assert result_folders([y], out)[0].name != "a.png"  # a copy: both are there
    x.unlink()
    assert result_folders([y], out) == [out / "a.png"]
    y.write_text("another")
    assert result_folders([y], out)[0].name != "a.png"


@pytest.mark.parametrize("name", ["nuclei.geojson", "regions.geojson", "summary.json"])
def test_a_folder_with_files_of_a_person_is_left_to_them(tmp_path, name, caplog):
    """It counted as free, and was written over; that the results went elsewhere was not said."""
    [a] = files(tmp_path, "a.tif")
    plain = tmp_path / "out" / "a.tif"
    plain.mkdir(parents=True)
    junk = [".DS_Store", "Icon\r", "Thumbs.db", "corrections", "desktop.ini"]
    (plain / "corrections").mkdir()
    for other in junk:
        if other != "corrections":
            (plain / other).touch()
    assert result_folders([a], tmp_path / "out") == [plain]
    assert not caplog.text
    (plain / name).write_text('{"mine": 1}')
    [marked] = result_folders([a], tmp_path / "out")
    assert marked.name.startswith("a.tif-")
    said = f"{plain} holds files, and no summary.json of a run; the results of {a} go to {marked}."
    assert [record.getMessage() for record in caplog.records] == [said]
    with pytest.raises(ResultsFolderError, match="holds files that are no results of coseg; give another folder, or"):
        with claimed(plain, "slide"):
            pass
    assert sorted(path.name for path in plain.iterdir()) == sorted([*junk, name])


def test_what_systems_leave_is_nobodys(tmp_path):
    """Thumbs.db in an empty folder sent the results to a second one, and Result.save refused the folder."""
    [a] = files(tmp_path, "a.tif")
    for name in ("Thumbs.db", "desktop.ini", "Icon\r"):
        plain = tmp_path / name.strip() / "a.tif"
        plain.mkdir(parents=True)
        (plain / name).touch()
        assert result_folders([a], plain.parent) == [plain]
        with claimed(plain, "predict"):
            pass
        assert [path.name for path in plain.iterdir()] == [name]


def test_results_whose_summary_says_nothing_are_no_persons(tmp_path, caplog):
    """Those of now went to a second folder; the first one's are refused, or made anew."""
    [a] = files(tmp_path, "a.tif")
    plain = tmp_path / "out" / "a.tif"
    plain.mkdir(parents=True)
    (plain / "summary.json").write_text("{}")
    (plain / "instances.tif").touch()
    assert result_folders([a], tmp_path / "out") == [plain]
    assert not caplog.text
    with claimed(plain, "predict"), pytest.raises(ResultsFolderError, match="do not say what they were made from"):
        finished(plain, {})


def test_a_run_that_failed_goes_on_in_its_folder(tmp_path):
    """Of files without a summary the lock says that a run began them."""
    [a] = files(tmp_path, "a.png")
    [folder] = result_folders([a], tmp_path / "out")
    with claimed(folder, "predict"):
        (folder / "instances.tif").touch()
    assert result_folders([a], tmp_path / "out") == [folder]
    with claimed(folder, "predict"):
        results(folder, a)
    assert sorted(path.name for path in folder.iterdir()) == ["instances.tif", "summary.json"]


def test_a_file_is_the_one_that_the_summary_names(tmp_path):
    [path] = files(tmp_path, "regions.geojson")
    assert not is_own(tmp_path, path.name)
    for named, own in (([path.name], True), ({path.name: 15}, True), ({path.name: 14}, False), ({}, False)):
        (tmp_path / "summary.json").write_text(json.dumps({"files": named}))
        assert is_own(tmp_path, path.name) is own
    (tmp_path / "summary.json").write_text("[]")
    assert not is_own(tmp_path, path.name)


def test_a_folder_of_measures(tmp_path):
    assert not is_measures(tmp_path / "measures")
    (tmp_path / "measures").mkdir()
    assert is_measures(tmp_path / "measures")  # nothing is lost
    (tmp_path / "measures" / "own.csv").touch()
    assert not is_measures(tmp_path / "measures")
    assert not is_measures(tmp_path / "measures" / "own.csv")
    (tmp_path / "measures" / "measures.json").touch()
    assert is_measures(tmp_path / "measures")


def test_measures_are_removed_and_what_a_person_put_there_is_not(tmp_path):
    folder = tmp_path / "measures"
    remove_measures(folder)  # there is none
    (folder / "mine").mkdir(parents=True)
    for name in (*OF_MEASURES, "notes.txt", "mine/slide.csv"):
        (folder / name).touch()
    remove_measures(folder)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"measures.json", "notes.txt", "mine/slide.csv"}
    assert is_measures(folder)  # it may be measured into again
    (folder / "measures.json").unlink()
    (folder / "slide.csv").touch()
    remove_measures(folder)  # it is somebody else's
    assert (folder / "slide.csv").exists()


@pytest.mark.parametrize("name", ["grid.csv", "Thumbs.db", ".123.slide.csv"])
def test_measures_alone_are_removed_as_a_whole(tmp_path, name):
    (tmp_path / "measures.json").touch()
    (tmp_path / name).touch()
    remove_measures(tmp_path)
    assert not tmp_path.exists()


def test_output_among_the_images(tmp_path):
    [a] = files(tmp_path, "a.png")
    assert result_folders([a], tmp_path)[0].name.startswith("a.png-")


def test_finished_results_are_compared(tmp_path):
    [a] = files(tmp_path, "a.png")
    now = {"kind": "predict", "file": "moved", "content": fingerprint(a), "mpp": 0.25, "nuclei": {"prob": 0.5}}
    assert finished(tmp_path / "r", now) is None
    results(tmp_path / "r", a, mpp=0.25, nuclei={"prob": 0.5})
    assert finished(tmp_path / "r", now)["nuclei"] == 3
    a.write_text("changed")
    now |= {"content": fingerprint(a), "mpp": 0.5, "nuclei": {"prob": 0.75}}
    faults = r"the content of the file, mpp \(0\.25, now 0\.5\), nuclei\.prob \(0\.5, now 0\.75\); make them anew"
    with pytest.raises(ResultsFolderError, match=faults):
        finished(tmp_path / "r", now)


def test_finished_results_without_their_files(tmp_path):
    [a] = files(tmp_path, "a.png")
    now = {"kind": "predict", "file": str(a), "content": fingerprint(a)}
    results(tmp_path / "r", a)
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    for name in ("instances.tif", "nuclei.csv", "tissue.tif"):
        (tmp_path / "r" / name).write_text("xy")
    for named in (
        ["instances.tif", "nuclei.csv", "tissue.tif"],
        {"instances.tif": 2, "nuclei.csv": 2, "tissue.tif": 2},
    ):
        summary["files"] = named  # those of before had no sizes
        (tmp_path / "r" / "summary.json").write_text(json.dumps(summary))
        assert finished(tmp_path / "r", now) == summary
    (tmp_path / "r" / "instances.tif").unlink()
    (tmp_path / "r" / "nuclei.csv").write_text("x")
    (tmp_path / "r" / "tissue.tif").write_text("")
    lost = r"r holds finished results whose instances\.tif, nuclei\.csv, tissue\.tif is missing or not whole; make"
    with pytest.raises(ResultsFolderError, match=lost):
        finished(tmp_path / "r", now)


def test_files_of_other_results_are_refused(tmp_path):
    """Only those that are read, and only where their sizes were written down."""
    [path] = files(tmp_path, "tissue.tif")
    own = {"tissue.tif": 10, "nuclei.csv": 5}
    check_own(tmp_path, {"files": own}, "tissue.tif")
    check_own(tmp_path, {"files": own}, "regions.geojson")
    path.write_text("another one")
    for former in ({}, {"files": ["tissue.tif"]}, {"files": 3}):
        check_own(tmp_path, former, "tissue.tif")
    changed = r"tissue\.tif was changed, or is of other results: expected the 10 bytes that summary\.json says, got 11 "
    with pytest.raises(ResultsFolderError, match=changed + "bytes; put it back, or make .+ coseg slide --overwrite"):
        check_own(tmp_path, {"files": own}, "nuclei.geojson", "tissue.tif")
    with pytest.raises(ResultsFolderError, match=r"nuclei\.csv was .+, got no such file; .+ coseg predict --overwrite"):
        check_own(tmp_path, {"files": own, "image": "a.png"}, "nuclei.csv")


@pytest.mark.parametrize("text", ["[]", "3", "", "{", '"a"', "null", '{"made_from": []}', "\xff", "[" * 100_000])
def test_broken_summaries(tmp_path, text):
    (tmp_path / "summary.json").write_text(text, encoding="latin-1")
    with pytest.raises(BrokenRecordError, match=r"summary\.json is broken"):
        recorded(tmp_path)
    with pytest.raises(ResultsFolderError, match="--overwrite"):
        finished(tmp_path, {})


def test_a_summary_that_says_nothing(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ResultsFolderError, match="do not say what they were made from"):
        finished(tmp_path, {})


def test_commands_keep_out_of_each_others_folders(tmp_path):
    [a] = files(tmp_path, "a.tif")
    results(tmp_path / "r", a)
    with pytest.raises(ResultsFolderError, match="holds results of coseg predict, and this is coseg slide"):
        with claimed(tmp_path / "r", "slide"):
            pass
    (tmp_path / "s" / ".work").mkdir(parents=True)
    (tmp_path / "s" / ".work" / "plan.json").write_text("{}")
    with pytest.raises(ResultsFolderError, match="holds results of coseg slide, and this is coseg predict"):
        with claimed(tmp_path / "s", "predict"):
            pass


def test_one_run_at_a_time(tmp_path):
    with claimed(tmp_path / "r", "predict"):
        with pytest.raises(ResultsFolderError, match="another run is at work there"):
            with claimed(tmp_path / "r", "predict"):
                pass
        assert (tmp_path / "r" / ".lock").exists()  # who was refused leaves it
    assert list((tmp_path / "r").iterdir()) == []
    with claimed(tmp_path / "r", "predict"):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    folders._say_no_locks.cache_clear()
    with caplog.at_level(logging.WARNING), claimed(tmp_path / "r", "predict"):
        assert "has no locks" in caplog.text


def test_nowhere_to_write(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResultsFolderError, match="cannot be written there"):
        with claimed(tmp_path / "file" / "r", "predict"):
            pass

import csv
import json
from pathlib import Path

import pytest

from coseg_bundle.cli import main
from coseg_bundle.writers.corrections import CORRECTIONS, UNCORRECTED
from coseg_bundle.wsi.results.cohort import add_to_cohort

UNREAD = "1 of 4 tiles could not be read (summary.json lists them, coseg slide --overwrite tries them again)"
SUMMARY = {
    "nuclei": 5,
    "nuclei_by_class": {"tumour": 3, "stroma": 2},
    "tissue_area_um2": {"gland": 12.5},
    "unreadable_tiles": [],
    "tiles_with_tissue": 4,
}


def rows(folder):
    with (folder / "cohort.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_by_hand(tmp_path):
    """In the order of the slides, whatever the order of the runs; a comma in a reason stays in its cell."""
    add_to_cohort(tmp_path, tmp_path / "b.svs", tmp_path / "b.svs", {}, "b.svs: broken, sorry", 0.25)
    add_to_cohort(tmp_path, tmp_path / "a.svs", tmp_path / "a.svs-1f", SUMMARY, None, 61.26)
    assert (tmp_path / "cohort.csv").read_text().splitlines() == [
        "slide,folder,state,reason,seconds,nuclei,nuclei tumour,nuclei stroma,gland um2",
        f"{tmp_path}/a.svs,a.svs-1f,done,,61.3,5,3,2,12.5",
        f'{tmp_path}/b.svs,b.svs,failed,"b.svs: broken, sorry",0.2,,,,',
    ]


def test_a_later_run_replaces_its_rows_only(tmp_path):
    for name in ("a", "b"):
        add_to_cohort(tmp_path, tmp_path / name, tmp_path / name, {}, "broken", 1)
    other = SUMMARY | {"nuclei_by_class": {"nucleus": 5}, "unreadable_tiles": [{}]}
    add_to_cohort(tmp_path, tmp_path / "b", tmp_path / "b", other, None, 2)
    first, second = rows(tmp_path)
    assert (first["state"], second["state"]) == ("failed", "incomplete")
    assert second["reason"] == UNREAD
    assert (first["nuclei nucleus"], second["nuclei nucleus"]) == ("", "5")


def test_a_slide_without_tissue_says_so(tmp_path):
    empty = SUMMARY | {"nuclei": 0, "tiles_with_tissue": 0}
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path / "a", empty, None, 1)
    assert [(row["state"], row["reason"]) for row in rows(tmp_path)] == [("done", "no tissue was found")]


def test_a_folder_has_one_row_however_its_slide_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for slide in (Path("a"), tmp_path / "a", Path("../") / tmp_path.name / "a"):
        add_to_cohort(tmp_path, slide, tmp_path / "a", SUMMARY, None, 1)
    [row] = rows(tmp_path)
    assert row["slide"].startswith("../")


def test_a_doubt_stands_beside_what_is_done(tmp_path):
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path / "a", SUMMARY | {"doubts": ["too small"]}, None, 1)
    broken = SUMMARY | {"doubts": ["too small"], "unreadable_tiles": [{}]}
    add_to_cohort(tmp_path, tmp_path / "b", tmp_path / "b", broken, None, 1)
    assert [(row["state"], row["reason"]) for row in rows(tmp_path)] == [
        ("done", "too small"),
        ("incomplete", f"{UNREAD}; too small"),
    ]


def test_saved_corrections_are_said_to_be_left_out(tmp_path):
    (tmp_path / "a" / CORRECTIONS).parent.mkdir(parents=True)
    (tmp_path / "a" / CORRECTIONS).touch()
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path / "a", SUMMARY, None, 1)
    assert [(row["state"], row["reason"]) for row in rows(tmp_path)] == [("done", UNCORRECTED)]


@pytest.mark.parametrize(("task", "expected"), [("nuclei", ("", "12.5")), ("tissue", ("5", None))])
def test_what_nobody_taught_has_no_numbers(tmp_path, task, expected):
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path / "a", SUMMARY | {"untrained": [task]}, None, 1)
    [row] = rows(tmp_path)
    assert (row["nuclei"], row.get("gland um2")) == expected


@pytest.mark.parametrize(
    ("content", "expected"), [('{"seconds": {"total": 7.04}}', "7.0"), ("{", ""), ('{"seconds": 3}', ""), (None, "")]
)
def test_seconds_of_a_slide_that_was_done_before(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path, SUMMARY, None, None)
    assert rows(tmp_path)[0]["seconds"] == expected


@pytest.mark.parametrize("content", [b"name,age\nx,3\n", b"", b"\xff\xfe\x00"])
def test_a_file_of_someone_else_is_left_alone(tmp_path, caplog, content):
    (tmp_path / "cohort.csv").write_bytes(content)
    add_to_cohort(tmp_path, tmp_path / "a", tmp_path / "a", SUMMARY, None, 1)
    assert (tmp_path / "cohort.csv").read_bytes() == content
    assert "is no table of slides" in caplog.text


def test_what_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "out").write_text("a file")
    add_to_cohort(tmp_path / "out", tmp_path / "a", tmp_path / "a", SUMMARY, None, 1)
    assert "cohort.csv was not written" in caplog.text


def test_of_several_slides(tmp_path, monkeypatch, capsys):
    """One slide alone makes no table; it goes into one that is there."""
    from standin import SIZES, paint, predictor, write_slide
    from maps import discs

    from coseg_bundle.commands.segmenting import slide as command
    from coseg_bundle.wsi.run import worker
    from coseg_bundle.wsi.run.workers import InlineWorkers

    monkeypatch.setattr(worker, "BundlePredictor", lambda *_, **__: lambda precision: predictor())
    monkeypatch.setattr(command, "_workers", lambda *_, **__: InlineWorkers(predictor))
    good = write_slide(tmp_path / "good.tif", paint(discs(300, 300, seed=1)))
    (tmp_path / "bad.svs").write_text("no slide")
    out = tmp_path / "out"
    sizes = ["--tile-size", str(SIZES["tile_px"]), "--halo", str(SIZES["halo_px"]), "--device", "cpu"]
    assert main(["slide", str(good), "-o", str(out), *sizes]) == 0
    assert not (out / "cohort.csv").exists()
    assert main(["slide", str(tmp_path / "bad.svs"), str(good), "-o", str(out), *sizes]) == 1
    bad, done = rows(out)
    assert (bad["state"], done["state"]) == ("failed", "done")
    assert "no slide that can be read" in bad["reason"]
    summary = json.loads((out / "good.tif" / "summary.json").read_text())
    assert int(done["nuclei"]) == summary["nuclei"] > 0
    assert float(done["gland um2"]) == summary["tissue_area_um2"]["gland"]
    assert float(done["seconds"]) > 0
    other = write_slide(tmp_path / "other.tif", paint(discs(300, 300, seed=2)))
    assert main(["slide", str(other), "-o", str(out), *sizes]) == 0
    assert [row["state"] for row in rows(out)] == ["failed", "done", "done"]


def test_nuclei_that_nobody_taught_are_no_zero(tmp_path):
    summary = {**SUMMARY, "nuclei": 0, "nuclei_by_class": {"untrained": 0}, "untrained": ["nuclei"]}
    add_to_cohort(tmp_path, tmp_path / "a.svs", tmp_path / "a.svs", summary, None, 1.0)
    [row] = rows(tmp_path)
    assert (row["state"], row["nuclei"], row["gland um2"]) == ("done", "", "12.5")
    assert "nuclei untrained" not in row

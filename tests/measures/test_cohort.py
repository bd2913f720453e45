import csv
import json
import re
import shutil

import numpy as np
import pytest
import shapely
from scn import CORNER, write_scn

from coseg_bundle.cli import main
from coseg_bundle.measures.cohort import (
    SLIDES,
    Given,
    check_cohort,
    measure_all,
    measure_folders,
    report,
    write_cohort,
)
from coseg_bundle.measures.files import read_rows
from coseg_bundle.measures.measuring import UNSTAINED, Wanted
from coseg_bundle.measures.remembered import CHANGED, OTHER_REGIONS
from coseg_bundle.writers.corrections import CORRECTIONS, UNCORRECTED
from coseg_bundle.writers.folders import MEASURES, ResultsFolderError


@pytest.fixture(scope="module")
def copies(slide, image, tmp_path_factory):
    """A slide, an image, and a folder with nothing finished in it."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copytree(slide, folder / "slide.tif")
    shutil.copytree(image, folder / "image.png")
    (folder / "begun.svs").mkdir()
    return [folder / "slide.tif", folder / "begun.svs", folder / "image.png"]


@pytest.fixture(scope="module")
def cohort(copies, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "cohort"
    code = main(["measure", *map(str, copies), "--by", "grid:50um", "--output", str(output)])
    return output, code


def test_one_table_for_all(cohort, copies):
    output, code = cohort
    assert code == 1  # one of them failed
    rows = read_rows(output / SLIDES)
    assert [row["name"] for row in rows] == ["slide.tif", "begun.svs", "image.png"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[1]["nuclei"] == ""
    assert "no finished results" in rows[1]["error"]
    assert rows[0]["nuclei_type_0"] != ""
    assert rows[2]["nuclei_type_0"] == ""  # it has no such class
    assert not (output / "begun.svs").exists()
    tissue = read_rows(output / "tissue.csv")
    assert {row["slide"] for row in tissue} == {"slide.tif", "image.png"}
    for row in rows[::2]:
        parts = [int(part["nuclei"]) for part in tissue if part["slide"] == row["name"]]
        assert sum(parts) == int(row["nuclei"])
        cells = [int(cell["nuclei"]) for cell in read_rows(output / "grid.csv") if cell["slide"] == row["name"]]
        assert sum(cells) == int(row["nuclei"])
    assert not (output / "regions.csv").exists()
    assert json.loads((output / "cohort.json").read_text())["slides"][1]["error"] == rows[1]["error"]


def test_results_are_measured_once_however_they_are_spelled(copies, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(copies[0].parent)
    said = ["image.png", str(copies[2]), "slide.tif/../image.png"]
    assert main(["measure", *said, "--mpp", "3", "--output", str(tmp_path / "cohort")]) == 0
    [row] = read_rows(tmp_path / "cohort" / SLIDES)
    assert row["results"] == str(copies[2].resolve())
    [slide] = json.loads((tmp_path / "cohort" / "cohort.json").read_text())["slides"]
    assert slide["results"] == row["results"]
    assert "--mpp 3.0 is not used: the results say 0.5" in capsys.readouterr().err


def test_doubts_are_said_where_results_are_read(copies, tmp_path, capsys):
    folder, doubt = tmp_path / "image.png", "the nuclei are 2.4 um wide, those of tissue 3.5 to 8.5: is that right?"
    shutil.copytree(copies[2], folder)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"doubts": [doubt]}))
    assert main(["measure", str(folder), "--no-stains", "--output", str(tmp_path / "cohort")]) == 0
    said = capsys.readouterr()
    assert doubt in said.err
    assert "\n1 slide -> " in said.out
    assert read_rows(tmp_path / "cohort" / SLIDES)[0]["doubts"] == doubt
    assert "<h2>In doubt</h2>" in (page := (tmp_path / "cohort" / "image.png" / "report.html").read_text())
    assert doubt in page


def test_classes_that_were_taken_for_tumour_and_stroma_are_said(image, tmp_path, capsys):
    """A ratio was of what a name seemed to be, and nothing said so."""
    for name in ("a", "b"):
        shutil.copytree(image, tmp_path / name)
        for file in ("summary.json", "nuclei.csv"):
            text = (tmp_path / name / file).read_text().replace("gland", "cancer")
            text = re.sub(r'"background"(?=: \d+,\s*"cancer")', '"connective"', text)
            (tmp_path / name / file).write_text(text.replace(",background", ",connective"))
        summary = json.loads((tmp_path / name / "summary.json").read_text()) | {"files": {}}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    said = "taken by name: tumor is cancer, stroma is connective; ratios and infiltration are of these"
    assert (
        main(["measure", str(tmp_path / "a"), str(tmp_path / "b"), "--no-stains", "--output", str(tmp_path / "c")]) == 0
    )
    assert capsys.readouterr().err.count(f"coseg: {said}\n") == 1
    assert (tmp_path / "c" / "report.html").read_text().count(f"<p>{said[0].upper()}{said[1:]}.</p>") == 1
    assert f"<p>{said[0].upper()}{said[1:]}.</p>" in (tmp_path / "c" / "a" / "report.html").read_text()


def test_roles_that_are_given_count_and_are_remembered(image, tmp_path, capsys):
    """Classes that are called otherwise had no ratio."""
    shutil.copytree(image, tmp_path / "a")
    command = ["measure", str(tmp_path / "a"), "--no-stains", "--by", "region"]
    assert main(command) == 0
    [plain] = read_rows(tmp_path / "a" / MEASURES / "slide.csv")
    assert "tumor_stroma_ratio" not in plain
    assert main([*command, "--role", "tumor=gland", "--role", "stroma=background"]) == 0
    said = "as given, the rest by name: tumor is gland, stroma is background; ratios and infiltration are of these"
    assert capsys.readouterr().err.count(said) == 1
    for again in ([], ["--role", "tumor=none"]):
        [row] = read_rows(tmp_path / "a" / MEASURES / "slide.csv")
        area = {name: float(row[f"tissue_{name}_mm2"]) for name in ("gland", "background")}
        assert float(row["tumor_stroma_ratio"]) == pytest.approx(area["gland"] / area["background"], rel=1e-4)
        assert said in (tmp_path / "a" / MEASURES / "report.html").read_text()
        if again:
            assert main([*command, *again]) == 1
            assert "Expected for the role tumor some of the tissue classes" in capsys.readouterr().err
    (tmp_path / "a" / MEASURES / "report.html").unlink()
    assert main(["report", str(tmp_path / "a")]) == 0
    assert said in (tmp_path / "a" / MEASURES / "report.html").read_text()
    with pytest.raises(SystemExit):
        main([*command, "--role", "tumour=gland"])
    assert "expected tumor=CLASS, stroma=CLASS or inflammatory=CLASS, got 'tumour=gland'" in capsys.readouterr().err


def save_corrections(folder):
    (folder / CORRECTIONS).parent.mkdir()
    (folder / CORRECTIONS).write_text("[{}]")


@pytest.mark.parametrize("kind", [0, 2])
def test_saved_corrections_are_said_to_be_left_out(copies, tmp_path, capsys, kind):
    """A gland that was drawn and saved was in none of the numbers, and nothing said so."""
    folder = tmp_path / copies[kind].name
    shutil.copytree(copies[kind], folder)
    save_corrections(folder)
    assert main(["measure", str(folder), "--mpp", "0.25"]) == 0
    assert f"coseg: {folder}: {UNCORRECTED}\n" in capsys.readouterr().err
    assert json.loads((folder / MEASURES / "measures.json").read_text())["results"]["doubts"][-1] == UNCORRECTED
    assert UNCORRECTED in (folder / MEASURES / "report.html").read_text()
    assert main(["measure", str(folder), "--mpp", "0.25", "--output", str(tmp_path / "cohort")]) == 0
    assert read_rows(tmp_path / "cohort" / SLIDES)[0]["doubts"].endswith(UNCORRECTED)
    assert (tmp_path / "cohort" / "report.html").read_text().count(UNCORRECTED) == 1


def without_doubts(folder, **said):
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"doubts": [], **said}))


@pytest.fixture
def partial(copies, tmp_path):
    """A slide of which a tile could not be read."""
    shutil.copytree(copies[0], tmp_path / "slide.tif")
    broken = [{"x": 0, "y": 0, "width": 50, "height": 50, "reason": "the drive; it was away"}]
    without_doubts(tmp_path / "slide.tif", unreadable_tiles=broken, tiles_with_tissue=9, thumbnail={"pen or dirt": 0.5})
    return tmp_path / "slide.tif"


def test_a_slide_that_was_read_in_part_is_no_whole_one(partial, tmp_path, capsys):
    unread = "1 of 9 tiles could not be read (summary.json lists them, coseg slide --overwrite tries them again)"
    pen = "more was taken for pen or dirt than for tissue: pen or dirt 50.0 % (foreground.png shows where)"
    output = tmp_path / "cohort"
    assert main(["measure", str(partial), "--no-stains", "--output", str(output)]) == 0
    said = f"coseg: {partial}: {unread}\ncoseg: {partial}: {pen}\n"
    assert capsys.readouterr().err == said
    assert [row["doubts"] for row in read_rows(output / SLIDES)] == [f"{unread}; {pen}"]
    for page in (output / "report.html", output / "slide.tif" / "report.html"):
        assert page.read_text().count(unread) == 1
    for command in (["report", str(output)], ["report", str(partial)], ["convert", str(partial), "--to", "dicom"]):
        assert main(command) == 0
        assert capsys.readouterr().err == said, command


def test_a_slide_that_is_gone_is_said(partial, tmp_path, capsys):
    without_doubts(partial, unreadable_tiles=[], thumbnail={}, slide=str(tmp_path / "gone.tif"))
    output = tmp_path / "cohort"
    assert main(["measure", str(partial), "--output", str(output)]) == 0
    assert capsys.readouterr().err == f"coseg: {partial}: {UNSTAINED}\n"
    assert [row["doubts"] for row in read_rows(output / SLIDES)] == [UNSTAINED]
    assert main(["measure", str(partial), "--no-stains", "--output", str(output)]) == 0
    assert capsys.readouterr().err == ""
    assert [row["doubts"] for row in read_rows(output / SLIDES)] == [""]


def test_corrections_that_were_saved_after_measuring(copies, tmp_path, capsys):
    folder, output = tmp_path / "slide.tif", tmp_path / "cohort"
    shutil.copytree(copies[0], folder)
    pages = [folder / MEASURES / "report.html", output / "report.html"]
    without_doubts(folder)
    assert main(["measure", str(folder)]) == 0
    assert main(["measure", str(folder), "--output", str(output)]) == 0
    assert not any(UNCORRECTED in page.read_text() for page in pages)
    save_corrections(folder)
    assert UNCORRECTED not in capsys.readouterr().err
    assert main(["report", str(folder), str(output)]) == 0
    assert capsys.readouterr().err == 2 * f"coseg: {folder}: {UNCORRECTED}\n"  # of the slide, and of the cohort
    assert all(UNCORRECTED in page.read_text() for page in pages)
    assert (
        main(["measure", str(copies[2]), "--mpp", "0.25", "--output", str(output)]) == 0
    )  # the others' rows are written anew
    said = {row["name"]: row["doubts"].split("; ")[-1] for row in read_rows(output / SLIDES)}
    assert said == {"slide.tif": UNCORRECTED, "image.png": ""}


def test_what_of_a_file_counts_as_nuclei_is_said(copies, tmp_path, capsys):
    """Only `measures.json` and the report said it; and regions of tissue were measured as nuclei."""
    content = json.loads((copies[2] / "nuclei.geojson").read_text())
    del content["coseg"]
    added = json.loads(json.dumps(content["features"][0]))
    del added["id"], added["properties"]["classification"]
    added["properties"]["objectType"] = "annotation"
    file, output = tmp_path / "a.geojson", str(tmp_path / "cohort")
    file.write_text(json.dumps({**content, "features": [*content["features"], added]}))
    assert main(["measure", str(file), "--mpp", "0.5", "--output", output]) == 0
    said = f"{file}: 1 annotations beside {len(content['features'])} detections count as nuclei (no class)"
    assert f"coseg: {said}\n" in capsys.readouterr().err
    assert main(["measure", str(copies[2] / "tissue.geojson"), "--mpp", "0.5", "--output", output]) == 1
    assert "tissue.geojson: expected nuclei, and none is left" in capsys.readouterr().err


def test_a_file_of_results_with_saved_corrections(copies, tmp_path, capsys):
    folder, output = tmp_path / "image.png", tmp_path / "cohort"
    shutil.copytree(copies[2], folder)
    command = ["measure", str(folder / "nuclei.geojson"), "--mpp", "0.5", "--no-stains", "--output", str(output)]
    assert main(command) == 0
    save_corrections(folder)
    assert UNCORRECTED not in capsys.readouterr().err
    assert main(["report", str(output)]) == 0
    assert capsys.readouterr().err == f"coseg: {folder / 'nuclei.geojson'}: {UNCORRECTED}\n"
    assert main(command) == 0
    assert f"coseg: {folder / 'nuclei.geojson'}: {UNCORRECTED}\n" in capsys.readouterr().err
    assert UNCORRECTED in (output / "nuclei.geojson" / "report.html").read_text()
    assert read_rows(output / SLIDES)[0]["doubts"] == UNCORRECTED


def test_pages_need_nothing_else(cohort):
    output, _ = cohort
    for page in (output / "report.html", output / "slide.tif" / "report.html", output / "image.png" / "report.html"):
        text = page.read_text()
        assert text.count("Not for diagnosis") == 2
        assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
        assert "<script" not in text
        assert "data:image/png;base64," in text
    assert "begun.svs: no finished results" in (output / "report.html").read_text()


def test_the_page_says_what_was_left_out(copies, tmp_path):
    summary = json.loads((copies[0] / "summary.json").read_text())
    summary["unreadable_tiles"] = [{"x": 0, "y": 0, "width": 50, "height": 50, "reason": "a <broken> tile"}]
    shutil.copytree(copies[0], tmp_path / "slide.tif")
    (tmp_path / "slide.tif" / "summary.json").write_text(json.dumps(summary))
    outcome = report(tmp_path / "slide.tif")
    assert outcome.error is None
    text = (outcome.folder / "report.html").read_text()
    assert "1 tiles that could not be read (a &lt;broken&gt; tile)" in text
    assert "SHA-256" in text
    assert "scikit-image" in text


def test_report_measures_what_is_not_measured_yet(copies, tmp_path, monkeypatch, capsys):
    shutil.copytree(copies[2], tmp_path / "image.png")
    assert main(["report", str(tmp_path / "image.png")]) == 0
    table = tmp_path / "image.png" / MEASURES / "slide.csv"
    before = table.stat().st_mtime_ns
    assert main(["report", str(tmp_path / "image.png")]) == 0
    assert table.stat().st_mtime_ns == before  # the same results
    summary = tmp_path / "image.png" / "summary.json"
    summary.write_text(summary.read_text() + "\n")
    assert main(["report", str(tmp_path / "image.png")]) == 0
    assert table.stat().st_mtime_ns != before
    assert main(["report", str(table)]) == 1
    assert "expected a folder of results" in capsys.readouterr().err


def unknown_resolution(copies, folder):
    """Results of an image whose file says no resolution."""
    shutil.copytree(copies[2], folder)
    without_doubts(folder, mpp=None)
    return folder


def test_a_page_is_of_the_resolution_of_its_tables(copies, tmp_path, capsys):
    """Tables were of 0.5 um per pixel and pictures of 0.25, and without --mpp there was no page."""
    folder = unknown_resolution(copies, tmp_path / "image.png")
    assert main(["report", str(folder)]) == 1
    assert "its microns per pixel are not known; give them with --mpp" in capsys.readouterr().err
    assert main(["measure", str(folder), "--no-stains", "--mpp", "0.5"]) == 0
    record, slide = folder / MEASURES / "measures.json", folder / MEASURES / "slide.csv"
    (folder / MEASURES / "report.html").unlink()
    before = slide.stat().st_mtime_ns
    assert main(["report", str(folder)]) == 0
    assert (folder / MEASURES / "report.html").is_file()
    assert slide.stat().st_mtime_ns == before  # as it was measured
    [area] = [float(row["area_mm2"]) for row in read_rows(slide)]
    assert main(["report", str(folder), "--mpp", "0.25"]) == 0
    assert json.loads(record.read_text())["mpp"] == 0.25
    assert json.loads(record.read_text())["settings"]["stains"] is False
    assert [float(row["area_mm2"]) for row in read_rows(slide)] == pytest.approx([area / 4])
    assert ">0.25</td>" in (folder / MEASURES / "report.html").read_text()


def test_a_resolution_that_is_not_used_is_said_of_a_page(copies, tmp_path, capsys):
    shutil.copytree(copies[2], tmp_path / "image.png")
    assert main(["report", str(tmp_path / "image.png"), "--mpp", "0.25"]) == 0
    assert "--mpp 0.25 is not used: the results say 0.5" in capsys.readouterr().err


def region_file(path, **boxes):
    """Regions as QuPath writes them: the corners of boxes by name."""
    features = []
    for name, (x0, y0, x1, y1) in boxes.items():
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"name": name}, "geometry": geometry})
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def settings_of(folder):
    return json.loads((folder / MEASURES / "measures.json").read_text())["settings"]


def test_lines_of_classes_are_said_to_be_of_each_ones_own_nuclei(copies, tmp_path):
    """Three nuclei of one class looked like as many as three hundred of another."""
    for folder, is_said in ((copies[0], True), (copies[2], False)):
        assert main(["measure", str(folder), "--no-stains", "--output", str(tmp_path)]) == 0
        page = (tmp_path / folder.name / "report.html").read_text()
        assert "How measures spread over all nuclei" in page
        assert ("Each line is of the nuclei of one class, few or many: its area is the same." in page) == is_said


def test_a_page_of_results_that_were_made_anew_is_of_what_was_measured(image, tmp_path, monkeypatch):
    """Regions, grid, CSV and the slide that was given were gone, and nothing said so."""
    folder, moved = tmp_path / "image.png", tmp_path / "moved.png"
    shutil.copytree(image, folder)
    shutil.copyfile(image.parent / "image.png", moved)
    summary = json.loads((folder / "summary.json").read_text()) | {"image": "gone.png"}
    summary["made_from"]["file"] = str(tmp_path / "gone.png")
    (folder / "summary.json").write_text(json.dumps(summary))
    region_file(tmp_path / "regions.geojson", front=(0, 0, 100, 160))
    monkeypatch.chdir(tmp_path)
    options = ["--regions", "regions.geojson", "--by", "grid:50um", "--csv", "--slide", "moved.png"]
    assert main(["measure", "image.png", *options]) == 0
    tables = ("slide", "regions", "grid", "nuclei")
    before = {name: (folder / MEASURES / f"{name}.csv").read_text() for name in tables}
    settings = settings_of(folder)
    (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 1}))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert main(["report", "../image.png"]) == 0
    assert {name: (folder / MEASURES / f"{name}.csv").read_text() for name in tables} == before
    assert settings_of(folder) == settings
    assert "no longer" not in (page := (folder / MEASURES / "report.html").read_text())
    assert main(["report", "../image.png"]) == 0  # the page alone, with the same pictures
    assert (folder / MEASURES / "report.html").read_text() == page
    (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 2}))
    moved.unlink()
    assert report(folder).error == f"{moved} is no longer there to measure {folder} anew; give it with --slide."
    assert (folder / MEASURES / "slide.csv").read_text() == before["slide"]


def test_regions_that_changed_are_measured_anew(copies, tmp_path, monkeypatch, capsys):
    """The page outlined other regions than those of the table beside it."""
    folder = shutil.copytree(copies[2], tmp_path / "image.png")
    file, page = region_file(tmp_path / "regions.geojson", front=(0, 0, 100, 160)), folder / MEASURES / "report.html"
    output = tmp_path / "out"
    assert main(["measure", str(folder), "--no-stains", "--regions", str(file)]) == 0
    assert main(["measure", str(folder), "--no-stains", "--regions", str(file), "--output", str(output)]) == 0
    assert "Outlines are regions of interest." in page.read_text()
    region_file(file, necrosis=(100, 0, 200, 160))
    assert main(["measure", str(copies[0]), "--no-stains", "--output", str(output)]) == 0  # another one
    assert f"coseg: {folder}: {OTHER_REGIONS}\n" in capsys.readouterr().err
    for path, table in ((folder, folder / MEASURES), (output, output / "image.png")):
        assert main(["report", str(path)]) == 0
        assert [row["name"] for row in read_rows(table / "regions.csv")] == ["necrosis"]
    assert OTHER_REGIONS not in (output / "report.html").read_text()
    file.unlink()
    assert main(["report", str(folder)]) == 0
    assert [row["name"] for row in read_rows(folder / MEASURES / "regions.csv")] == ["necrosis"]
    assert f"Regions are not outlined: {file} is no longer what was measured." in page.read_text()


def test_a_file_of_regions_of_another_place_is_not_taken_for_the_one_that_was_measured(copies, tmp_path, monkeypatch):
    """Former versions kept the path as it was typed; a cohort was measured anew with regions of another slide."""
    folder = shutil.copytree(copies[2], tmp_path / "image.png")
    file, output = region_file(tmp_path / "regions.geojson", front=(0, 0, 100, 160)), tmp_path / "out"
    for given in ((), ("--output", str(output))):
        assert main(["measure", str(folder), "--no-stains", "--regions", str(file), *given]) == 0
    for measures in (folder / MEASURES, output / "image.png"):
        record = json.loads((measures / "measures.json").read_text())
        record["settings"]["regions"] = "regions.geojson"
        (measures / "measures.json").write_text(json.dumps(record))
    made_anew(folder)
    region_file(tmp_path / "other" / "regions.geojson", necrosis=(100, 0, 200, 160))
    monkeypatch.chdir(tmp_path / "other")
    said = "is of a former version and does not say where its regions.geojson lies; measure"
    assert said in report(folder).error
    assert said in report(output).error
    (tmp_path / "other" / "regions.geojson").unlink()
    gone = "was measured with regions.geojson, which is not there any more; measure"
    assert gone in report(folder).error
    assert gone in report(output).error
    monkeypatch.chdir(tmp_path)
    assert report(folder).error is None
    assert report(output).error is None
    for measures in (folder / MEASURES, output / "image.png"):
        assert [row["name"] for row in read_rows(measures / "regions.csv")] == ["front"]


def test_measures_whose_settings_cannot_be_read_are_not_replaced(copies, tmp_path):
    folder = shutil.copytree(copies[2], tmp_path / "image.png")
    assert main(["measure", str(folder), "--no-stains", "--by", "grid:50um"]) == 0
    (folder / MEASURES / "measures.json").write_text("{")
    assert re.search(r"measures\.json is broken .*; measure .* again with coseg measure\.", report(folder).error)
    assert (folder / MEASURES / "grid.csv").exists()


def made_anew(folder):
    """The results that a network of other weights would have made, without the first nucleus."""
    rows = (folder / "nuclei.csv").read_text().splitlines(keepends=True)
    (folder / "nuclei.csv").write_text(rows[0] + "".join(rows[2:]))
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"nuclei": summary["nuclei"] - 1, "weights": "other.pt"}
    summary.get("files", {}).pop("nuclei.csv", None)
    (folder / "summary.json").write_text(json.dumps(summary))
    return str(summary["nuclei"])


def test_a_cohort_of_results_that_were_made_anew(copies, measured, tmp_path, capsys):
    """Its page showed the former numbers, and so did the next measuring."""
    output, more = measured
    assert more(copies[0]) == 0
    number = made_anew(tmp_path / "image.png")
    [former] = [row["nuclei"] for row in read_rows(output / SLIDES) if row["name"] == "image.png"]
    assert number != former
    capsys.readouterr()
    assert more(copies[0]) == 0  # another one
    row = read_rows(output / SLIDES)[0]
    assert (row["name"], row["nuclei"], row["doubts"].split("; ")[-1]) == ("image.png", former, CHANGED)
    assert f"coseg: {row['results']}: {CHANGED}\n" in capsys.readouterr().err
    assert CHANGED in (output / "report.html").read_text()
    assert main(["report", str(output)]) == 0
    rows = {row["name"]: row for row in read_rows(output / SLIDES)}
    assert rows.keys() == {"slide.tif", "image.png"}
    assert rows["image.png"]["nuclei"] == number
    assert CHANGED not in capsys.readouterr().err + (output / "report.html").read_text()
    assert json.loads((output / "image.png" / "measures.json").read_text())["settings"]["stains"] is False


def test_changed_results_that_cannot_be_measured_anew(measured, tmp_path, capsys):
    output, _ = measured
    [before] = read_rows(output / SLIDES)
    (tmp_path / "image.png" / "summary.json").unlink()  # coseg predict is at work
    capsys.readouterr()
    for _ in range(2):
        assert main(["report", str(output)]) == 1
        said = capsys.readouterr().err
        assert f"{output}: 1 slides could not be measured anew, and their rows are in doubt. First: " in said
        assert "no finished results" in said
        [row] = read_rows(output / SLIDES)
        assert row["doubts"].endswith(CHANGED)
        assert row | {"doubts": ""} == before | {"doubts": ""}
    shutil.rmtree(tmp_path / "image.png")  # measures of results that are gone are all that is left of them
    assert main(["report", str(output)]) == 0


def test_what_was_measured_with_an_image_is_not_measured_anew_without_it(image, tmp_path, capsys):
    """Its optical densities were thrown away, though the image that they were measured with was there."""
    folder, output, moved = tmp_path / "image.png", tmp_path / "out", tmp_path / "moved.png"
    shutil.copytree(image, folder)
    shutil.copyfile(image.parent / "image.png", moved)
    summary = json.loads((folder / "summary.json").read_text()) | {"image": "gone.png"}
    summary["made_from"]["file"] = str(tmp_path / "gone.png")
    (folder / "summary.json").write_text(json.dumps(summary))
    assert main(["measure", str(folder), "--mpp", "0.5", "--slide", str(moved), "--output", str(output)]) == 0
    [before] = read_rows(output / SLIDES)
    assert before["haematoxylin_od_mean"]
    (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 1}))
    assert main(["report", str(output)]) == 0
    assert read_rows(output / SLIDES) == [before]
    (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 2}))
    moved.unlink()
    capsys.readouterr()
    assert main(["report", str(output)]) == 1
    assert f"{moved} is no longer there to measure {folder} anew; give it with --slide" in capsys.readouterr().err
    [row] = read_rows(output / SLIDES)
    assert row["haematoxylin_od_mean"] == before["haematoxylin_od_mean"]
    assert row["doubts"].endswith(CHANGED)


def test_a_file_of_nuclei_that_changed_is_measured_anew_on_its_slide(image, tmp_path):
    file, output = tmp_path / "a.geojson", tmp_path / "out"
    content = json.loads((image / "nuclei.geojson").read_text())
    del content["coseg"]
    file.write_text(json.dumps(content))
    slide = str(image.parent / "image.png")
    assert main(["measure", str(file), "--mpp", "0.5", "--slide", slide, "--output", str(output)]) == 0
    file.write_text(json.dumps({**content, "features": content["features"][1:]}))
    assert main(["report", str(output)]) == 0
    [row] = read_rows(output / SLIDES)
    assert int(row["nuclei"]) == len(content["features"]) - 1
    assert row["haematoxylin_od_mean"] != ""


@pytest.mark.parametrize("option", ["--slide", "--mpp"])
def test_options_of_one_slide_are_none_of_a_cohort(measured, tmp_path, capsys, option):
    output, _ = measured
    given = str(tmp_path / "image.png") if option == "--slide" else "0.5"
    assert main(["report", str(output), option, given]) == 1
    said = f"{output}: --slide and --mpp are of one slide, and this is a cohort; give them to `coseg measure RESULTS"
    assert said in capsys.readouterr().err


def test_report_of_a_cohort(cohort):
    output, _ = cohort
    page = (output / "report.html").read_bytes()
    (output / "report.html").unlink()
    assert main(["report", str(output)]) == 0
    assert (output / "report.html").read_bytes() == page


def test_what_a_person_put_among_measures_stays(copies, tmp_path):
    folder, output = tmp_path / "image.png", tmp_path / "cohort"
    shutil.copytree(copies[2], folder)
    for measures, given in ((folder / MEASURES, []), (output / "image.png", ["--output", str(output)])):
        assert main(["measure", str(folder), "--no-stains", "--csv", *given]) == 0
        (measures / "mine").mkdir()
        (measures / "mine" / "slide.csv").write_text("mine")
        (measures / "notes.txt").write_text("mine")
        (measures / "link.csv").symlink_to("nowhere.csv")
        assert main(["measure", str(folder), "--no-stains", *given]) == 0
        assert (measures / "mine" / "slide.csv").read_text() == (measures / "notes.txt").read_text() == "mine"
        assert (measures / "link.csv").is_symlink()
        assert not (measures / "nuclei.csv").exists()  # of the run before


def test_results_are_never_overwritten(copies, capsys):
    """The folder that has the results of the same name is no folder of measures."""
    before = sorted(path.name for path in copies[0].iterdir())
    assert main(["measure", str(copies[0]), "--output", str(copies[0].parent)]) == 1
    assert "holds something else than measures; give another --output" in capsys.readouterr().err
    assert sorted(path.name for path in copies[0].iterdir()) == before
    (copies[0].parent / SLIDES).unlink()


@pytest.fixture
def measured(copies, tmp_path):
    """A folder with the measures of the image, and what measures more into it."""
    shutil.copytree(copies[2], tmp_path / "image.png")
    output = tmp_path / "out"

    def more(*arguments):
        return main(["measure", "--no-stains", "--output", str(output), *map(str, arguments)])

    assert more(tmp_path / "image.png") == 0
    return output, more


def names(output):
    return [row["name"] for row in read_rows(output / SLIDES)]


def test_slides_that_were_measured_before_stay_in_the_tables(copies, measured, tmp_path, capsys, caplog):
    """A second run left its own rows alone."""
    output, more = measured
    assert more(copies[0], "--by", "grid:50um") == 0
    assert names(output) == ["image.png", "slide.tif"]
    assert {row["slide"] for row in read_rows(output / "tissue.csv")} == {"image.png", "slide.tif"}
    assert "1 slide and 1 from before -> " in capsys.readouterr().out
    assert "measured with other options or versions before, and not again now: image.png" in caplog.text
    page = (output / "report.html").read_text()
    assert all(name in page for name in names(output))
    shutil.rmtree(output / "slide.tif")
    assert more(tmp_path / "image.png") == 0
    assert names(output) == ["image.png"]
    assert not (output / "grid.csv").exists()


def results_and_errors(output):
    rows = read_rows(output / SLIDES)
    return [(row["name"], row["results"], bool(row["error"]), bool(row.get("nuclei"))) for row in rows]


def test_failures_of_before_stay_until_they_are_measured(copies, measured, tmp_path, capsys):
    """The row of a slide that had failed was gone after the next run."""
    output, more = measured
    good = ("image.png", str((tmp_path / "image.png").resolve()), False, True)
    assert more(copies[1]) == 1
    failed = ("begun.svs", str(copies[1].resolve()), True, False)
    assert results_and_errors(output) == [good, failed]
    reason = read_rows(output / SLIDES)[1]["error"]
    capsys.readouterr()
    for _ in range(2):
        assert more(tmp_path / "image.png") == 1
        assert results_and_errors(output) == [failed, good]
        assert read_rows(output / SLIDES)[0]["error"] == reason
        assert reason in capsys.readouterr().err
    shutil.copytree(copies[2], tmp_path / "other" / "begun.svs")
    assert more(tmp_path / "other" / "begun.svs") == 1  # another slide of that name
    kept = results_and_errors(output)
    assert re.fullmatch(r"begun\.svs-[0-9a-f]{8}", kept[0][0])
    assert [row[1:] for row in kept[:2]] == [failed[1:], good[1:]]
    shutil.rmtree(tmp_path / "other" / "begun.svs")
    shutil.rmtree(output / "begun.svs")


def test_a_mistyped_path_is_forgotten(measured, tmp_path):
    """Every later run ended with exit code 1 for it."""
    output, more = measured
    assert more(tmp_path / "typo.png") == 1
    assert names(output) == ["image.png", "typo.png"]
    assert more(tmp_path / "image.png") == 0
    assert names(output) == ["image.png"]
    shutil.copytree(tmp_path / "image.png", tmp_path / "right" / "b.png")
    assert more(tmp_path / "rihgt" / "b.png") == 1
    assert names(output) == ["image.png", "b.png"]
    assert more(tmp_path / "right" / "b.png") == 0
    assert names(output) == ["image.png", "b.png"]


def test_former_values_of_a_slide_that_failed_are_none(copies, measured, tmp_path):
    """They came back with an empty error once another slide was measured."""
    output, more = measured
    whole = (tmp_path / "image.png" / "summary.json").read_text()
    (tmp_path / "image.png" / "summary.json").write_text("{")
    failed = ("image.png", str((tmp_path / "image.png").resolve()), True, False)
    assert more(tmp_path / "image.png") == 1
    assert results_and_errors(output) == [failed]
    assert more(copies[0]) == 1
    assert results_and_errors(output)[0] == failed
    assert {row["slide"] for row in read_rows(output / "tissue.csv")} == {"slide.tif"}
    (tmp_path / "image.png" / "summary.json").write_text(whole)
    assert more(tmp_path / "image.png") == 0
    assert [row[2:] for row in results_and_errors(output)] == [(False, True)] * 2


@pytest.mark.parametrize("former", ["options", "roles", "version", "columns", "outline_px"])
def test_rows_that_were_made_otherwise_are_named(former, copies, measured, tmp_path, caplog):
    """Rows without regions, and columns of another version, stood in one table with others unsaid."""
    output, more = measured
    ring = [[0, 0], [99, 0], [99, 99], [0, 99], [0, 0]]
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}]
    for name in ("a.geojson", "b.geojson"):
        (tmp_path / name).write_text(json.dumps({"type": "FeatureCollection", "features": features, "name": name}))
    assert more(tmp_path / "image.png", "--regions", tmp_path / "a.geojson") == 0
    assert more(copies[0], "--regions", tmp_path / "b.geojson") == 0
    assert "measured with other options" not in caplog.text  # regions are those of one slide
    file = output / "image.png" / "measures.json"
    record = json.loads(file.read_text())
    if former == "options":
        record["regions_content"] = None
    elif former == "roles":
        record["settings"]["roles"] = {"tumor": ["gland"]}
    elif former == "version":
        record["versions"]["coseg-bundle"] = "0.0.9"
    else:
        del record[former]
    file.write_text(json.dumps(record))
    assert more(copies[0], "--regions", tmp_path / "b.geojson") == 0
    assert "measured with other options or versions before, and not again now: image.png" in caplog.text


def former_measures(folder, *options):
    """Measures whose columns former versions named, which lost some where classes have like names."""
    assert main(["measure", str(folder), *options]) == 0
    record = json.loads((folder / MEASURES / "measures.json").read_text())
    del record["columns"]
    (folder / MEASURES / "measures.json").write_text(json.dumps(record))
    for table in ("slide.csv", "tissue.csv"):
        path = folder / MEASURES / table
        path.write_text(path.read_text().replace("nuclei_type_1", "nuclei_low"))


def test_a_report_of_measures_of_a_former_version(copies, tmp_path):
    """It ended in a KeyError."""
    folder = shutil.copytree(copies[0], tmp_path / "slide.tif")
    former_measures(folder, "--by", "grid:50um", "--no-stains")
    outcome = report(folder)
    assert outcome.error is None
    assert "nuclei_type_1" in read_rows(folder / MEASURES / "slide.csv")[0]
    assert (folder / MEASURES / "grid.csv").exists()  # what was measured is measured anew


def test_a_report_of_a_former_version_without_the_slide(copies, tmp_path):
    folder = shutil.copytree(copies[0], tmp_path / "slide.tif")
    former_measures(folder, "--no-stains")
    summary = json.loads((folder / "summary.json").read_text()) | {"slide": str(tmp_path / "gone.tif")}
    (folder / "summary.json").write_text(json.dumps(summary))
    file = folder / MEASURES / "measures.json"
    record = json.loads(file.read_text()) | {"image": str(tmp_path / "gone.tif")}
    file.write_text(json.dumps(record))
    error = f"{tmp_path / 'gone.tif'} is no longer there to measure {folder} anew; give it with --slide."
    assert report(folder).error == error
    assert json.loads(file.read_text()) == record


def test_measures_that_cannot_be_read_are_said(measured, tmp_path, capsys):
    output, more = measured
    (output / ".7.slide.svs").mkdir()  # another run is at work
    (output / ".7.slide.svs" / "measures.json").touch()
    (output / "odd").mkdir()
    for text in ("{", "{}"):
        (output / "odd" / "measures.json").write_text(text)
        assert more(tmp_path / "image.png") == 1
        assert "odd/measures.json is no record of coseg measure; measure that slide again" in capsys.readouterr().err
        assert names(output) == ["odd", "image.png"]


def test_another_slide_of_the_same_name_gets_its_own_folder(measured, tmp_path):
    """It took the place of the first; one that was moved is the same."""
    output, more = measured
    shutil.copytree(tmp_path / "image.png", tmp_path / "other" / "image.png")
    before = (output / "image.png" / "measures.json").read_bytes()
    assert more(tmp_path / "other" / "image.png") == 0
    assert (output / "image.png" / "measures.json").read_bytes() == before
    assert [re.sub("-[0-9a-f]{8}$", "-8", name) for name in names(output)] == ["image.png", "image.png-8"]
    (tmp_path / "moved").mkdir()
    shutil.rmtree(next(output.glob("image.png-*")))
    shutil.move(tmp_path / "image.png", tmp_path / "moved" / "image.png")
    assert more(tmp_path / "moved" / "image.png") == 0
    assert names(output) == ["image.png"]


@pytest.mark.parametrize("name", ["slides.csv", "grid.csv", "report.html", "cohort.json"])
def test_tables_of_others_are_left_alone(name, copies, tmp_path, capsys):
    """They were replaced, and those that the run had no rows for removed."""
    (tmp_path / name).write_text('{"slides": 3}')
    assert main(["measure", str(copies[2]), "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / name} was not written by coseg measure, which writes a file of that name; move it" in error
    assert main(["report", str(tmp_path)]) == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, '{"slides": 3}')]


def test_a_table_that_was_added_to_a_cohort(measured, tmp_path):
    output, more = measured
    (output / "regions.csv").write_text("mine")
    with pytest.raises(ResultsFolderError, match=r"regions\.csv was not written by coseg measure"):
        check_cohort(output)
    assert more(tmp_path / "image.png") == 1
    assert (output / "regions.csv").read_text() == "mine"
    record = json.loads((output / "cohort.json").read_text())
    del record["files"]  # as in cohorts of before
    (output / "cohort.json").write_text(json.dumps(record))
    check_cohort(output)


def test_the_same_name_twice(tmp_path):
    paths = [tmp_path / "a" / "slide.svs", tmp_path / "b" / "slide.svs", tmp_path / "c.svs"]
    folders = measure_folders(paths, tmp_path / "out")
    assert len(set(folders)) == 3
    assert folders == measure_folders(paths, tmp_path / "out")
    assert folders[2].name == "c.svs"
    assert measure_folders(paths, None) == [path / MEASURES for path in paths]
    (tmp_path / "cells.geojson").touch()
    with pytest.raises(ResultsFolderError, match="measures of a file need a place; give a folder with --output"):
        measure_folders([tmp_path / "cells.geojson"], None)


def test_former_tables_do_not_stay(copies, tmp_path):
    for wanted in (Wanted(grid_um=50.0, stains=False), Wanted(stains=False)):
        folders = measure_folders(copies[2:], tmp_path / "out")
        outcomes = list(measure_all(copies[2:], folders, wanted))
        write_cohort(tmp_path / "out", outcomes)
    assert not (tmp_path / "out" / "grid.csv").exists()
    assert not (folders[0] / "grid.csv").exists()


@pytest.mark.parametrize("by", ["grid", "grid:0um", "grid:xum", "cell"])
def test_wrong_groups(by, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["measure", "results", "--by", by])
    assert "expected tissue, region or grid:SIDEum" in capsys.readouterr().err


def test_the_origin_of_nuclei_is_remembered(tmp_path):
    """A slide of the cohort that is measured anew counts from where it did."""
    slide = write_scn(tmp_path / "a.scn", np.full((256, 512, 3), (225, 150, 190), np.uint8))
    places = [(CORNER[0] + 60 * i, CORNER[1] + 20) for i in range(4)]
    nuclei, cohort = tmp_path / "n.geojson", str(tmp_path / "cohort")

    def write(count):
        shapes = [shapely.geometry.mapping(shapely.box(x, y, x + 9, y + 9)) for x, y in places[:count]]
        features = [{"type": "Feature", "geometry": shape, "properties": {}} for shape in shapes]
        nuclei.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

    write(4)
    options = ["--slide", str(slide), "--mpp", "0.25", "--no-stains", "--output", cohort]
    assert main(["measure", str(nuclei), "--origin", "canvas", *options]) == 0
    write(3)
    assert main(["report", cohort]) == 0
    assert read_rows(tmp_path / "cohort" / SLIDES)[0]["nuclei"] == "3"


def test_wrong_combinations(capsys):
    assert main(["measure", "a", "b", "--slide", "c"]) == 1
    assert main(["measure", "a", "--by", "grid:50", "--by", "grid:60um"]) == 1
    assert main(["report", "a", "b", "--slide", "c"]) == 1
    error = capsys.readouterr().err
    assert error.count("--slide is for one RESULTS") == 2
    assert "Expected one grid" in error


@pytest.mark.parametrize("command", ["measure", "report"])
def test_a_slide_that_is_given_and_not_there(command, capsys):
    assert main([command, "a", "--slide", "gone.svs"]) == 1
    assert "--slide gone.svs: file not found; check the path." in capsys.readouterr().err


@pytest.mark.parametrize("command", ["measure", "report"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_slide_that_is_given_and_another(command, number, copies, tmp_path, capsys):
    """A folder is fingerprinted as an OME-Zarr is, and was left out without a word."""
    assert main([command, str(copies[number]), "--slide", str(tmp_path)]) == 1
    assert f"expected one slide called {copies[number].name} in {tmp_path}, got none" in capsys.readouterr().err
    other = tmp_path / copies[number].name
    other.write_bytes(b"another")
    assert main([command, str(copies[number]), "--slide", str(tmp_path)]) == 1
    words = rf"{re.escape(str(other))} is not the file that was segmented, \S+\.\w+, as far as the results say; give"
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "tissue.ome.tif"), (0, "nuclei.parquet"), (0, "foreground.tif"), (2, "tissue.tif"), (2, "nuclei.geojson")],
)
def test_files_of_another_slide(number, name, copies, tmp_path, capsys):
    """Whole files of the same kind, as from another slide of the same size."""
    folder = shutil.copytree(copies[number], tmp_path / copies[number].name)
    summary = json.loads((folder / "summary.json").read_text())
    summary["files"][name] += 1
    (folder / "summary.json").write_text(json.dumps(summary))
    for command in ("measure", "report"):
        assert main([command, str(folder)]) == 1
        error = capsys.readouterr().err
        assert f"{name} was changed, or is of other results: expected the {summary['files'][name]} bytes" in error
        assert error.count("\n") == 1
    summary["files"] = list(summary["files"])  # as former versions wrote
    (folder / "summary.json").write_text(json.dumps(summary))
    assert main(["measure", str(folder), "--no-stains"]) == 0


def test_regions_that_were_drawn_later_limit_nothing(copies, tmp_path):
    """`coseg view` saves them beside the results; tissue was then counted inside them only, and all nuclei over it."""
    folder = shutil.copytree(copies[0], tmp_path / "slide.tif")
    assert main(["measure", str(folder), "--no-stains", "--output", str(tmp_path / "before")]) == 0
    ring = [[0, 0], [99, 0], [99, 99], [0, 99], [0, 0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert main(["measure", str(folder), "--no-stains", "--output", str(tmp_path / "after")]) == 0
    before, after = (read_rows(tmp_path / name / "slide.tif" / "slide.csv") for name in ("before", "after"))
    assert before == after


def test_regions_of_another_slide(copies, tmp_path, capsys):
    """Their file counts where it is read."""
    folder = shutil.copytree(copies[0], tmp_path / "slide.tif")
    with (folder / "tissue.geojson").open("a") as file:
        file.write("\n")
    assert main(["measure", str(folder), "--no-stains"]) == 0
    assert main(["measure", str(folder), "--no-stains", "--by", "region"]) == 1
    assert "tissue.geojson was changed, or is of other results" in capsys.readouterr().err


def test_a_bad_region_is_an_exit_code(copies, tmp_path, capsys):
    crossed = [[0, 0], [99, 99], [99, 0], [0, 99], [0, 0]]
    good = [[0, 0], [99, 0], [99, 99], [0, 99], [0, 0]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring in (good, crossed)
    ]
    (tmp_path / "r.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    arguments = ["measure", str(copies[2]), "--regions", str(tmp_path / "r.geojson"), "--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "region 2 crosses itself at 49.5 49.5; it is left out." in capsys.readouterr().err
    with (tmp_path / "out" / "regions.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["region 1"]
    assert "crosses itself" in (tmp_path / "out" / "image.png" / "report.html").read_text()


def test_no_nuclei_has_a_page(tmp_path):
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    outcomes = list(measure_all([tmp_path / "none.geojson"], [tmp_path / "out"], Wanted(), Given(mpp=0.5)))
    assert outcomes[0].error is None
    assert np.isfinite((tmp_path / "out" / "report.html").stat().st_size)

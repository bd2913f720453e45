from __future__ import annotations

import base64
import json

import pytest

from coseg_bundle.cli import main
from coseg_bundle.view.export import export_page
from coseg_bundle.writers.folders import ResultsFolderError


def handed_over(path):
    name, content = path.read_text().removeprefix('source.receive("').removesuffix('")\n').split('","')
    assert path.name == name.rpartition("/")[2] + ".js"
    return base64.b64decode(content)


def test_everything_is_in_the_folder(result, tmp_path):
    [page] = export_page([result], tmp_path / "page")
    assert "data-exported" in page.read_text()
    assert "http" not in page.read_text()
    about = json.loads(handed_over(tmp_path / "page/0/about.json.js"))
    assert (about["nuclei"], about["correct"], about["finest"]) == (24, 0, 0)
    assert len(handed_over(tmp_path / "page/0/columns/type.bin.js")) == 24
    assert handed_over(tmp_path / "page/0/outlines/0_0.bin.js") == result.nuclei.packed_outlines(0, 0)
    names = {str(path.relative_to(tmp_path / "page/0")) for path in (tmp_path / "page/0").rglob("*.[jp][pn]g")}
    assert names == {
        "tiles/0/0_0.jpg",
        "tiles/0/1_0.jpg",
        "tiles/1/0_0.jpg",
        "tissue/1/0/0_0.png",
        "tissue/1/1/0_0.png",
    }
    tables = {path.name for path in (tmp_path / "page/tables/slide.tif").iterdir()}
    assert tables == {"nuclei.csv", "nuclei.parquet", "tissue.geojson", "summary.json"}


def test_coarser_tiles_only(result, tmp_path):
    list(export_page([result], tmp_path / "page", finest=1.0))
    assert not (tmp_path / "page/0/tiles/0").exists()
    assert (tmp_path / "page/0/tiles/1/0_0.jpg").is_file()
    assert json.loads(handed_over(tmp_path / "page/0/about.json.js"))["finest"] == 1


def test_saved_corrections_are_said_to_be_missing(result, known_service, tmp_path):
    from coseg_bundle.view.desk import Desk

    desk = Desk(result, lambda: known_service)
    square = {"type": "Polygon", "coordinates": [[[0, 0], [99, 0], [99, 99], [0, 99], [0, 0]]]}
    desk.correct({"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": square})
    desk.corrections.save()
    list(export_page([result], tmp_path / "page"))
    [note] = json.loads(handed_over(tmp_path / "page/0/about.json.js"))["notes"]
    assert note.startswith("The saved corrections are left out: open the results with coseg view")


@pytest.mark.parametrize("left", ["", "{}"])
def test_files_of_other_results_do_not_go_along(result, tmp_path, left):
    result.summary["files"] = {"nuclei.geojson": 12}
    if left:
        (result.folder / "nuclei.geojson").write_text(left)
    with pytest.raises(ResultsFolderError, match=r"nuclei.geojson was changed, or .* expected the 12 bytes"):
        list(export_page([result], tmp_path / "page"))
    assert not (tmp_path / "page").exists()


def test_a_page_is_replaced_and_nothing_else(result, tmp_path):
    list(export_page([result], tmp_path / "page"))
    former = ["page/old.js", "7/about.json.js", "tables/other.svs/nuclei.csv"]  # of more results
    own = ["notes.docx", "tables/own.xlsx", "tables/slide.tif/own.xlsx", "figures/tables/nuclei.csv"]
    for name in (*former, *own):
        (tmp_path / "page" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "page" / name).write_text("mine")
    list(export_page([result], tmp_path / "page"))
    assert [name for name in former if (tmp_path / "page" / name).exists()] == []
    assert {(tmp_path / "page" / name).read_text() for name in own} == {"mine"}
    assert (tmp_path / "page/tables/slide.tif/nuclei.csv").read_text() != "mine"
    with pytest.raises(ValueError, match="exists and is no page of coseg view; give another folder"):
        list(export_page([result], result.folder))


def test_the_command(folder, tmp_path, capsys):
    assert main(["view", str(folder), "--export", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page" / "index.html")


def test_no_folder_can_be_used(tmp_path, capsys):
    assert main(["view", str(tmp_path), "--export", str(tmp_path / "page")]) == 1
    assert "no finished results" in capsys.readouterr().err

from pathlib import Path

from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.measures.measuring import Wanted
from coseg_bundle.measures.remembered import CHANGED, OTHER_REGIONS, changes, other_regions, slide_in, wanted_in


def test_a_file_and_its_regions(tmp_path):
    cells, regions, slide = (tmp_path / name for name in ("cells.geojson", "regions.geojson", "slide.png"))
    for path in (cells, regions, slide):
        path.write_text(path.name)
    record = {
        "content": fingerprint(cells),
        "regions_content": fingerprint(regions),
        "settings": {"regions": str(regions), "grid_um": 50.0, "of another version": 1},
        "image": str(slide),
    }
    assert wanted_in(record) == Wanted(grid_um=50.0, regions=regions)
    assert wanted_in({}) == Wanted()
    assert changes(cells, record) == []
    assert slide_in(cells, record) == slide
    assert other_regions(record) is None
    regions.write_text("others")
    assert changes(cells, record) == [OTHER_REGIONS]
    assert other_regions(record) is None  # changed on purpose
    cells.write_text("others")
    assert changes(cells, record) == [CHANGED, OTHER_REGIONS]
    for path in (cells, regions, slide):
        path.unlink()
    assert changes(cells, record) == []
    assert slide_in(cells, record) is None
    assert slide_in(cells, {}) is None


def test_a_path_that_was_typed_is_a_file_of_the_same_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = Path("regions.geojson")
    file.write_text("a")
    record = {"content": None, "settings": {"regions": "regions.geojson"}, "regions_content": fingerprint(file)}
    assert other_regions(record) is None
    file.write_text("b")
    assert other_regions(record) == file
    assert changes(tmp_path / "gone", record) == []  # nobody knows
    file.unlink()
    assert other_regions(record) is None


def test_a_slide_that_is_not_that_of_the_results(tmp_path):
    slide = tmp_path / "slide.png"
    slide.write_text("a")
    content = fingerprint(slide)
    (tmp_path / "summary.json").write_text(f'{{"made_from": {{"content": "{content}"}}}}')
    assert slide_in(tmp_path, {"image": str(slide)}) == slide
    slide.write_text("b")
    assert slide_in(tmp_path, {"image": str(slide)}) is None
    (tmp_path / "summary.json").write_text("{")
    assert slide_in(tmp_path, {"image": str(slide)}) is None

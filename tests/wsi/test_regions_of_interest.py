import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from maps import discs
from standin import SIZES, paint, predictor, write_slide

from coseg_bundle.cli import main
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.opening import open_source
from coseg_bundle.wsi.pipeline import run_slides
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.run.journal import Journal
from coseg_bundle.wsi.run.workers import InlineWorkers

CIRCLE = shapely.Point(420, 430).buffer(170)
CORNER = shapely.Polygon([(900, 600), (1100, 640), (1100, 900), (980, 900)])


def write_regions(path, *polygons, names=("core", "edge", "bad")):
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(polygon),
            "properties": {"name": name, "classification": {"name": "Tumor"}, "objectType": "annotation"},
        }
        for name, polygon in zip(names, polygons, strict=False)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    gland = np.zeros((900, 1100), bool)
    gland[200:700, 100:450] = True
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", paint(discs(1100, 1300, seed=6)[:900], gland))


def run(slide, folder, regions=None, **options):
    workers = InlineWorkers(predictor)
    try:
        [result] = run_slides([slide], [folder], workers, predictor(), regions=regions, **{**SIZES, **options})
    finally:
        workers.close()
    return result


@pytest.fixture(scope="module")
def whole(slide, tmp_path_factory):
    result = run(slide, tmp_path_factory.mktemp("whole") / "slide")
    assert result.error is None
    return result.folder


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    return write_regions(tmp_path_factory.mktemp("regions") / "r.geojson", CIRCLE, CORNER)


@pytest.fixture(scope="module")
def part(slide, regions, tmp_path_factory):
    result = run(slide, tmp_path_factory.mktemp("part") / "slide", regions)
    assert result.error is None
    return result


def table(folder):
    return pq.read_table(folder / "nuclei.parquet")


def by_place(rows, column):
    x, y, values = (rows[name].to_pylist() for name in ("x", "y", column))
    return dict(zip(zip(x, y, strict=True), values, strict=True))


def test_the_nuclei_are_those_of_the_whole_slide(whole, part):
    """By their centroids, whole where they reach out of the region."""
    everyone, found, near = table(whole), table(part.folder), shapely.union_all([CIRCLE, CORNER])
    inside = {place for place in by_place(everyone, "x") if near.contains(shapely.Point(place))}
    assert 50 < len(inside) < len(everyone)
    for column in ("geometry", "area_um2", "nuclei_prob", "tissue"):
        expected = {place: value for place, value in by_place(everyone, column).items() if place in inside}
        assert by_place(found, column) == expected, column


def test_distances_that_reach_out_of_the_region_are_not_known(whole, part):
    expected, found = (by_place(table(folder), "tissue_border_um") for folder in (whole, part.folder))
    known = {place: um for place, um in found.items() if um is not None}
    assert 10 < len(known) < len(found)
    assert all(um == pytest.approx(expected[place], abs=1.5) for place, um in known.items())


def test_measures_that_reach_out_of_the_region_are_not_known(whole, part, tmp_path):
    """They ended at its border: neighbours were too few, and what is nearest too far away."""
    tables = {}
    for name, folder in (("whole", whole), ("part", part.folder)):
        (tmp_path / name).mkdir()
        with open_source(folder) as source:
            record = measure(source, tmp_path / name, Wanted(stains=False)).record
        tables[name] = table(tmp_path / name)
    assert set(by_place(tables["part"], "neighbours_50um").values()) == {None}  # the circle has a radius of 42 um
    for column in ("nearest_um", "neighbours_25um", "local_density_per_mm2"):
        expected, found = (by_place(tables[name], column) for name in ("whole", "part"))
        known = {place: value for place, value in found.items() if value is not None}
        assert 5 < len(known) < len(found), column
        assert known == {place: expected[place] for place in known}, column
        assert None not in expected.values()
    assert record["left_out"] == ["neighbours, local densities and distances that reach out of what was segmented"]


def test_a_region_that_is_the_slide_has_no_border(slide, whole, tmp_path):
    everything = write_regions(tmp_path / "r.geojson", shapely.box(0, 0, 1100, 900))
    result = run(slide, tmp_path / "slide", everything)
    assert by_place(table(result.folder), "tissue_border_um") == by_place(table(whole), "tissue_border_um")


def test_names_classes_and_counts(part):
    summary = json.loads((part.folder / "summary.json").read_text())
    assert [(r["name"], r["class"]) for r in summary["regions"]] == [("core", "Tumor"), ("edge", "Tumor")]
    assert sum(r["nuclei"] for r in summary["regions"]) == summary["nuclei"] == len(table(part.folder))
    drawn = json.loads((part.folder / "regions.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in drawn] == ["core", "edge"]
    assert drawn[0]["properties"]["measurements"]["Nuclei"] == summary["regions"][0]["nuclei"]
    assert summary["tiles_with_tissue"] < summary["tiles"]


def test_what_is_left_out_or_cut_is_said(slide, tmp_path, caplog):
    """A run went over it in silence; coseg measure has it on its page."""
    path = write_regions(tmp_path / "r.geojson", CIRCLE, CORNER, shapely.box(1000, 100, 1200, 200))
    content = json.loads(path.read_text())
    content["features"][1]["properties"] |= {"objectType": "tmaCore", "isMissing": True}
    path.write_text(json.dumps(content))
    result = run(slide, tmp_path / "slide", path)
    assert [region["name"] for region in result.summary["regions"]] == ["core", "bad"]
    assert result.refused == ()
    assert f"{path}: left out: 1 core marked as missing" in caplog.messages
    assert f"{path}: region 2 reaches beyond the slide and is cut at its border" in caplog.messages


def test_only_tiles_near_the_regions_are_read(slide, regions, tmp_path, monkeypatch):
    read = SlideReader.read
    boxes = []

    def watched(self, x, y, width, height, mpp):
        boxes.append(shapely.box(x, y, x + width, y + height))
        return read(self, x, y, width, height, mpp)

    monkeypatch.setattr(SlideReader, "read", watched)
    assert run(slide, tmp_path / "slide", regions).error is None
    near = shapely.union_all([CIRCLE, CORNER])
    assert all(box.distance(near) < 150 for box in boxes if box.area < 300**2)


def test_the_tissue_is_that_of_the_regions(whole, part):
    before, after = (tifffile.imread(folder / "tissue.ome.tif") for folder in (whole, part.folder))
    y, x = np.mgrid[: before.shape[0], : before.shape[1]] * 4 + 2
    inside, edge = (f(CIRCLE.union(CORNER), x, y) for f in (shapely.contains_xy, shapely.intersects_xy))
    assert (after[~edge] == 0).all()
    assert (before[inside] == after[inside]).mean() > 0.995  # specks at the very edge aside
    assert (after == 1).sum() > 500


def test_measures_have_a_row_for_each_region(part, tmp_path):
    with open_source(part.folder) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    table = found.tables["regions"]
    assert table["name"].tolist() == ["core", "edge"]
    assert table["nuclei"].sum() == found.tables["slide"]["nuclei"][0]
    assert table["area_mm2"].sum() == pytest.approx(found.tables["slide"]["area_mm2"][0])
    assert table["area_mm2"][0] == pytest.approx(CIRCLE.area / 16e6, rel=0.02)


@pytest.mark.parametrize("measured", [False, True])
def test_what_a_person_put_beside_the_results_stays(slide, whole, regions, tmp_path, measured):
    """Regions that were drawn in coseg view were removed, and a folder called measures whatever was in it."""
    folder = shutil.copytree(whole, tmp_path / "slide")
    drawn = write_regions(folder / "regions.geojson", CORNER).read_bytes()
    (folder / "measures").mkdir()
    (folder / "measures" / "own.csv").write_text("mine")
    if measured:
        (folder / "measures" / "measures.json").write_text("{}")
        (folder / "measures" / "nuclei.parquet").write_text("of the former results")
    assert run(slide, folder, halo_px=48, overwrite=True).error is None
    assert not (folder / "measures" / "nuclei.parquet").exists()
    assert (folder / "regions.geojson").read_bytes() == drawn
    assert (folder / "measures" / "own.csv").read_text() == "mine"
    before = (folder / "summary.json").read_bytes()
    refused = run(slide, folder, regions, overwrite=True).error
    assert "regions.geojson was not written by the run before, and the regions of this run go there; move" in refused
    assert (folder / "regions.geojson").read_bytes() == drawn
    assert (folder / "summary.json").read_bytes() == before


def test_what_the_run_before_wrote_goes(slide, part, tmp_path):
    folder = shutil.copytree(part.folder, tmp_path / "slide")
    (folder / "measures").mkdir()
    (folder / "measures" / "measures.json").write_text("{}")
    assert run(slide, folder, write_regions(tmp_path / "r.geojson", CORNER), overwrite=True).error is None
    assert len(json.loads((folder / "regions.geojson").read_text())["features"]) == 1
    assert not (folder / "measures").exists()


def test_the_same_regions_are_finished_and_others_are_not(slide, part, regions, tmp_path):
    assert run(slide, part.folder, regions).skipped
    other = write_regions(tmp_path / "other.geojson", CIRCLE)
    assert "which differ in regions" in run(slide, part.folder, other).error
    assert "which differ in regions" in run(slide, part.folder).error


def test_a_former_run_leaves_no_regions(slide, regions, tmp_path):
    folder = tmp_path / "slide"
    assert run(slide, folder, regions).error is None
    (folder / "measures").mkdir()
    assert run(slide, folder, overwrite=True).error is None
    assert not (folder / "regions.geojson").exists()
    assert not (folder / "measures").exists()
    assert "regions" not in json.loads((folder / "summary.json").read_text())


class Killed(BaseException):
    pass


def killed(*arguments, **options):
    """A run that ends with its second batch, as by a signal."""
    with pytest.MonkeyPatch.context() as patch:
        save, done = Journal.save_maps, []

        def save_maps(self, tile, maps):
            if len(done) == 2:
                raise Killed
            done.append(tile)
            save(self, tile, maps)

        patch.setattr(Journal, "save_maps", save_maps)
        with pytest.raises(Killed):
            run(*arguments, **options)


def test_the_regions_of_the_run_before_limit_the_next(slide, part, tmp_path):
    """The file that was given was removed at the beginning, and a run that was killed could not go on."""
    folder = shutil.copytree(part.folder, tmp_path / "slide")
    given = folder / "regions.geojson"
    before = given.read_bytes()
    killed(slide, folder, given, halo_px=48, overwrite=True)
    assert not (folder / "summary.json").exists()
    assert given.read_bytes() == before
    assert run(slide, folder, given, halo_px=48, resume=True).error is None
    written = [
        [feature["geometry"] for feature in json.loads(text)["features"]] for text in (before, given.read_bytes())
    ]
    assert written[0] == written[1]
    assert run(slide, folder, given, halo_px=48).skipped
    killed(slide, folder, given, halo_px=32, overwrite=True)
    assert run(slide, folder, overwrite=True).error is None  # nor does it stay where it limits nothing
    assert not given.exists()


def test_a_run_that_goes_on_leaves_no_regions_of_a_former_one(slide, part, tmp_path):
    """They stayed beside the results of the whole slide, where former versions began the run."""
    folder = tmp_path / "slide"
    killed(slide, folder)
    shutil.copy(part.folder / "regions.geojson", folder)
    assert run(slide, folder, resume=True).error is None
    assert not (folder / "regions.geojson").exists()


def test_a_run_that_goes_on_leaves_drawn_regions(slide, regions, tmp_path):
    folder = tmp_path / "slide"
    killed(slide, folder, regions)
    drawn = write_regions(folder / "regions.geojson", CORNER).read_bytes()
    assert "was not written by the run before" in run(slide, folder, regions, resume=True).error
    assert (folder / "regions.geojson").read_bytes() == drawn


def test_a_bad_region_is_said_and_the_others_go_on(slide, tmp_path):
    crossed = shapely.Polygon([(0, 0), (99, 99), (99, 0), (0, 99)])
    regions = write_regions(tmp_path / "r.geojson", CORNER, crossed, names=("good", "crossed"))
    result = run(slide, tmp_path / "slide", regions)
    assert result.error is None
    assert [sentence.partition(": ")[2] for sentence in result.refused] == [
        "region 2 (crossed) crosses itself at 49.5 49.5; it is left out."
    ]
    only = write_regions(tmp_path / "only.geojson", crossed)
    assert "no region in it can be used" in run(slide, tmp_path / "other", only).error


def test_one_slide(tmp_path, capsys):
    slides = [str(tmp_path / name) for name in ("a.svs", "b.svs")]
    assert main(["slide", *slides, "--regions", "r.geojson", "--output", os.fspath(tmp_path)]) == 1
    assert "--regions is for one slide" in capsys.readouterr().err


def test_regions_of_a_slide_without_tissue(tmp_path):
    """It ended with a traceback, and the other slides were not begun."""
    slide = write_slide(tmp_path / "a.tif", np.full((600, 600, 3), 250, np.uint8))
    result = run(slide, tmp_path / "out", write_regions(tmp_path / "r.geojson", shapely.box(50, 50, 300, 300)))
    assert result.error is None
    assert result.summary["nuclei"] == 0

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from maps import discs
from PIL import Image
from standin import FULL, paint, predictor, write_slide

from coseg_bundle import __version__
from coseg_bundle.cli import main
from coseg_bundle.commands.segmenting.slide import describe
from coseg_bundle.precision import Precision
from coseg_bundle.writers.summary import gaps_in
from coseg_bundle.wsi.pipeline import RUN, run_slides
from coseg_bundle.wsi.read.backend import SlideReadError
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.results import nuclei_files
from coseg_bundle.wsi.run import journal as journal_module
from coseg_bundle.wsi.run import worker
from coseg_bundle.wsi.run.plan import Plan
from coseg_bundle.wsi.run.workers import InlineWorkers
from coseg_bundle.wsi.segment.foreground import UNSCANNED
from coseg_bundle.wsi.segment.regions import segment_region
from coseg_bundle.wsi.segment.tiles import read_tile

SIZES = {"tile_px": 256, "halo_px": 32, "batch_size": 3}
RESULTS = {
    "foreground.png",
    "foreground.tif",
    "nuclei.geojson",
    "nuclei.parquet",
    "overview.png",
    "run.json",
    "summary.json",
    "tissue.geojson",
    "tissue.ome.tif",
}


def tissue(width=1100, height=900):
    yy, xx = np.mgrid[:height, :width]
    return ((xx - 550) ** 2 / 500**2 + (yy - 450) ** 2 / 400**2) < 1


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A round section on white glass, 1100 x 900 px, with a gland and some 1,000 nuclei."""
    section = tissue()
    instances = discs(1100, 1500, seed=2)[:900] * section
    yy, xx = np.mgrid[:900, :1100]
    gland = ((xx - 500) ** 2 / 200**2 + (yy - 450) ** 2 / 150**2) < 1
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", paint(instances, gland, section))


def run(slide, folder, workers=None, precision=FULL, **options):
    workers = workers or InlineWorkers(predictor)
    try:
        [result] = run_slides([slide], [folder], workers, predictor(precision=precision), **{**SIZES, **options})
    finally:
        workers.close()
    return result


@pytest.fixture(scope="module")
def finished(slide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "slide"
    result = run(slide, folder)
    assert result.error is None
    return result


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != RUN}


def test_files(finished):
    assert {path.name for path in finished.folder.iterdir()} == RESULTS
    summary = json.loads((finished.folder / "summary.json").read_text())
    assert summary == finished.summary
    assert summary["nuclei"] > 800
    assert summary["unreadable_tiles"] == []
    assert summary["tiles_with_tissue"] < summary["tiles"]


def test_same_as_a_region(slide, finished):
    """The slide's run and `segment_region` are the same thing."""
    with open_slide(slide) as reader:
        region = segment_region(reader, predictor(), (0, 0, *reader.size_xy), tile_px=256, halo_px=32)
    table = pq.read_table(finished.folder / "nuclei.parquet").to_pydict()
    found = shapely.from_wkb(np.array(table["geometry"], object))
    assert sorted(shapely.to_wkt(found)) == sorted(shapely.to_wkt(region.nuclei.polygons))
    assert np.isclose(sum(table["area_um2"]), region.nuclei.area_um2.sum())


def test_parquet(finished):
    table = pq.read_table(finished.folder / "nuclei.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    polygons = shapely.from_wkb(table["geometry"].to_numpy())
    assert np.allclose(geo["columns"]["geometry"]["bbox"], shapely.total_bounds(polygons))
    assert table["id"].to_pylist() == list(range(1, finished.summary["nuclei"] + 1))
    assert set(table["type"].to_pylist()) == {"nucleus"}
    assert set(table["tissue"].to_pylist()) == {"background", "gland"}
    centres = np.array([table["x"].to_pylist(), table["y"].to_pylist()]).T
    section = tissue()
    assert section[centres[:, 1].astype(int), centres[:, 0].astype(int)].all()
    in_gland = np.array(table["tissue"].to_pylist()) == "gland"
    ellipse = ((centres - [500, 450]) ** 2 / np.array([200, 150]) ** 2).sum(1)
    assert in_gland[ellipse < 0.9].all()
    centre = np.argmin(ellipse)
    assert 30 < table["tissue_border_um"].to_pylist()[centre] < 38  # 150 px to the border, a quarter micron each


def test_parquet_is_read_in_parts(slide, tmp_path, monkeypatch):
    """A row group holds whole pieces that lie together, and says which box it covers; ids go on in that order."""
    monkeypatch.setattr(nuclei_files, "_ROWS", 60)
    monkeypatch.setattr(journal_module, "PIECE_PX", 192)
    path = run(slide, tmp_path / "out").folder / "nuclei.parquet"
    metadata = pq.read_metadata(path)
    column = json.loads(metadata.metadata[b"geo"])["columns"]["geometry"]
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
    assert column["orientation"] == "counterclockwise"
    assert column["crs"] is None
    table = pq.read_table(path)
    polygons = shapely.from_wkb(table["geometry"].to_numpy())
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    boxes = np.array([list(row.values()) for row in table["bbox"].to_pylist()])
    assert np.array_equal(boxes, shapely.bounds(polygons))
    assert table["id"].to_pylist() == list(range(1, table.num_rows + 1))
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert len(groups) > 4
    said = [{g.column(i).path_in_schema: g.column(i).statistics for i in range(g.num_columns)} for g in groups]
    areas = [(s["bbox.xmax"].max - s["bbox.xmin"].min) * (s["bbox.ymax"].max - s["bbox.ymin"].min) for s in said]
    assert np.mean(areas) < 0.25 * 1100 * 900


@pytest.mark.parametrize("columns", [1, 5])
def test_pieces_along_a_z(columns):
    order = sorted(range(4 * columns), key=lambda i: nuclei_files._along_z(columns, i))
    assert order == (
        [0, 1, 2, 3] if columns == 1 else [0, 1, 5, 6, 2, 3, 7, 8, 10, 11, 15, 16, 12, 13, 17, 18, 4, 9, 14, 19]
    )


def test_geojson_says_what_the_table_says(finished):
    collection = json.loads((finished.folder / "nuclei.geojson").read_text())
    table = pq.read_table(finished.folder / "nuclei.parquet").to_pylist()
    assert len(collection["features"]) == len(table)
    assert len({feature["id"] for feature in collection["features"]}) == len(table)
    for feature, row in zip(collection["features"], table, strict=True):
        assert shapely.geometry.shape(feature["geometry"]).equals(shapely.from_wkb(row["geometry"]))
        properties = feature["properties"]
        assert properties["classification"] == {"name": "nucleus", "color": [255, 221, 0]}
        assert properties["metadata"] == {"tissue": row["tissue"]}
        assert properties["measurements"]["Area um2"] == pytest.approx(row["area_um2"], abs=1e-3)
        assert properties["measurements"]["Nucleus probability"] == pytest.approx(row["nuclei_prob"], abs=1e-4)
        assert "Class probability" not in properties["measurements"]


def test_tissue_files_agree(slide, finished):
    with tifffile.TiffFile(finished.folder / "tissue.ome.tif") as file:
        classes = file.series[0].asarray()
        assert 'PhysicalSizeX="1.0"' in file.ome_metadata
    assert classes.shape == (225, 275)
    collection = json.loads((finished.folder / "tissue.geojson").read_text())
    area = sum(shapely.geometry.shape(f["geometry"]).area for f in collection["features"])
    assert area == pytest.approx((classes == 1).sum() * 16)
    for feature in collection["features"]:
        region = shapely.geometry.shape(feature["geometry"])
        assert region.exterior.is_ccw
        assert not any(ring.is_ccw for ring in region.interiors)
    assert finished.summary["tissue_area_um2"]["gland"] == pytest.approx((classes == 1).sum())


def test_nothing_reaches_beyond_a_slide_of_odd_size(tmp_path):
    """249 x 251 px at 0.2265 um are 226 x 227 of the network's, 57 x 57 of the tissue map's that end at 251.7."""
    whole = np.ones((251, 249), bool)
    instances = np.zeros((251, 249), np.int32)
    instances[100:120, 230:] = 1
    path = write_slide(tmp_path / "slide.tif", paint(instances, whole, whole), mpp=0.2265, levels=1)
    result = run(path, tmp_path / "out")
    for name in ("nuclei.geojson", "tissue.geojson"):
        features = json.loads((result.folder / name).read_text())["features"]
        bounds = shapely.total_bounds([shapely.geometry.shape(f["geometry"]) for f in features])
        assert bounds[2] <= 249
        assert bounds[3] <= 251
    assert bounds[3] == 251  # the tissue's


def test_pictures(finished):
    with Image.open(finished.folder / "overview.png") as overview:
        assert overview.size == (3 * 1010, 818 + 40)
    with Image.open(finished.folder / "foreground.png") as foreground:
        assert foreground.size == (1100, 900)


def test_again_gives_the_same_bytes(slide, finished, tmp_path):
    again = run(slide, tmp_path / "slide")
    assert contents(again.folder) == contents(finished.folder)


def test_a_finished_folder_is_left_alone(slide, finished):
    before = {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    result = run(slide, finished.folder)
    assert result.skipped
    assert result.summary == finished.summary
    assert {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()} == before


class Stopping(InlineWorkers):
    """Stops after so many tasks."""

    def __init__(self, after):
        super().__init__(predictor)
        self.left = after
        self.done = []

    def wait(self):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.done += (results := super().wait())
        return results


def steps(slide, folder):
    workers = Stopping(10**6)
    run(slide, folder, workers)
    return len(workers.done)


def test_stopped_anywhere_and_resumed(slide, finished, tmp_path):
    count = steps(slide, tmp_path / "count")
    for after in np.unique(np.linspace(0, count - 1, 5).astype(int)):
        folder = tmp_path / f"after {after}" / "slide"
        with pytest.raises(KeyboardInterrupt):
            run(slide, folder, Stopping(after))
        assert not (folder / "summary.json").exists()
        refused = run(slide, folder)
        assert "--resume" in refused.error
        workers = Stopping(10**6)
        result = run(slide, folder, workers, resume=True)
        assert result.error is None
        assert contents(folder) == contents(finished.folder)
        assert len(workers.done) == count - after  # nothing is done twice


def test_killed_while_merging(slide, finished, tmp_path, monkeypatch):
    """The results are moved into place one by one; a run that is stopped in between makes them again."""
    moved = []

    def replace(source, target, replace=os.replace):
        if str(source).endswith(".geojson") and "results" in str(source):
            raise KeyboardInterrupt
        moved.append(target)
        replace(source, target)

    monkeypatch.setattr("coseg_bundle.wsi.results.writing.os.replace", replace)
    with pytest.raises(KeyboardInterrupt):
        run(slide, tmp_path / "slide")
    monkeypatch.undo()
    assert not (tmp_path / "slide" / "summary.json").exists()
    run(slide, tmp_path / "slide", resume=True)
    assert contents(tmp_path / "slide") == contents(finished.folder)


def test_resume_with_other_settings_is_refused(slide, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(slide, tmp_path, Stopping(2))
    result = run(slide, tmp_path, resume=True, tile_px=320, batch_size=2)
    assert "other settings: batch_size (3, now 2), tile_px (256, now 320); give the same ones" in result.error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inference": {"two_scales": True}}, "inference.precision.name, inference.two_scales"),
        ({"version": "0", "unknown": 1}, f"unknown, version (0, now {__version__})"),
        ({"inference": None}, "inference.precision.name"),
    ],
)
def test_resume_of_a_run_with_another_inference_or_of_another_version_is_refused(slide, tmp_path, change, words):
    with pytest.raises(KeyboardInterrupt):
        run(slide, tmp_path, Stopping(2))
    file = tmp_path / ".work" / "plan.json"
    plan = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({name: value for name, value in plan.items() if value is not None}))
    assert f"other settings: {words}; give the same ones" in run(slide, tmp_path, resume=True).error


AUTO = Precision("bf16", "avx512_bf16")
OTHER_AUTO = Precision("fp32", "the processor has no bf16 units")
ASKED_FULL, ASKED_HALF = Precision("fp32"), Precision("bf16")


def resumed(slide, folder, begun, wanted):
    """A run that stopped goes on with another precision; what came of it, and what the workers were made for."""
    made = []

    def make(precision):
        made.append(precision)
        return predictor(precision=precision)

    with pytest.raises(KeyboardInterrupt):
        run(slide, folder, Stopping(2), precision=begun)
    result = run(slide, folder, InlineWorkers(make), resume=True, precision=wanted)
    return result, made


@pytest.mark.parametrize(
    ("begun", "wanted"),
    [(AUTO, OTHER_AUTO), (OTHER_AUTO, AUTO), (ASKED_HALF, OTHER_AUTO), (AUTO, ASKED_HALF), (ASKED_FULL, OTHER_AUTO)],
)
def test_a_resumed_run_keeps_its_precision(slide, tmp_path, begun, wanted):
    """On another processor `auto` is something else; what is asked for may be what the run has anyway."""
    result, made = resumed(slide, tmp_path, begun, wanted)
    assert result.error is None
    assert made == [begun.name]
    assert result.summary["precision"] == {"name": begun.name, "reason": begun.reason}


@pytest.mark.parametrize(("begun", "wanted"), [(AUTO, ASKED_FULL), (OTHER_AUTO, ASKED_HALF), (ASKED_FULL, ASKED_HALF)])
def test_another_precision_is_refused(slide, tmp_path, begun, wanted):
    result, made = resumed(slide, tmp_path, begun, wanted)
    assert f"inference.precision.name ({begun.name}, now {wanted.name}); give the same ones to --resume" in result.error
    assert not made


@pytest.mark.parametrize("text", ["[]", "{}", "3", "{", "tiles"])
def test_a_broken_plan_is_one_sentence(slide, finished, tmp_path, text):
    with pytest.raises(KeyboardInterrupt):
        run(slide, tmp_path, Stopping(2))
    file = tmp_path / ".work" / "plan.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tiles": ["x"]}) if text == "tiles" else text)
    assert "its unfinished run cannot be read" in run(slide, tmp_path, resume=True).error
    assert run(slide, tmp_path, overwrite=True).error is None
    assert contents(tmp_path) == contents(finished.folder)


def test_a_slide_that_changed_is_another_one(slide, finished, tmp_path):
    """Two bytes at the end are exchanged: name, size and every tile stay."""
    path = tmp_path / "slide.tif"
    path.write_bytes(slide.read_bytes() + b"ab")
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "begun", Stopping(2))
    done = run(path, tmp_path / "done")
    before = contents(done.folder)
    path.write_bytes(slide.read_bytes() + b"ba")
    assert "other settings: the content of the file; give" in run(path, tmp_path / "begun", resume=True).error
    assert "which differ in the content of the file; make them anew" in run(path, done.folder).error
    assert contents(done.folder) == before
    ours = bytes(128) + b"DICM" + b"\x08\x00\x90\x10LO\x0c\x00coseg-bundle"
    (done.folder / "nuclei.dcm").write_bytes(ours)  # what was converted goes with what it was made from
    assert not run(path, done.folder, overwrite=True).skipped
    assert not (done.folder / "nuclei.dcm").exists()
    assert run(path, done.folder, overwrite=True).skipped  # the same now


@pytest.mark.parametrize("name", ["nuclei.dcm", "tissue.dcm", "spatialdata.zarr/notes.txt"])
def test_what_others_put_beside_results_is_not_removed(slide, finished, tmp_path, name):
    """It has the name of a conversion; `--overwrite` took it for one."""
    folder = tmp_path / "results"
    shutil.copytree(finished.folder, folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = contents(folder) if "/" not in name else None
    done = run(slide, folder, halo_px=48, overwrite=True)
    assert f"{name.partition('/')[0]} is not as coseg convert wrote it" in done.error
    assert (folder / name).read_text() == "mine"
    assert before is None or contents(folder) == before


def test_finished_results_with_other_settings_are_refused(slide, finished):
    assert (
        "which differ in batch_size (3, now 2), mpp (0.25, now 0.5);"
        in run(slide, finished.folder, batch_size=2, mpp=0.5).error
    )


def test_a_slide_that_was_moved_is_the_same(slide, tmp_path):
    path, moved = tmp_path / "a" / "slide.tif", tmp_path / "b" / "slide.tif"
    for file in (path, moved):
        file.parent.mkdir()
    path.write_bytes(slide.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "out", Stopping(2))
    path.rename(moved)
    result = run(moved, tmp_path / "out", resume=True)
    assert (result.error, result.summary["slide"]) == (None, str(moved))
    assert run(moved, tmp_path / "out").skipped


def test_two_runs_in_one_folder(slide, tmp_path):
    import fcntl

    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another run" in run(slide, tmp_path).error


def test_blank_slide(tmp_path):
    path = write_slide(tmp_path / "blank.tif", np.full((600, 500, 3), 243, np.uint8))
    result = run(path, tmp_path / "blank")
    assert result.error is None
    assert result.summary["nuclei"] == result.summary["tiles_with_tissue"] == 0
    assert {path.name for path in result.folder.iterdir()} == RESULTS
    assert json.loads((result.folder / "nuclei.geojson").read_text())["features"] == []
    assert pq.read_table(result.folder / "nuclei.parquet").num_rows == 0


def without_tiles(path, *tiles):
    """Takes tiles of level 0 out of a file."""
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.pages[0]
        for tag in ("TileOffsets", "TileByteCounts"):
            values = list(page.tags[tag].value)
            page.tags[tag].overwrite([0 if tile in tiles else value for tile, value in enumerate(values)])
    return path


@pytest.mark.parametrize(("gone", "share"), [((1,), 0.25), ((0, 1, 2), 0.75)])
def test_what_the_file_does_not_hold_is_no_glass(tmp_path, gone, share):
    """It was told as glass, in the summary, in the sentence and in the picture, and as not scanned elsewhere."""
    path = write_slide(tmp_path / "blank.tif", np.full((512, 512, 3), 243, np.uint8), levels=1)
    result = run(without_tiles(path, *gone), tmp_path / "out")
    summary = result.summary
    glass = {"glass": 1 - share, "tissue": 0.0, "pen or dirt": 0.0, "not scanned": share}
    assert (summary["thumbnail"], summary["unscanned"]["fraction"]) == (glass, share)
    seen = f"glass {100 - 100 * share} %, not scanned {100 * share} %"
    assert gaps_in(summary) == [f"no tissue was found: {seen} (foreground.png shows where)"]
    assert (tifffile.imread(result.folder / "foreground.tif") == UNSCANNED).mean() == share
    bluish = np.diff(np.array(Image.open(result.folder / "foreground.png"))[..., [0, 2]].astype(int)).squeeze() > 50
    assert bluish[:256, 256:].all()
    assert bluish[:256, :256].any() == (0 in gone)


def broken(slide, path, tiles):
    """A copy of a slide in which some of the file's tiles are zeros."""
    content = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        for tile in tiles:
            start, count = page.dataoffsets[tile], page.databytecounts[tile]
            content[start : start + count] = bytes(count)
    path.write_bytes(content)
    return path


def test_corrupt_tile_is_listed_and_the_rest_done(slide, finished, tmp_path):
    path = broken(slide, tmp_path / "slide.tif", [7])  # second row, third column of 5: pixels 512..767 x 256..511
    result = run(path, tmp_path / "out")
    assert result.error is None
    listed = result.summary["unreadable_tiles"]
    assert 1 <= len(listed) < result.summary["tiles_with_tissue"]
    for place in listed:
        assert place["x"] - 32 < 768
        assert place["x"] + place["width"] + 32 > 512
        assert "slide.tif" in place["reason"]
    whole = pq.read_table(finished.folder / "nuclei.parquet").to_pydict()
    part = pq.read_table(result.folder / "nuclei.parquet").to_pydict()
    far = [wkb for wkb, x, y in zip(whole["geometry"], whole["x"], whole["y"], strict=True) if x < 250 or x > 1000]
    assert len(far) > 50
    assert set(far) <= set(part["geometry"])


def passing_fault(monkeypatch, *tiles):
    """Tiles, or all, that cannot be read until the patch is taken back."""

    def fails(reader, grid, tile, *rest):
        if not tiles or tile in tiles:
            raise SlideReadError("the drive is away")
        return read_tile(reader, grid, tile, *rest)

    monkeypatch.setattr(worker, "read_tile", fails)


def test_overwrite_tries_tiles_again_that_could_not_be_read(slide, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        passing_fault(patch, 12)
        first = run(slide, tmp_path)
    assert len(first.summary["unreadable_tiles"]) == 1
    for again in (run(slide, tmp_path), run(slide, tmp_path, resume=True)):
        assert again.skipped
        [line] = describe(again)
        tiles = first.summary["tiles_with_tissue"]
        assert f"; 1 of {tiles} tiles could not be read (summary.json lists them, coseg slide --overwrite tries" in line
    again = run(slide, tmp_path, overwrite=True)
    assert not again.skipped
    assert contents(tmp_path) == contents(finished.folder)
    assert run(slide, tmp_path, overwrite=True).skipped  # nothing is left to try


def test_a_slide_that_could_not_be_read_at_all_is_tried_again(slide, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        passing_fault(patch)
        error = run(slide, tmp_path).error
    assert "none of its" in error
    assert "--resume" not in error  # it went on with what it knew, and failed again
    assert run(slide, tmp_path).error is None
    assert contents(tmp_path) == contents(finished.folder)


def test_nothing_readable(slide, tmp_path):
    path = broken(slide, tmp_path / "slide.tif", range(20))
    assert "none of its" in run(path, tmp_path / "out").error
    assert not (tmp_path / "out" / "summary.json").exists()


def test_truncated_slide(slide, tmp_path):
    path = tmp_path / "truncated.tif"
    path.write_bytes(slide.read_bytes()[:2000])
    result = run(path, tmp_path / "out")
    assert "truncated.tif" in result.error
    assert "truncated" in result.error.split(":", 1)[1]


def test_a_slide_that_fails_does_not_stop_the_others(slide, tmp_path):
    missing = tmp_path / "missing.svs"
    workers = InlineWorkers(predictor)
    results = list(run_slides([missing, slide], [tmp_path / "a", tmp_path / "b"], workers, predictor(), **SIZES))
    assert "not found" in results[0].error
    assert results[1].error is None


def test_a_worker_that_fails_does_not_stop_the_next_slide(slide, tmp_path, monkeypatch):
    from coseg_bundle.wsi.run.journal import Journal

    def save_maps(self, tile, maps, save=Journal.save_maps):
        if self.folder.name == "a":
            raise ValueError("values that are not finite")
        save(self, tile, maps)

    monkeypatch.setattr(Journal, "save_maps", save_maps)
    workers = InlineWorkers(predictor)
    results = list(run_slides([slide, slide], [tmp_path / "a", tmp_path / "b"], workers, predictor(), **SIZES))
    assert "not finite" in results[0].error
    assert results[1].error is None
    assert not workers.busy


def test_read_only_folder(slide, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in run(slide, tmp_path / "file" / "out").error  # root may write to read-only folders


@pytest.mark.parametrize(("name", "option", "size"), [("halo_px", "--halo", 33), ("tile_px", "--tile-size", 254)])
def test_sizes_are_multiples_of_the_step_of_the_tissue_map(slide, tmp_path, name, option, size):
    error = run(slide, tmp_path / "out", **{name: size}).error
    assert error == f"{slide}: {option} must be a multiple of 4, got {size}."
    for other in ("x", 32.0, None):  # in Python
        error = run(slide, tmp_path / "out", **{name: other}).error
        assert error == f"{slide}: Expected for {option} a whole number from 0 on, got {other!r}."
    with open_slide(slide, None) as reader, pytest.raises(ValueError, match=f"{option} must be a multiple of 4"):
        Plan.of(reader, predictor(), **{"tile_px": 256, "halo_px": 32, "batch_size": 1, name: size})


def test_the_side_of_a_tile_is_a_multiple_of_the_coarsest_stride(slide, tmp_path, capsys):
    """The help said of 4, and 1,004 px were refused under another name."""
    for side in ("1004", "0", "-32", "32.0"):
        with pytest.raises(SystemExit):
            main(["slide", str(slide), "--output", str(tmp_path / "out"), f"--tile-size={side}"])
        assert f"argument --tile-size: expected a multiple of 32 from 32 on, got '{side}'" in capsys.readouterr().err


def test_full_disk_keeps_what_is_done(slide, finished, tmp_path, monkeypatch):
    saved = []

    def write_bytes(self, content, write=Path.write_bytes):
        if self.parent.name == "maps":
            if len(saved) == 7:
                raise OSError(28, "No space left on device")
            saved.append(self)
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    result = run(slide, tmp_path / "out")
    folder = tmp_path / "out" / ".work" / "maps"
    assert str(folder) in result.error
    assert ": the results cannot be written there (No space left on device)" in result.error
    assert "--resume" in result.error
    monkeypatch.undo()
    assert run(slide, tmp_path / "out", resume=True).error is None
    assert contents(tmp_path / "out") == contents(finished.folder)


def test_other_tiles_give_the_same_nuclei(slide, finished, tmp_path):
    other = run(slide, tmp_path / "out", tile_px=192, halo_px=16, batch_size=5)
    tables = [pq.read_table(r.folder / "nuclei.parquet").drop(["id"]).to_pylist() for r in (finished, other)]
    tables = [sorted(table, key=lambda row: (row["y"], row["x"])) for table in tables]
    assert tables[0] == tables[1]
    for name in ("tissue.geojson", "tissue.ome.tif"):
        assert (other.folder / name).read_bytes() == (finished.folder / name).read_bytes()


def test_errors_of_workers_reach_the_user(slide, tmp_path):
    def no_weights(precision):
        raise ValueError("no weights")

    assert "no weights" in run(slide, tmp_path, InlineWorkers(no_weights)).error


def test_results_say_where_their_pixels_lie(slide, finished):
    place = {"origin": "bounds", "origin_x_px": 0, "origin_y_px": 0}
    assert {name: finished.summary[name] for name in place} == place
    assert finished.summary["unscanned"] == {"missing_tiles": 0, "fraction": 0.0, "area_um2": 0.0}
    table = json.loads(pq.read_metadata(finished.folder / "nuclei.parquet").metadata[b"coseg"])
    assert table == {"slide": str(slide.resolve()), **place}
    for name in ("nuclei.geojson", "tissue.geojson"):
        assert json.loads((finished.folder / name).read_text())["coseg"] == place


def test_missing_tiles_are_counted_and_hold_no_nuclei(slide, finished, tmp_path):
    path = tmp_path / "holes.tif"
    path.write_bytes(slide.read_bytes())
    with tifffile.TiffFile(path) as file:
        across, side = file.pages[0].chunked[1], file.pages[0].tilewidth
    result = run(without_tiles(path, (400 // side) * across + 400 // side), tmp_path / "out")  # with pixel (400, 400)
    assert result.error is None
    assert result.summary["unscanned"]["missing_tiles"] == 1
    assert result.summary["unscanned"]["area_um2"] == pytest.approx(side**2 / 16, rel=0.05)
    corner = 400 // side * side
    table = pq.read_table(tmp_path / "out" / "nuclei.parquet")
    x, y = (table[axis].to_numpy() for axis in "xy")
    inside = (np.abs(x - corner - side / 2) < side / 2 - 2) & (np.abs(y - corner - side / 2) < side / 2 - 2)
    assert not inside.any()
    assert 0 < finished.summary["nuclei"] - table.num_rows < 200

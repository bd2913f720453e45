import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.measures.files import NUCLEI, RECORD, read_rows
from coseg_bundle.measures.groups.rows import QUANTILES
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.opening import open_source
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.wsi.segment.foreground import GLASS, TISSUE


def write_regions(path, **polygons):
    features = [
        {"type": "Feature", "geometry": shapely.geometry.mapping(polygon), "properties": {"name": name}}
        for name, polygon in polygons.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture(scope="module")
def quarters(tmp_path_factory):
    """Regions that part the slide."""
    boxes = {"a": (0, 0, 411, 323), "b": (411, 0, 900, 323), "c": (0, 323, 411, 700), "d": (411, 323, 900, 700)}
    file = tmp_path_factory.mktemp("regions") / "regions.geojson"
    return write_regions(file, **{name: shapely.box(*box) for name, box in boxes.items()})


@pytest.fixture(scope="module")
def measured(slide, quarters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measures")
    with open_source(slide) as source:
        found = measure(source, folder, Wanted(grid_um=30.0, regions=quarters, csv=True))
    return folder, found


def test_files(measured):
    folder, found = measured
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "nuclei.parquet",
        "nuclei.csv",
        "slide.csv",
        "tissue.csv",
        "classes.csv",
        "regions.csv",
        "grid.csv",
        RECORD,
    }
    assert json.loads((folder / RECORD).read_text()) == found.record
    assert found.record["left_out"] == []
    assert found.refused == ()


@pytest.mark.parametrize("name", ["tissue", "regions", "grid"])
def test_sums_of_parts_are_the_slide(measured, name):
    _, found = measured
    slide, parts = found.tables["slide"], found.tables[name]
    counted = [column for column in slide if column.startswith("nuclei") and not column.endswith("_per_mm2")]
    counted = [c for c in counted if not c.startswith("nuclei_prob")]
    added = [c for c in counted if not c.endswith(("_low", "_high"))] + [c for c in slide if c.endswith("_mm2")]
    for column in added:
        if "per_mm2" not in column:
            np.testing.assert_allclose(np.nansum(parts[column]), slide[column][0], rtol=1e-9, err_msg=column)
    assert len(parts["name"]) > 1
    assert slide["nuclei"][0] > 400
    assert parts["share"].sum() == pytest.approx(1)


def test_the_slide_is_what_the_results_say(slide, measured):
    _, found = measured
    summary = json.loads((slide / "summary.json").read_text())
    table = found.tables["slide"]
    assert table["nuclei"][0] == summary["nuclei"]
    assert table["nuclei_type_0"][0] == summary["nuclei_by_class"]["type 0"]
    assert table["tissue_gland_mm2"][0] == pytest.approx(summary["tissue_area_um2"]["gland"] * 1e-6, rel=1e-3)
    assert table["area_mm2"][0] == pytest.approx(900 * 700 * 0.25**2 * 1e-6, rel=0.01)
    assert table["nuclei_per_mm2"][0] == pytest.approx(table["nuclei"][0] / table["area_mm2"][0])
    assert found.tables["classes"]["nuclei"].sum() == summary["nuclei"]


def test_every_nucleus_has_a_row(slide, measured):
    folder, _ = measured
    before, after = pq.read_table(slide / NUCLEI), pq.read_table(folder / NUCLEI)
    for column in before.column_names:
        assert before[column].to_pylist() == after[column].to_pylist(), column
    geo = json.loads(pq.read_schema(folder / NUCLEI).metadata[b"geo"])
    polygons = shapely.from_wkb(after["geometry"].to_numpy())
    np.testing.assert_allclose(geo["columns"]["geometry"]["bbox"], shapely.total_bounds(polygons))
    x, y = after["x"].to_numpy(), after["y"].to_numpy()
    expected = np.where(y < 323, np.where(x < 411, "a", "b"), np.where(x < 411, "c", "d"))
    assert after["region"].to_pylist() == expected.tolist()
    with (folder / "nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == after["id"].to_pylist()
    assert float(rows[7]["solidity"]) == pytest.approx(after["solidity"][7].as_py(), rel=1e-5)
    assert set(after.column_names) >= {"haematoxylin_od", "ring_eosin_od", "nearest_type_0_um", "local_density_per_mm2"}


def test_means_and_quantiles_as_numpys(measured):
    folder, found = measured
    nuclei = pq.read_table(folder / NUCLEI)
    region = np.array(nuclei["region"].to_pylist())
    for column in ("area_um2", "nearest_um", "haematoxylin_od"):
        values = nuclei[column].to_numpy()
        for row, name in enumerate(found.tables["regions"]["name"]):
            inside = values[region == name].astype(float)
            assert found.tables["regions"][f"{column}_mean"][row] == pytest.approx(np.nanmean(inside))
            for q in QUANTILES:
                expected = np.nanquantile(inside, q)
                assert found.tables["regions"][f"{column}_q{round(100 * q)}"][row] == pytest.approx(expected)


def test_tables_are_written_as_they_are(measured):
    folder, found = measured
    rows = read_rows(folder / "regions.csv")
    assert [row["name"] for row in rows] == ["a", "b", "c", "d"]
    assert [int(row["nuclei"]) for row in rows] == found.tables["regions"]["nuclei"].tolist()
    assert list(rows[0]) == list(found.tables["regions"])


def test_overlapping_regions_count_twice_and_bad_ones_are_named(slide, tmp_path):
    regions = write_regions(
        tmp_path / "r.geojson",
        all=shapely.box(0, 0, 900, 700),
        half=shapely.box(0, 0, 450, 700),
        outside=shapely.box(2000, 0, 2100, 50),
        crossed=shapely.Polygon([(0, 0), (99, 99), (99, 0), (0, 99)]),
    )
    with open_source(slide) as source:
        found = measure(source, tmp_path, Wanted(regions=regions, stains=False))
    table = found.tables["regions"]
    assert table["name"].tolist() == ["all", "half"]
    assert table["nuclei"][0] == found.tables["slide"]["nuclei"][0]
    assert [sentence.partition(": ")[2] for sentence in found.refused] == [
        "region 3 (outside) lies outside the slide of 900 x 700 px; it is left out.",
        "region 4 (crossed) crosses itself at 49.5 49.5; it is left out.",
    ]
    inside = pq.read_table(tmp_path / NUCLEI, columns=["region"])["region"].to_pylist()
    assert set(inside) == {"all", "all | half"}
    assert "haematoxylin_od" not in pq.read_schema(tmp_path / NUCLEI).names


def test_regions_of_tissue(slide, tmp_path):
    with open_source(slide) as source:
        found = measure(source, tmp_path, Wanted(by_region=True, stains=False))
    table = found.tables["regions"]
    assert set(table["class"]) == {"gland"}
    gland = found.tables["tissue"]["nuclei"][1]
    assert abs(table["nuclei"].sum() - gland) <= 2  # on the very border the map's pixel and its outline may differ
    assert table["area_mm2"].sum() == pytest.approx(found.tables["tissue"]["area_mm2"][1], rel=0.01)


def test_a_slide_that_is_gone_has_no_colours(slide, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(slide, folder)
    summary = json.loads((folder / "summary.json").read_text()) | {"slide": str(tmp_path / "gone.svs")}
    (folder / "summary.json").write_text(json.dumps(summary))
    with open_source(folder) as source:
        found = measure(source, tmp_path, Wanted())
    assert "is no longer there" in found.record["left_out"][0]
    assert "haematoxylin_od" not in pq.read_schema(tmp_path / NUCLEI).names
    with open_source(folder, slide.parent / "slide.tif") as source:
        assert measure(source, tmp_path, Wanted()).record["left_out"] == []
    (folder / "foreground.tif").unlink()
    with (
        pytest.raises(ResultsFolderError, match=r"does not say where there is glass \(foreground.tif is missing\)"),
        open_source(folder),
    ):
        pass


def test_the_map_of_glass_may_have_another_size_but_no_other_shape(slide, tmp_path):
    """How large it is, a run chooses by its own rules: results of former versions are measured as they are."""
    folder = tmp_path / "former"
    copy_without_sizes(slide, folder)
    with open_source(folder) as source:
        whole = measure(source, tmp_path, Wanted(stains=False)).tables["slide"]["area_mm2"][0]
    kinds = tifffile.imread(folder / "foreground.tif")
    tifffile.imwrite(folder / "foreground.tif", kinds[::2, ::2])
    with open_source(folder) as source:
        halved = measure(source, tmp_path, Wanted(stains=False)).tables["slide"]["area_mm2"][0]
    assert halved == pytest.approx(whole, rel=0.05)
    tifffile.imwrite(folder / "foreground.tif", kinds[::2])
    with (
        pytest.raises(ResultsFolderError, match=r"foreground\.tif is broken \(uint8 of shape .*make the results anew"),
        open_source(folder),
    ):
        pass


def test_what_could_not_be_read_has_no_area(slide, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(slide, folder)
    broken = [{"x": 100, "y": 0, "width": 200, "height": 100, "reason": "a tile is broken"}]
    summary = json.loads((folder / "summary.json").read_text()) | {"unreadable_tiles": broken}
    (folder / "summary.json").write_text(json.dumps(summary))
    with open_source(slide) as whole, open_source(folder) as part:
        before = measure(whole, tmp_path, Wanted(stains=False)).tables["slide"]["area_mm2"][0]
        found = measure(part, tmp_path, Wanted(stains=False))
    assert before - found.tables["slide"]["area_mm2"][0] == pytest.approx(200 * 100 * 0.25**2 * 1e-6)
    assert found.record["left_out"] == [
        "1 tiles that could not be read (a tile is broken)",
        "neighbours, local densities and distances that reach out of what was segmented",
    ]


@pytest.mark.parametrize("rows", [0, 100])
def test_nuclei_where_no_tissue_was_found_are_a_doubt(slide, tmp_path, rows):
    """Densities count them, and areas leave their ground out: 89 nuclei on 0.0002 mm2 had no doubt."""
    with open_source(slide) as source:
        kinds = np.full(source.plane.shape, TISSUE, np.uint8)
        kinds[:rows] = GLASS
        changed = replace(source, plane=replace(source.plane, kinds=kinds), about={})
        found = measure(changed, tmp_path, Wanted(stains=False))
        y = pq.read_table(tmp_path / NUCLEI)["y"].to_numpy()
        outside = int((y < rows * source.plane.px).sum())
    assert found.tables["slide"]["nuclei"][0] == len(y)  # none is lost
    doubts = found.record["results"]["doubts"]
    assert bool(doubts) == bool(rows)
    if rows:
        assert 0 < outside < len(y)
        assert doubts[0].startswith(f"{outside} of {len(y)} nuclei lie where no tissue was found (glass ")


def test_an_image(image, tmp_path):
    with open_source(image) as source:
        found = measure(source, tmp_path, Wanted(by_region=True))
    table, summary = found.tables["slide"], json.loads((image / "summary.json").read_text())
    assert table["nuclei"][0] == summary["nuclei"] == found.tables["tissue"]["nuclei"].sum()
    assert table["area_um2_mean"][0] == pytest.approx(np.mean(pq.read_table(tmp_path / NUCLEI)["area_um2"].to_numpy()))
    assert found.tables["regions"]["class"].tolist() == ["gland"]
    assert table["tissue_gland_mm2"][0] == pytest.approx(100 * 160 * 0.25e-6, rel=0.02)
    border = pq.read_table(tmp_path / NUCLEI)["tissue_border_um"].to_numpy()
    x = pq.read_table(tmp_path / NUCLEI)["x"].to_numpy()
    np.testing.assert_allclose(border, np.abs(x - 100) * 0.5, atol=0.5)


def copy_without_sizes(results, folder):
    """As former versions wrote it, so that what is in the files is looked at."""
    shutil.copytree(results, folder)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"files": list(summary["files"])}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "nuclei.csv").unlink(), r"no finished image \(nuclei.csv is missing\)"),
        (lambda folder: (folder / "summary.json").write_text("{"), "is broken"),
        (lambda folder: (folder / "summary.json").unlink(), r"no finished results \(summary.json is missing\)"),
        (
            lambda folder: (folder / "nuclei.geojson").write_text('{"features":[]}'),
            "nuclei.csv and nuclei.geojson do not fit",
        ),
    ],
)
def test_damaged_folders_are_one_sentence(image, tmp_path, damage, words):
    copy_without_sizes(image, tmp_path / "results")
    damage(tmp_path / "results")
    with pytest.raises(ResultsFolderError, match=words), open_source(tmp_path / "results"):
        pass


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"features":3}', '{"features":[{}]}'])
def test_outlines_that_are_none(image, tmp_path, text):
    copy_without_sizes(image, tmp_path / "results")
    (tmp_path / "results" / "nuclei.geojson").write_text(text)
    with pytest.raises(ResultsFolderError, match=r"nuclei\.csv and nuclei\.geojson do not fit"):
        with open_source(tmp_path / "results"):
            pass


def test_a_table_without_its_rows(image, tmp_path):
    copy_without_sizes(image, tmp_path / "results")
    header = (tmp_path / "results" / "nuclei.csv").read_text().splitlines()[0]
    (tmp_path / "results" / "nuclei.csv").write_text(header + "\n")
    with pytest.raises(ResultsFolderError, match=r"nuclei\.csv has 0 nuclei, and summary\.json says \d+; run coseg"):
        with open_source(tmp_path / "results"):
            pass


def test_a_tissue_map_of_another_slide(slide, tmp_path):
    copy_without_sizes(slide, tmp_path / "results")
    tifffile.imwrite(tmp_path / "results" / "tissue.ome.tif", np.zeros((4, 5), np.uint8))
    with pytest.raises(ResultsFolderError, match=r"tissue\.ome\.tif has 5 x 4 pixels of \S+ um, which are not"):
        with open_source(tmp_path / "results"):
            pass


def test_an_image_without_a_resolution(image, tmp_path):
    shutil.copytree(image, tmp_path / "results")
    summary = json.loads((image / "summary.json").read_text()) | {"mpp": None}
    (tmp_path / "results" / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ResultsFolderError, match="microns per pixel are not known; give them with --mpp"):
        with open_source(tmp_path / "results"):
            pass
    with open_source(tmp_path / "results", mpp=0.25) as source:
        assert source.mpp == 0.25


QUPATH = {"type": "Feature", "properties": {"objectType": "detection", "classification": {"name": "Tumor"}}}
CELLVIT = {"type": "Feature", "properties": {"objectType": "detection", "classification": {"name": "Inflammatory"}}}


@pytest.fixture
def foreign(tmp_path):
    """Nuclei as QuPath and StarDist write them (a polygon each), and all of a class in one, as CellViT does."""
    discs = [shapely.Point(x, 40).buffer(8) for x in range(20, 200, 30)]
    features = [{**QUPATH, "geometry": shapely.geometry.mapping(disc)} for disc in discs]
    others = shapely.MultiPolygon([shapely.Point(x, 100).buffer(6) for x in range(20, 200, 60)])
    features.append({**CELLVIT, "geometry": shapely.geometry.mapping(others)})
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_nuclei_of_others(foreign, tmp_path):
    regions = write_regions(tmp_path / "r.geojson", left=shapely.box(0, 0, 100, 150))
    with open_source(foreign, mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted(regions=regions, grid_um=50.0))
    slide, region = found.tables["slide"], found.tables["regions"]
    assert (slide["nuclei"][0], slide["nuclei_Tumor"][0], slide["nuclei_Inflammatory"][0]) == (9, 6, 3)
    assert np.isnan(slide["area_mm2"][0])  # nothing says where there is tissue
    assert np.isnan(slide["nuclei_low"][0])
    assert region["area_mm2"][0] == pytest.approx(100 * 150 * 0.25e-6)
    assert region["nuclei"][0] == 5
    cells = found.tables["grid"]
    assert cells["nuclei"].sum() == 9
    assert all(np.isnan(cells[name]).all() for name in ("area_mm2", "share", "nuclei_per_mm2", "nuclei_Tumor_per_mm2"))
    assert "inflammatory" in found.record["taken_for"]
    assert any("glass, since the slide is not at hand" in sentence for sentence in found.record["left_out"])
    nuclei = pq.read_table(tmp_path / NUCLEI)
    np.testing.assert_allclose(nuclei["area_um2"].to_numpy()[:6], np.pi * 16, rtol=0.01)
    np.testing.assert_allclose(nuclei["circularity"].to_numpy(), 1, atol=0.01)
    assert nuclei["haematoxylin_od"].to_pylist() == [None] * 9 if "haematoxylin_od" in nuclei.column_names else True


def test_nuclei_of_others_on_their_slide(foreign, image, tmp_path):
    with open_source(foreign, image.parent / "image.png", 0.5) as source:
        found = measure(source, tmp_path, Wanted())
    assert found.tables["slide"]["area_mm2"][0] == pytest.approx(200 * 160 * 0.25e-6, rel=0.02)
    assert "haematoxylin_od" in pq.read_schema(tmp_path / NUCLEI).names
    assert found.record["stains_mpp"] == 0.5
    with open_source(foreign, image.parent / "image.png", 0.24) as source:
        assert measure(source, tmp_path, Wanted()).record["stains_mpp"] == 0.48
        assert measure(source, tmp_path, Wanted(stains=False)).record["stains_mpp"] is None


def test_broken_features_of_others_are_refused(foreign, tmp_path):
    content = json.loads(foreign.read_text())
    content["features"].append({**QUPATH, "geometry": None})
    foreign.write_text(json.dumps(content))
    with open_source(foreign, mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted())
    assert found.refused == (f"{foreign}: feature 8: it has no geometry; it is left out.",)
    assert found.record["refused"] == list(found.refused)
    assert found.record["nuclei"] == 9


def test_nuclei_of_others_beside_their_slide(foreign, image, tmp_path):
    content = json.loads(foreign.read_text())
    far = {**QUPATH, "geometry": shapely.geometry.mapping(shapely.box(5000, 0, 5010, 10))}
    foreign.write_text(json.dumps({**content, "features": [*content["features"], far]}))
    with open_source(foreign, image.parent / "image.png", 0.5) as source:
        assert (source.count, source.left_out[-1]) == (9, "left out: 1 nuclei that lie beside the image")
    foreign.write_text(json.dumps({**content, "features": [far]}))
    with pytest.raises(ImageFileError, match="got 1 that all lie beside it"):
        with open_source(foreign, image.parent / "image.png", 0.5):
            pass


def test_other_paths(foreign, tmp_path):
    with pytest.raises(ImageFileError, match="does not say microns per pixel"), open_source(foreign):
        pass
    with pytest.raises(ImageFileError, match="file not found"):
        open_source(tmp_path / "none.geojson")
    (tmp_path / "slide.svs").touch()
    with pytest.raises(ImageFileError, match=r"got \.svs; segment it first"):
        open_source(tmp_path / "slide.svs")
    hovernet = tmp_path / "hovernet.json"
    hovernet.write_text('{"nuc": {"1": {"contour": [[1, 1], [5, 1], [5, 5]]}}}')
    words = r"hovernet\.json: expected a GeoJSON FeatureCollection of polygons, got HoVer-Net's JSON; export it again"
    with pytest.raises(ImageFileError, match=words), open_source(hovernet, mpp=0.5):
        pass
    with open_source(foreign, mpp=0.5) as source, pytest.raises(ImageFileError, match="regions of what"):
        measure(source, tmp_path, Wanted(by_region=True))


def test_no_nuclei(tmp_path):
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with open_source(path, mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted())
    assert found.tables["slide"]["nuclei"][0] == 0
    assert pq.read_metadata(tmp_path / NUCLEI).num_rows == 0


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"tumour": ["a"]}, "Expected the roles tumor, stroma, inflammatory, got tumour"),
        ({"tumor": "Krebs"}, "Expected for the role tumor a list of classes, got 'Krebs'"),
    ],
)
def test_roles_are_lists_of_classes(roles, words):
    with pytest.raises(ValueError, match=words):
        Wanted(roles=roles)

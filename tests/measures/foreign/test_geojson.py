import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from scn import CORNER, write_scn
from standin import write_slide

from coseg_bundle.cli import main
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.measures.files import NUCLEI, read_rows
from coseg_bundle.measures.foreign.geojson import foreign_nuclei
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.opening import open_source
from coseg_bundle.writers.folders import ResultsFolderError

GLASS, STAINED, NUCLEUS = (240, 240, 240), (225, 150, 190), (90, 50, 140)


def write_nuclei(path, boxes, names=None, **members):
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shapely.box(*box)),
            "properties": {"objectType": "detection", "classification": {"name": name}},
        }
        for box, name in zip(boxes, names or ["a"] * len(boxes), strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": features}))
    return path


def test_one_damaged_tile_does_not_turn_the_glass_around_it_into_tissue(tmp_path):
    rgb = np.full((768, 1024, 3), GLASS, np.uint8)
    rgb[100:300, 100:300] = STAINED
    sound = write_slide(tmp_path / "sound.tif", rgb, 0.5, levels=1)
    content = bytearray(sound.read_bytes())
    with tifffile.TiffFile(sound) as file:
        start, count = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    content[start : start + count] = bytes([7]) * count
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(content)
    nuclei = write_nuclei(tmp_path / "n.geojson", [(150, 150, 160, 160)])
    areas = []
    for slide in (sound, damaged):
        with foreign_nuclei(nuclei, slide) as source:
            areas.append(measure(source, tmp_path, Wanted(stains=False)).tables["slide"]["area_mm2"][0])
    assert areas[1] == areas[0]
    assert 0.01 < areas[0] < 0.012  # 200 x 200 px of 0.5 um, and a rim of few px
    assert source.left_out == ("8.3 % of the slide, which cannot be read",)  # one of twelve tiles


@pytest.mark.parametrize(("members", "corner"), [({}, (0, 0)), ({"coseg": {"origin": "canvas"}}, CORNER)])
def test_nuclei_lie_where_their_file_says(tmp_path, members, corner):
    """And ASAP's regions, which count from the corner of the glass, with them."""
    rgb = np.full((256, 512, 3), STAINED, np.uint8)
    rgb[100:110, 200:210] = NUCLEUS
    slide = write_scn(tmp_path / "a.scn", rgb)
    x, y = 200 + corner[0], 100 + corner[1]
    nuclei = write_nuclei(tmp_path / "n.geojson", [(x, y, x + 10, y + 10)], **members)
    points = [(CORNER[0] + dx, CORNER[1] + dy) for dx, dy in ((190, 90), (220, 90), (220, 120), (190, 120))]
    corners = "".join(f'<Coordinate Order="{i}" X="{px}" Y="{py}"/>' for i, (px, py) in enumerate(points))
    regions = tmp_path / "regions.xml"
    regions.write_text(
        '<ASAP_Annotations><Annotations><Annotation Name="A" Type="Polygon" PartOfGroup="None">'
        f"<Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )
    with foreign_nuclei(nuclei, slide, 0.25) as source:
        found = measure(source, tmp_path, Wanted(regions=regions))
    assert found.tables["regions"]["nuclei"].tolist() == [1]
    assert found.tables["slide"]["haematoxylin_od_mean"][0] > 0.4


def on_glass(tmp_path, shift=CORNER):
    """A slide with four nuclei of 10 px on its tissue, which count from the corner of the glass."""
    rgb = np.full((512, 1024, 3), GLASS, np.uint8)
    rgb[:, :512] = STAINED
    places = [(30 + 60 * i + shift[0], 100 + shift[1]) for i in range(4)]
    slide = write_scn(tmp_path / "a.scn", rgb)
    return slide, write_nuclei(tmp_path / "n.geojson", [(x, y, x + 10, y + 10) for x, y in places])


def test_nuclei_of_programs_that_count_from_the_corner_of_the_glass(tmp_path):
    """CellViT and TIAToolbox read with OpenSlide: their nuclei were measured beside where they lie."""
    slide, nuclei = on_glass(tmp_path)
    with foreign_nuclei(nuclei, slide, 0.25, "canvas") as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    assert (found.tables["slide"]["nuclei"][0], found.record["origin"]) == (4, "canvas")
    assert found.record["results"]["doubts"] == []
    with pytest.raises(ImageFileError, match="0 of 4 nuclei lie on tissue, and 4 if they count from the corner"):
        with foreign_nuclei(nuclei, slide, 0.25):
            pass


def test_regions_of_qupath_on_nuclei_that_count_from_the_glass(tmp_path):
    """They were taken for as far from the corner of the glass as they are from that of the scan: 0 nuclei for 2."""
    slide, nuclei = on_glass(tmp_path)
    regions = write_nuclei(tmp_path / "regions.geojson", [(20, 90, 120, 120)])
    content = json.loads(regions.read_text())
    content["features"][0]["properties"] = {"objectType": "annotation", "name": "left"}
    regions.write_text(json.dumps(content))
    for place, count in ({}, 2), ({"coseg": {"origin": "canvas"}}, 0):  # our own say where they count from
        regions.write_text(json.dumps(content | place))
        with foreign_nuclei(nuclei, slide, 0.25, "canvas") as source:
            found = measure(source, tmp_path, Wanted(stains=False, regions=regions))
        assert found.tables["regions"]["nuclei"].tolist() == [count]


def test_nuclei_that_lie_better_on_the_whole_glass_are_a_doubt(tmp_path):
    slide, nuclei = on_glass(tmp_path, (CORNER[0] - 120, CORNER[1]))  # of which one is still on the slide, on glass
    other = json.loads(nuclei.read_text())
    other["features"] += json.loads(write_nuclei(tmp_path / "o.geojson", [(20, 30, 40, 50)]).read_text())["features"]
    nuclei.write_text(json.dumps(other))
    with foreign_nuclei(nuclei, slide, 0.25) as source:
        [doubt] = source.about["doubts"]
    assert doubt.startswith("1 of 5 nuclei lie on tissue, and 2 if they count from the corner of the glass")
    with foreign_nuclei(write_nuclei(tmp_path / "o.geojson", [(20, 30, 40, 50)]), slide, 0.25) as source:
        assert source.about["doubts"] == []


def test_an_origin_that_a_file_or_a_folder_says_itself(image, tmp_path):
    ours = write_nuclei(tmp_path / "n.geojson", [(0, 0, 9, 9)], coseg={"origin": "canvas"})
    with foreign_nuclei(ours, mpp=0.5, given="canvas") as source:
        assert source.origin == "canvas"
    with pytest.raises(ImageFileError, match="its nuclei count with --origin canvas, as it says; leave bounds away"):
        with foreign_nuclei(ours, mpp=0.5, given="bounds"):
            pass
    with pytest.raises(ResultsFolderError, match="leave --origin away"):
        open_source(image, origin="canvas")


def test_a_place_that_nothing_means(tmp_path):
    for member in ("glass", {"origin": "glass"}, {"origin": ["canvas"]}, {"origin_x_px": "left"}):
        path = write_nuclei(tmp_path / "n.geojson", [(0, 0, 9, 9)], coseg=member)
        with pytest.raises(ImageFileError, match=r"expected a member coseg that says where \(0, 0\) lies"):
            with foreign_nuclei(path, mpp=0.5):
                pass


def test_nuclei_count_where_their_centroids_are(tmp_path):
    """As in our own results: what touches the slide from beside it is not on it."""
    slide = write_slide(tmp_path / "a.tif", np.full((200, 300, 3), STAINED, np.uint8), 0.5)
    boxes = [(10, 10, 20, 20), (-8, 50, 2, 60), (295, 50, 305, 60), (296, 80, 302, 90), (50, 199, 60, 209)]
    with foreign_nuclei(write_nuclei(tmp_path / "n.geojson", boxes), slide) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    assert found.tables["slide"]["nuclei"][0] == source.count == 2
    assert pq.read_table(tmp_path / NUCLEI)["x"].to_pylist() == [15, 299]
    assert "3 nuclei whose centroids lie outside the slide" in found.record["left_out"]


def test_classes_of_an_annotation_store_of_tiatoolbox(tmp_path):
    """`AnnotationStore.to_geojson` of version 2.1 writes the properties that HoVer-Net's engine gave."""
    classes = ["neoplastic epithelial", "Inflammatory", "Connective"]
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shapely.box(20 * i, 0, 20 * i + 10, 10)),
            "properties": {"box": [20 * i, 0, 20 * i + 10, 10], "centroid": [20 * i + 5, 5], "prob": 0.9, "type": name},
        }
        for i, name in enumerate([*classes, "Connective"])
    ]
    (tmp_path / "n.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with foreign_nuclei(tmp_path / "n.geojson", mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted())
    assert source.nuclei_classes.names[1:] == tuple(sorted(classes))
    columns = found.record["columns"]["nuclei"]
    assert [found.tables["slide"][columns[name]][0] for name in classes] == [1, 1, 2]


def test_nuclei_of_ours_have_the_perimeters_that_they_have_in_their_results(image, tmp_path):
    """Their steps counted: perimeters were longer by a fifteenth, and nothing said so."""
    measured = []
    for path in (image, image / "nuclei.geojson"):
        with open_source(path, image.parent / "image.png", mpp=0.5) as source:
            assert source.outline_px == 1
            measure(source, tmp_path, Wanted(stains=False))
        measured.append(pq.read_table(tmp_path / NUCLEI)["perimeter_um"].to_numpy())
    np.testing.assert_allclose(*measured, rtol=1e-6)
    content = json.loads((image / "nuclei.geojson").read_text())
    frame = shapely.geometry.mapping(shapely.box(0, 0, 200, 160))
    region = {"objectType": "annotation", "classification": {"name": "Region*"}}
    content["features"].append({"type": "Feature", "properties": region, "geometry": frame})
    (tmp_path / "label.geojson").write_text(json.dumps(content))
    with open_source(tmp_path / "label.geojson", mpp=0.5) as source:
        assert source.outline_px == 0  # saved corrections: a person drew some of them


@pytest.mark.parametrize(("twice", "is_said"), [(0, False), (1, False), (2, True), (40, True)])
def test_nuclei_that_were_found_twice_are_a_doubt(tmp_path, twice, is_said):
    """A detection that was run twice counted double, and nothing said so."""
    places = [(20 * i, 0, 20 * i + 10, 10) for i in range(40)]
    moved = [(x0 + 1, y0, x1 + 1, y1) for x0, y0, x1, y1 in places[:twice]]  # half a micron
    with foreign_nuclei(write_nuclei(tmp_path / "n.geojson", [*places, *moved]), mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    said = f"{2 * twice} of {40 + twice} nuclei lie within 1 um of another: were they found twice? Counts and densities"
    assert any(doubt.startswith(said) for doubt in found.record["results"]["doubts"]) == is_said


def test_left_of_the_corner_there_is_no_slide(tmp_path):
    """Nuclei there counted in regions and cells, whose areas ended at the corner: 3300 per mm2 instead of 825."""
    places = [(x, y, x + 10, y + 10) for x in range(-195, 200, 20) for y in range(-195, 200, 20)]
    region = shapely.geometry.mapping(shapely.box(-200, -200, 200, 200))
    content = {"type": "Feature", "properties": {"objectType": "annotation", "name": "corner"}, "geometry": region}
    (tmp_path / "r.geojson").write_text(json.dumps(content))
    with foreign_nuclei(write_nuclei(tmp_path / "n.geojson", places), mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted(regions=tmp_path / "r.geojson", grid_um=50.0))
        assert source.notes == (f"{tmp_path / 'n.geojson'}: left out: 300 nuclei that lie beside the image",)
    regions, grid = found.tables["regions"], found.tables["grid"]
    assert regions["area_mm2"].tolist() == [0.01]
    assert regions["nuclei"].tolist() == [100]
    assert regions["nuclei_per_mm2"].tolist() == [10_000]
    assert grid["nuclei"].tolist() == [25] * 4
    assert any("reaches beyond the slide and is cut" in sentence for sentence in found.record["left_out"])


def test_classes_that_are_called_as_other_columns_are(tmp_path):
    """They took the place of the bounds of the count of all nuclei, and of each other."""
    names = ["low", "high", "expected", "per_mm2", "prob_mean", "a b", "a_b", "a_b_low"]
    places = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]  # 20 um from one to the next
    path = write_nuclei(tmp_path / "n.geojson", places, [*names, "a b", "low"])
    with foreign_nuclei(path, mpp=1.0) as source:
        found = measure(source, tmp_path, Wanted())
    slide, columns = found.tables["slide"], found.record["columns"]
    assert slide["nuclei"][0] == 10
    assert all(np.isnan(slide[f"nuclei_{bound}"][0]) for bound in ("expected", "low", "high", "per_mm2"))
    counts = {name: slide[column][0] for name, column in columns["nuclei"].items()}
    assert counts == {**dict.fromkeys(names, 1), "a b": 2, "low": 2}
    assert columns["nuclei"]["low"] == "nuclei_low_2"
    assert len(set(columns["nuclei"].values())) == len(names)
    table = pq.read_table(tmp_path / NUCLEI)
    assert len(set(table.column_names)) == len(table.column_names)
    first = {name: table[column][0].as_py() for name, column in columns["nearest"].items()}
    assert first == {name: 20 * (i or 9) for i, name in enumerate(names)}


@pytest.mark.parametrize("mpp", [0.3, 0.26, 0.5])
def test_regions_that_part_the_slide_add_up_to_it(tmp_path, mpp):
    """Its last pixels of 1 um reach out of it, and belonged to no region."""
    slide = write_slide(tmp_path / "a.tif", np.full((203, 301, 3), STAINED, np.uint8), mpp)
    halves = [shapely.box(0, 0, 120, 203), shapely.box(120, 0, 301, 203)]
    features = [{"type": "Feature", "geometry": shapely.geometry.mapping(half), "properties": {}} for half in halves]
    regions = tmp_path / "regions.geojson"
    regions.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with foreign_nuclei(write_nuclei(tmp_path / "n.geojson", [(10, 10, 20, 20)]), slide) as source:
        tables = measure(source, tmp_path, Wanted(stains=False, regions=regions, grid_um=20.0)).tables
    whole = tables["slide"]["area_mm2"][0]
    assert tables["regions"]["area_mm2"].sum() == pytest.approx(whole, rel=1e-12)
    assert tables["grid"]["area_mm2"].sum() == pytest.approx(whole, rel=1e-12)
    columns, rows = (sum(centre < side * mpp for centre in np.arange(0.5, 200)) for side in (301, 203))
    assert whole == pytest.approx(columns * rows * 1e-6)


def with_region(path, *boxes):
    """The file with a `Region*` around each box."""
    content = json.loads(path.read_text())
    drawn = {"objectType": "annotation", "classification": {"name": "Region*"}}
    content["features"] += [
        {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.box(*box)), "properties": drawn}
        for box in boxes
    ]
    path.write_text(json.dumps(content))
    return path


def test_areas_are_those_of_the_regions_that_hold_all_nuclei(tmp_path):
    """As in saved corrections, whose nuclei were divided by the tissue of the whole slide."""
    slide = write_slide(tmp_path / "a.tif", np.full((200, 300, 3), STAINED, np.uint8), 1.0)
    boxes = [(20, 20, 30, 30), (60, 20, 70, 30), (55, 50, 65, 60)]
    nuclei = with_region(write_nuclei(tmp_path / "n.geojson", boxes), (10, 10, 60, 110), (50, 10, 110, 60))
    with foreign_nuclei(nuclei, slide) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    row = found.tables["slide"]
    assert row["nuclei"][0] == 3
    assert row["area_mm2"][0] == pytest.approx((50 * 100 + 60 * 50 - 10 * 50) * 1e-6, rel=1e-9)
    assert row["nuclei_per_mm2"][0] == pytest.approx(3 / 7500e-6)
    assert "all outside of the file's 2 Region*, which hold all of its nuclei" in found.record["left_out"]
    assert "neighbours, local densities and distances that reach out of what was segmented" in found.record["left_out"]


def test_regions_beside_nuclei_limit_nothing_and_that_is_said(tmp_path):
    slide = write_slide(tmp_path / "a.tif", np.full((200, 300, 3), STAINED, np.uint8), 1.0)
    path = write_nuclei(tmp_path / "n.geojson", [(20, 20, 30, 30), (160, 20, 170, 30)])
    with foreign_nuclei(with_region(path, (10, 10, 110, 110)), slide) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    assert found.tables["slide"]["area_mm2"][0] == pytest.approx(200 * 300 * 1e-6)
    said = "areas are the whole slide's, though the file has 1 Region*: 1 nuclei lie outside"
    assert said in found.record["left_out"]


def test_a_resolution_that_nuclei_speak_against_is_in_doubt(tmp_path):
    """Of nuclei 24 px wide: 6 um at 0.25 um per pixel, and 24 um where tissue was taken for nuclei, or mpp is wrong."""
    places = [(40 * i, 0, 40 * i + 24, 24) for i in range(100)]
    path = write_nuclei(tmp_path / "n.geojson", places)
    with foreign_nuclei(path, mpp=0.25) as source:
        assert source.about == {"doubts": []}
    with foreign_nuclei(path, mpp=1.0) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    [said] = found.record["results"]["doubts"]
    assert said == "the nuclei are 27.1 um wide, those of tissue 3.5 to 8.5: is the resolution right?"
    slide = write_slide(tmp_path / "a.tif", np.full((64, 64, 3), STAINED, np.uint8), 0.5)
    with foreign_nuclei(write_nuclei(path, places[:1]), slide, 0.25) as source:
        assert source.about == {"doubts": ["the file says 0.5 um per pixel, and 0.25 was given: is that right?"]}


def test_background_is_a_class_of_nuclei_to_who_calls_them_so(tmp_path):
    """It failed with "'list' argument must have no negative elements"."""
    places = [(10 * i, 0, 10 * i + 6, 6) for i in range(4)]
    path = write_nuclei(tmp_path / "n.geojson", places, ["background", "a", "b", "background"])
    with foreign_nuclei(path, mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted(grid_um=100.0))
    classes, slide = found.tables["classes"], found.tables["slide"]
    assert dict(zip(classes["name"], classes["nuclei"], strict=True)) == {"a": 1, "b": 1, "background": 2}
    assert [slide[f"nuclei_{name}"][0] for name in ("background", "a", "b")] == [2, 1, 1]
    assert found.record["nuclei_classes"] == ["a", "b", "background"]
    with foreign_nuclei(write_nuclei(path, places, ["background", "no background"] * 2), mpp=0.5) as source:
        assert measure(source, tmp_path, Wanted()).record["nuclei_classes"] == ["background", "no background"]
    with foreign_nuclei(write_nuclei(path, places, ["background"] * 4), mpp=0.5) as source:
        assert measure(source, tmp_path, Wanted()).record["nuclei_classes"] == ["background"]


def test_a_class_that_a_slide_of_a_cohort_lacks_is_counted(tmp_path):
    """It was unknown: means over slides left it out. Where all nuclei are of one class it had no count at all."""
    places = [(20 * i, 0, 20 * i + 10, 10) for i in range(5)]
    kinds = {"a": ["T", "T", "L", "L", "L"], "b": ["T"] * 5, "c": [None] * 5, "d": ["L", "S", "S", "S", "S"]}
    files = [write_nuclei(tmp_path / f"{name}.geojson", places, names) for name, names in kinds.items()]
    assert main(["measure", *map(str, files), "--mpp", "0.5", "--output", str(tmp_path / "out")]) == 0
    rows = read_rows(tmp_path / "out" / "slides.csv")
    assert [[row[f"nuclei_{name}"] for name in "TLS"] for row in rows] == [
        ["2", "3", "0"],
        ["5", "0", "0"],
        ["", "", ""],  # of no class: nobody knows
        ["0", "1", "4"],
    ]
    assert {row["nuclei_T_per_mm2"] for row in rows} == {""}  # without a slide there are no areas

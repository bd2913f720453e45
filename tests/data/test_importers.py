import json
import os
import re
import shutil
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tifffile
from full_disk import file_size_limit
from PIL import Image
from scipy.io import savemat

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.cli import main
from coseg_bundle.data.datalist import DatalistError, load_datalist, read_class_tables
from coseg_bundle.data.images import read_instances
from coseg_bundle.data.importers import IMPORTERS, convert

RGB = np.random.default_rng(0).integers(0, 255, (8, 10, 3), dtype=np.uint8)
INSTANCES = np.zeros((8, 10), np.int32)
INSTANCES[1:3, 1:4], INSTANCES[4:7, 5:9] = 1, 2
TYPES = np.array([0, 4, 2])[INSTANCES]


def make_monuseg(folder):
    Image.fromarray(RGB).save(folder / "a.tif")
    corners = [[(1, 1), (4, 1), (4, 3), (1, 3)], [(5, 4), (9, 4), (9, 7), (5, 7)]]
    regions = [
        "<Region><Vertices>" + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring) + "</Vertices></Region>"
        for ring in corners
    ]
    (folder / "a.xml").write_text(
        f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>"
    )


def make_glas(folder):
    Image.fromarray(RGB).save(folder / "a.bmp")
    Image.fromarray(INSTANCES.astype(np.uint8)).save(folder / "a_anno.bmp")


def make_consep(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    savemat(folder / "a.mat", {"inst_map": INSTANCES.astype(float), "type_map": TYPES.astype(float)})


def make_lizard(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    savemat(folder / "a.mat", {"inst_map": INSTANCES, "id": [[2], [1]], "class": [[2], [4]]})


def make_pannuke(folder):
    for kind in ("images", "masks"):
        (folder / kind / "fold1").mkdir(parents=True)
    masks = np.zeros((1, 8, 10, 6))
    masks[0, ..., 3], masks[0, ..., 1] = INSTANCES == 1, 5 * (INSTANCES == 2)
    np.save(folder / "images" / "fold1" / "images.npy", RGB[None].astype(float))
    np.save(folder / "masks" / "fold1" / "masks.npy", masks)


def make_qupath(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    features = []
    for name, (x, y, right, bottom) in {"b": (1, 1, 4, 3), "a": (5, 4, 9, 7)}.items():
        ring = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"geometry": geometry, "properties": {"classification": {"name": name}}})
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def make_hovernet(folder):
    np.save(folder / "a.npy", np.dstack([RGB, INSTANCES, TYPES]))


def make_points(folder):
    for name in ("images", "points", "nuclei_pred"):
        (folder / name).mkdir()
    Image.fromarray(RGB).save(folder / "images" / "a.png")
    tifffile.imwrite(folder / "nuclei_pred" / "a.tif", INSTANCES)
    (folder / "points" / "a.csv").write_text("2,1,0\n6,5,2\n")


def make_labels(folder):
    make_qupath(folder)
    (folder / "a.geojson").rename(folder / "a_nuclei.json")


TYPES_OF = {
    "labels": (1, 2),
    "consep": (4, 2),
    "lizard": (4, 2),
    "pannuke": (4, 2),
    "qupath": (2, 1),
    "hovernet": (4, 2),
}


@pytest.mark.parametrize("layout", list(IMPORTERS))
def test_every_layout_gives_the_same_maps(layout, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    globals()[f"make_{layout}"](source)
    converted = convert(layout, source, tmp_path / "out")
    (item,) = converted.items
    assert converted.skipped == []
    assert load_datalist(tmp_path / "out" / "datalist.json", "training") == [item]
    if layout == "glas":
        assert (tifffile.imread(item["tissue"]) == (INSTANCES > 0)).all()
        assert "instances" not in item
        assert item["mpp"] == 0.62
        return
    made = tifffile.imread(item["instances"])
    assert ((made > 0) == (INSTANCES > 0)).all()
    assert len(np.unique(made)) == 3
    if layout in TYPES_OF:
        types = tifffile.imread(item["types"])
        assert (np.unique(types[INSTANCES == 1]), np.unique(types[INSTANCES == 2])) == TYPES_OF[layout]
    else:
        assert "types" not in item


def test_command(tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    make_monuseg(source)
    assert main(["datalist", str(source), "--layout", "monuseg", "--output", str(tmp_path / "out")]) == 0
    assert "1 images written" in capsys.readouterr().out
    assert main(["datalist", str(source), "--layout", "monuseg"]) == 1
    assert "name a folder" in capsys.readouterr().err


def test_the_command_splits_and_joins(tmp_path, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make_points(source)
    for folder, ending in (("images", "png"), ("points", "csv"), ("nuclei_pred", "tif")):
        for name in "bc":
            shutil.copy(source / folder / f"a.{ending}", source / folder / f"{name}.{ending}")
    convert_it = ["datalist", str(source), "--layout", "points", "--output", str(out)]
    assert main([*convert_it, "--holdout", "b"]) == 0
    assert [Path(i["image"]).stem for i in load_datalist(out / "datalist.json", "validation")] == ["b"]
    other, joined = tmp_path / "other", tmp_path / "joined.json"
    for folder in ("images", "nuclei"):
        (other / folder).mkdir(parents=True)
    shutil.copy(source / "images" / "a.png", other / "images" / "d.png")
    shutil.copy(source / "nuclei_pred" / "a.tif", other / "nuclei" / "d.tif")
    assert main(["datalist", str(other), "--also", str(out / "datalist.json"), "--output", str(joined)]) == 0
    assert [Path(i["image"]).stem for i in load_datalist(joined, "training")] == ["d", "a", "c"]
    assert main(["datalist", str(other), "--also", str(joined), "--output", str(joined)]) == 1
    assert "1 images are listed already" in capsys.readouterr().err
    assert main([*convert_it, "--validation", "1"]) == 1
    assert "share from 0 to below 1" in capsys.readouterr().err
    assert main([*convert_it, "--holdout", "x"]) == 1
    assert "that no image has: x" in capsys.readouterr().err
    assert main([*convert_it, "--also", str(joined)]) == 1
    assert "convert first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1,2\nx,y\n", "without a heading"),
        ("1,2\n" + "9" * 200_000 + ",1\n", "without a heading"),
        ("2,99\n", "10 x 8 px"),
    ],
)
def test_points_that_are_none(content, words, beside):
    source = beside("points")
    for ending, folder in (("png", "images"), ("tif", "nuclei_pred")):
        shutil.copy(source / folder / f"a.{ending}", source / folder / f"z.{ending}")
    (source / "points" / "z.csv").write_text(content)
    assert words in reasons("points", source)


@pytest.mark.parametrize("missing", ["images", "nuclei_pred"])
def test_points_without_a_partner(missing, beside):
    source = beside("points")
    for ending, folder in (("png", "images"), ("tif", "nuclei_pred")):
        if folder != missing:
            shutil.copy(source / folder / f"a.{ending}", source / folder / f"z.{ending}")
    (source / "points" / "z.csv").write_text("2,1\n")
    (source / "nuclei_pred" / "z.txt").write_text("no label map")
    assert f"no image with the stem z; copy it beside the labels. Looked in {missing}/." in reasons("points", source)


def test_points_of_an_image_that_knows_its_resolution(tmp_path):
    make_points(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    per_cm = (20000, 20000)  # 0.5 um
    tifffile.imwrite(tmp_path / "images" / "a.tif", RGB, resolution=per_cm, resolutionunit="CENTIMETER")
    (item,) = convert("points", tmp_path, tmp_path / "out").items
    assert item["mpp"] == pytest.approx(0.5)


@pytest.mark.parametrize("layout", list(IMPORTERS))
def test_an_empty_folder(layout, tmp_path):
    with pytest.raises(DatalistError, match=r"No .* below"):
        convert(layout, tmp_path, tmp_path / "out")
    with pytest.raises(DatalistError, match="not a folder"):
        convert(layout, tmp_path / "none", tmp_path / "out")


@pytest.fixture
def beside(tmp_path):
    """Puts a second image beside a good one of a layout: NAME.png and whatever a test writes for its label."""

    def make(layout):
        source = tmp_path / "source"
        source.mkdir()
        globals()[f"make_{layout}"](source)
        Image.fromarray(RGB).save(source / "z.png")
        return source

    return make


def reasons(layout, source):
    converted = convert(layout, source, source.parent / "out")
    assert len(converted.items) == 1
    return " ".join(converted.skipped)


LABEL_OF = {"monuseg": "z.xml", "consep": "z.mat", "lizard": "z.mat", "qupath": "z.geojson", "hovernet": "z.npy"}


@pytest.mark.parametrize("layout", list(LABEL_OF))
def test_random_bytes_do_not_stop_the_others(layout, beside):
    source, rng = beside(layout), np.random.default_rng(0)
    good = (source / LABEL_OF[layout].replace("z", "a")).read_bytes()
    for length in (0, 1, 60, 400):
        (source / LABEL_OF[layout]).write_bytes(rng.bytes(length))
        assert LABEL_OF[layout] in reasons(layout, source)
        (source / LABEL_OF[layout]).write_bytes(good[: length // 3])  # cut short
        assert LABEL_OF[layout] in reasons(layout, source)


def changed(index, value, dtype=float):
    array = INSTANCES.astype(dtype)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (changed((0, 0), np.nan), "fractions"),
        (changed((0, 0), 0.5), "fractions"),
        (changed((0, 0), -1, int), "got -1"),
        (changed((0, 0), 2.0**40), "relabel"),
        (INSTANCES[:-1], r"has shape \(7, 10\)"),
        (INSTANCES[None], "has shape"),
        (INSTANCES.astype(complex), "whole numbers"),
    ],
)
def test_labels_that_are_no_ids(array, words, beside):
    source = beside("consep")
    savemat(source / "z.mat", {"inst_map": array, "type_map": TYPES})
    converted = convert("consep", source, source.parent / "out")
    assert len(converted.items) == 1
    assert re.search(words, converted.skipped[0])


def test_lizard_ids_and_classes(beside):
    source = beside("lizard")
    savemat(source / "z.mat", {"inst_map": INSTANCES, "id": [[2]], "class": [[2], [4]]})
    assert "1 ids and 2 classes" in reasons("lizard", source)
    savemat(source / "z.mat", {"inst_map": INSTANCES, "id": [[2], [10**9]], "class": [[3], [4]]})  # a nucleus without
    *_, item = convert("lizard", source, source.parent / "out").items
    assert np.unique(tifffile.imread(item["types"])[INSTANCES == 1]).tolist() == [0]
    assert np.unique(tifffile.imread(item["types"])[INSTANCES == 2]).tolist() == [3]


def test_arrays_that_are_no_images(beside):
    source = beside("hovernet")
    np.save(source / "z.npy", np.dstack([RGB * 2.0, INSTANCES]))
    assert "colours from 0 to 255" in reasons("hovernet", source)
    np.save(source / "z.npy", np.array([{}], object), allow_pickle=True)
    assert "not readable as an NPY" in reasons("hovernet", source)
    np.save(source / "z.npy", INSTANCES)
    assert "expected (H, W, 4 or 5)" in reasons("hovernet", source)
    with (source / "z.npy").open("wb") as file:
        np.savez(file, a=RGB)
    assert "archive of several" in reasons("hovernet", source)


def test_pannuke_folds_that_do_not_fit(beside):
    source = beside("pannuke")
    for kind in ("images", "masks"):
        (source / kind / "fold2").mkdir()
    np.save(source / "masks" / "fold2" / "masks.npy", np.zeros((2, 8, 10, 6)))
    assert "no images.npy" in reasons("pannuke", source)
    np.save(source / "images" / "fold2" / "images.npy", RGB[None])
    assert "do not fit each other" in reasons("pannuke", source)


def test_outlines_that_are_none(beside):
    """A region without area, without numbers or far away is listed; the nuclei beside it stay."""
    source = beside("monuseg")
    text = (source / "a.xml").read_text()
    odd = "".join(
        f"<Region><Vertices>{''.join(f'<Vertex {v}/>' for v in vertices)}</Vertices></Region>"
        for vertices in (
            ['X="1" Y="2"'],
            ['X="nan" Y="1"'] * 3,
            ['X="a" Y="1"'] * 3,
            ['Y="1"'] * 3,
            ['X="1e300" Y="1"'] * 3,
        )
    )
    (source / "a.xml").write_text(text.replace("<Regions>", f"<Regions>{odd}"))
    converted = convert("monuseg", source, source.parent / "out")
    assert len(converted.skipped) == 5
    assert np.unique(tifffile.imread(converted.items[0]["instances"])).tolist() == [0, 1, 2]


def _aperio(layers):
    """An XML with a layer of ImageScope for each name, of boxes and the sign that they are holes."""
    drawn = ""
    for name, boxes in layers.items():
        regions = "".join(
            f'<Region NegativeROA="{hole}"><Vertices>'
            + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((a, b), (c, b), (c, d), (a, d)))
            + "</Vertices></Region>"
            for a, b, c, d, hole in boxes
        )
        named = f'<Attributes><Attribute Name="{name}" Id="0" Value=""/></Attributes>'
        drawn += f'<Annotation Name="">{named}<Regions>{regions}</Regions></Annotation>'
    return f"<Annotations>{drawn}</Annotations>"


def test_monusac_has_classes_and_areas_that_nobody_could_tell(tmp_path):
    for stem in "ab":
        Image.fromarray(RGB).save(tmp_path / f"{stem}.png")
    layers = {
        "Lymphocyte": [(0, 0, 2, 2, 0)],
        "Epithelial": [(5, 0, 10, 5, 0), (6, 1, 9, 4, 1), (7, 2, 8, 3, 0)],
        "Description": [(8, 6, 10, 8, 0)],
        "Ambiguous": [(0, 0, 3, 8, 0)],
    }
    (tmp_path / "a.xml").write_text(_aperio(layers))
    (tmp_path / "b.xml").write_text(_aperio({"Lymphocyte": [(0, 0, 2, 2, 0)]}))
    converted = convert("monuseg", tmp_path, tmp_path / "out")
    instances, types = (tifffile.imread(converted.items[0][key]) for key in ("instances", "types"))
    expected = np.zeros((8, 10), int)
    expected[:, :3] = -1
    expected[0:2, 0:2], expected[0:5, 5:10], expected[1:4, 6:9], expected[2, 7], expected[6:8, 8:10] = 1, 2, 0, 3, 4
    assert np.array_equal(instances, expected)
    assert np.array_equal(types, np.array([0, 2, 1, 1, 255, 255])[expected])
    assert np.unique(tifffile.imread(converted.items[1]["types"])).tolist() == [0, 2]
    table = {"0": "background", "1": "Epithelial", "2": "Lymphocyte"}
    assert read_class_tables(tmp_path / "out" / "datalist.json")["nuclei_classes"] == table
    a = tmp_path / "a.xml"
    assert f"{a}: 1 ambiguous areas are unlabelled, but for the nuclei in them" in converted.notes
    assert f"{a}: 1 nuclei have no class; their type is unlabelled" in converted.notes
    a.unlink()  # one name alone is no class, unless an earlier conversion says so
    assert "types" in convert("monuseg", tmp_path, tmp_path / "out").items[0]
    assert "types" not in convert("monuseg", tmp_path, tmp_path / "other").items[0]


def test_qupath_features_that_are_none_are_listed(beside):
    """A point is no fault, and is said; a polygon without area is one."""
    source = beside("qupath")
    content = json.loads((source / "a.geojson").read_text())
    content["features"].append({"geometry": {"type": "Point", "coordinates": [1, 1]}})
    (source / "a.geojson").write_text(json.dumps(content))
    converted = convert("qupath", source, source.parent / "out")
    assert converted.skipped == []
    assert any("a.geojson: left out: 1 Point" in note for note in converted.notes)
    content["features"].append({"geometry": {"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [3, 3], [1, 1]]]}})
    (source / "a.geojson").write_text(json.dumps(content))
    assert "a Polygon without area" in reasons("qupath", source)


def test_the_command_says_what_was_skipped(beside, capsys):
    source = beside("consep")
    (source / "z.mat").write_text("no mat")
    assert main(["datalist", str(source), "--layout", "consep", "--output", str(source.parent / "out")]) == 1
    out = capsys.readouterr().out
    assert "z.mat: not readable" in out
    assert "1 images written" in out


def test_bad_files(tmp_path):
    with pytest.raises(DatalistError, match="Unknown layout"):
        convert("x", tmp_path, tmp_path)
    (tmp_path / "b.mat").write_text("no mat")
    with pytest.raises(DatalistError, match=r"No file .* can be used.*b\.mat: not readable"):
        convert("consep", tmp_path, tmp_path / "out")
    savemat(tmp_path / "b.mat", {"inst_map": INSTANCES})
    with pytest.raises(DatalistError, match="type_map is missing"):
        convert("consep", tmp_path, tmp_path / "out")
    (tmp_path / "c.xml").write_text("<a>")
    with pytest.raises(DatalistError, match="no image with the stem c"):
        convert("monuseg", tmp_path, tmp_path / "out")
    Image.fromarray(RGB).save(tmp_path / "c.png")
    with pytest.raises(DatalistError, match="not valid XML"):
        convert("monuseg", tmp_path, tmp_path / "out")
    Image.fromarray(RGB).save(tmp_path / "e_anno.bmp")
    with pytest.raises(DatalistError, match=r"its image .* is missing"):
        convert("glas", tmp_path, tmp_path / "out")
    Image.fromarray(RGB[:4]).save(tmp_path / "e.bmp")
    with pytest.raises(DatalistError, match=r"export the labels at the size"):
        convert("glas", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("layout", "kind", "some"),
    [
        ("consep", "nuclei_classes", {"1": "other", "7": "endothelial"}),
        ("lizard", "nuclei_classes", {"1": "neutrophil", "6": "connective"}),
        ("pannuke", "nuclei_classes", {"5": "epithelial"}),
        ("glas", "tissue_classes", {"0": "background", "1": "gland"}),
    ],
)
def test_what_is_known_of_classes_stands_in_the_datalist(beside, tmp_path, layout, kind, some):
    convert(layout, beside(layout), tmp_path / "out")
    tables = read_class_tables(tmp_path / "out" / "datalist.json")
    assert some.items() <= tables[kind].items()
    assert len(tables) == 1


def test_classes_of_qupath_are_those_of_its_objects(beside, tmp_path):
    convert("qupath", beside("qupath"), tmp_path / "out")
    table = read_class_tables(tmp_path / "out" / "datalist.json")["nuclei_classes"]
    assert table == {"0": "background", "1": "a", "2": "b"}


@pytest.mark.parametrize("layout", ["monuseg", "glas", "consep", "lizard", "pannuke", "qupath", "hovernet", "labels"])
def test_the_same_stem_in_two_folders(layout, tmp_path):
    """Both are kept apart, and each image gets its own label, whatever a Mac or an earlier run left there."""
    for site in "xy":
        (tmp_path / "source" / site).mkdir(parents=True)
        globals()[f"make_{layout}"](tmp_path / "source" / site)
    for path in [*(tmp_path / "source").rglob("a*.*"), *(tmp_path / "source").rglob("masks.npy")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    for dest in (tmp_path / "out", tmp_path / "source" / "out", tmp_path / "source" / "out"):
        converted = convert(layout, tmp_path / "source", dest, validation_fraction=0)
        assert converted.skipped == []
        assert len(converted.items) == 2
        for key in ("image", "instances", "tissue"):
            written = [item[key] for item in converted.items if key in item]
            assert len(set(written)) == len(written)
        for site, item in zip("xy", converted.items, strict=True):
            if "/source/x/" in item["image"] or "/source/y/" in item["image"]:
                assert f"/source/{site}/" in item["image"]
            assert Path(item.get("instances", item.get("tissue"))).stem.startswith(f"{site}_") or layout == "pannuke"
    assert any("hidden" in note for note in converted.notes)


def test_an_image_is_not_paired_with_another_ones_label(tmp_path):
    for site in "xy":
        (tmp_path / "source" / site).mkdir(parents=True)
        make_monuseg(tmp_path / "source" / site)
    (tmp_path / "source" / "x" / "a.tif").unlink()
    converted = convert("monuseg", tmp_path / "source", tmp_path / "out")
    assert len(converted.items) == 1
    assert "x/a.xml: no image with the stem a of its own" in converted.skipped[0]


def test_an_encoding_that_nobody_knows(beside):
    source = beside("monuseg")
    (source / "z.xml").write_text('<?xml version="1.0" encoding="klingon"?><Annotations/>')
    assert "z.xml: not valid XML (unknown encoding" in reasons("monuseg", source)


@pytest.mark.parametrize("layout", ["labels", "qupath"])
def test_the_annotation_server_s_own_files_are_no_samples(tmp_path, layout):
    """`labels` took its tiles for images, with the labels of its last training, and its list of images for a label."""
    make_qupath(tmp_path)
    tile = tmp_path / "coseg" / "runs" / "20250101-101010" / "data" / "000" / "0_0_9_9.tif"
    tile.parent.mkdir(parents=True)
    tifffile.imwrite(tile, RGB)
    tifffile.imwrite(tile.with_name("0_0_9_9_instances.tif"), INSTANCES)
    for name in ("datastore_v2.json", "coseg/training.json"):
        (tmp_path / name).write_text("{}")
    converted = convert(layout, tmp_path, tmp_path / "out")
    assert [Path(item["image"]).name for item in converted.items] == ["a.png"]
    assert converted.skipped == []
    assert "left out: 2 written by the annotation server" in converted.notes


@pytest.mark.parametrize("layout", ["labels", "qupath"])
def test_what_nobody_looked_at_is_unlabelled(tmp_path, layout):
    """Columns 0 to 4 were annotated, but for rows 0 and 1, where nothing is said; the second nucleus lies elsewhere."""
    make_qupath(tmp_path)
    content = json.loads((tmp_path / "a.geojson").read_text())
    for name, ring in {
        "Region*": [[0, 0], [5, 0], [5, 8], [0, 8], [0, 0]],
        "Ignore*": [[0, 0], [10, 0], [10, 2], [0, 2], [0, 0]],  # and of the first nucleus a half: it stays
    }.items():
        properties = {"objectType": "annotation", "classification": {"name": name}}
        content["features"].append({"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties})
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    converted = convert(layout, tmp_path, tmp_path / "out")
    instances, types = (tifffile.imread(converted.items[0][key]) for key in ("instances", "types"))
    expected = INSTANCES.copy()
    expected[:, 5:][INSTANCES[:, 5:] == 0] = -1
    expected[:2][INSTANCES[:2] == 0] = -1
    assert np.array_equal(instances, expected)
    assert np.array_equal(types == 255, expected < 0)
    said = "a.geojson: 44% of the image is unlabelled, in an Ignore* or outside its Region*, but for the nuclei there"
    assert any(note.endswith(said) for note in converted.notes)


def test_one_unclassified_object_leaves_the_types_of_the_others(tmp_path):
    make_qupath(tmp_path)
    content = json.loads((tmp_path / "a.geojson").read_text())
    ring = [[0, 7], [1, 7], [1, 8], [0, 8], [0, 7]]
    content["features"].append({"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}})
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    converted = convert("qupath", tmp_path, tmp_path / "out")
    types = tifffile.imread(converted.items[0]["types"])
    assert (types[2, 2], types[5, 6], types[7, 0]) == (2, 1, 255)
    assert "1 nuclei have no class; their type is unlabelled" in converted.notes[0]
    assert json.loads((tmp_path / "out" / "datalist.json").read_text())["nuclei_classes"] == {
        "0": "background",
        "1": "a",
        "2": "b",
    }


def test_labels_of_any_kind(beside, capsys):
    source = beside("labels")
    np.save(source / "z_seg.npy", {"masks": INSTANCES}, allow_pickle=True)
    assert "cellpose's _seg.npy" in reasons("labels", source)
    (source / "instances_default.json").write_text('{"images": [], "annotations": []}')
    assert "instances_default.json is called as no image is; it holds COCO; save a file for each" in reasons(
        "labels", source
    )
    (source / "instances_default.json").unlink()
    tifffile.imwrite(source / "z_cp_masks.tif", INSTANCES.astype(np.uint16))
    converted = convert("labels", source, source.parent / "out")
    assert (len(converted.items), converted.skipped) == (2, [])
    assert any("z_seg.npy: not read, z_cp_masks.tif is about the same image" in note for note in converted.notes)
    assert main(["datalist", str(source), "--layout", "labels", "--output", str(source.parent / "out")]) == 0
    assert "z_seg.npy: not read" in capsys.readouterr().out


def _named_beside_numbered(folder):
    """Class names in GeoJSON for one image, ids in MAT for another."""
    folder.mkdir()
    for name in ("a", "z"):
        Image.fromarray(RGB).save(folder / f"{name}.png")
    boxes = {"epithelial": (0, 0, 3, 3), "other": (4, 4, 7, 7)}
    features = [
        {
            "geometry": {"type": "Polygon", "coordinates": [[[x, y], [r, y], [r, b], [x, b], [x, y]]]},
            "properties": {"objectType": "detection", "classification": {"name": name}},
        }
        for name, (x, y, r, b) in boxes.items()
    ]
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    savemat(folder / "z.mat", {"inst_map": INSTANCES, "inst_type": np.ones((len(np.unique(INSTANCES)) - 1, 1))})
    return folder


def test_one_id_of_two_meanings_is_no_label(tmp_path):
    """Names are numbered as they come; ids that other files give mean something else."""
    source, out = _named_beside_numbered(tmp_path / "set"), tmp_path / "out"
    with pytest.raises(DatalistError, match=r"got names \(epithelial, other\) and ids \(1 files, first: z.mat\)"):
        convert("labels", source, out)
    convert("labels", source, out, nuclei_classes=("background", "other", "epithelial"))
    types = tifffile.imread(out / "types" / "a.tif")
    assert (types[1, 1], types[5, 5]) == (2, 1)
    assert set(np.unique(tifffile.imread(out / "types" / "z.tif"))) == {0, 1}
    written = json.loads((out / "datalist.json").read_text())
    assert written["nuclei_classes"] == {"0": "background", "1": "other", "2": "epithelial"}
    converted = convert("labels", source, tmp_path / "out2", nuclei_classes=("background", "spindle", "other"))
    assert "a.geojson: expected nuclei of the classes spindle, other, got epithelial" in converted.skipped[0]


def _one_nucleus(folder, stem, name):
    """An image whose only nucleus has a class."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(RGB).save(folder / f"{stem}.png")
    polygon = {"type": "Polygon", "coordinates": [[[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]]}
    drawn = {"geometry": polygon, "properties": {"objectType": "detection", "classification": {"name": name}}}
    (folder / f"{stem}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [drawn]}))


@pytest.mark.parametrize("layout", ["labels", "qupath"])
def test_a_set_that_grows_keeps_its_ids(layout, tmp_path):
    """Another datalist may list the label maps under the ids that they had."""
    source, out = tmp_path / "set", tmp_path / "out"
    for stem, name in (("m", "stroma"), ("n", "tumour")):
        _one_nucleus(source, stem, name)
    convert(layout, source, out)
    before = {stem: (out / "types" / f"{stem}.tif").read_bytes() for stem in "mn"}
    _one_nucleus(source, "a", "lymphocyte")  # the first one by file and by name
    notes = convert(layout, source, out).notes
    assert {stem: (out / "types" / f"{stem}.tif").read_bytes() for stem in "mn"} == before
    assert np.unique(tifffile.imread(out / "types" / "a.tif")).tolist() == [0, 3]
    table = {"0": "background", "1": "stroma", "2": "tumour", "3": "lymphocyte"}
    assert read_class_tables(out / "datalist.json")["nuclei_classes"] == table
    assert notes == ["type ids: 1 stroma, 2 tumour, 3 lymphocyte"]
    (source / "n.geojson").unlink()
    notes = convert(layout, source, out).notes
    assert read_class_tables(out / "datalist.json")["nuclei_classes"] == table
    assert "tumour: classes of the datalist that was there and of no file; they stay" in notes


def test_ids_of_an_earlier_conversion_are_not_moved(tmp_path):
    source, out = tmp_path / "set", tmp_path / "out"
    for stem, name in (("m", "stroma"), ("n", "tumour")):
        _one_nucleus(source, stem, name)
    convert("labels", source, out)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    with pytest.raises(DatalistError, match=r"expected its ids.* got 2=stroma for 1=stroma; give another --output"):
        convert("labels", source, out, nuclei_classes=("background", "tumour", "stroma"))
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    convert("labels", source, out, nuclei_classes=("background", "stroma", "tumour", "other"))
    assert read_class_tables(out / "datalist.json")["nuclei_classes"]["3"] == "other"
    for content, words in (('{"nuclei_classes": ["stroma"]}', ": expected nuclei_classes as"), ("{", ".*")):
        (out / "datalist.json").write_text(content)
        with pytest.raises(
            DatalistError, match=rf"datalist.json{words}.* mend it, or move it, and the classes are num"
        ):
            convert("labels", source, out)
        assert (out / "datalist.json").read_text() == content


def test_classes_that_differ_in_case_are_said(tmp_path):
    source = _named_beside_numbered(tmp_path / "set")
    (source / "z.mat").unlink()
    (source / "a.geojson").write_text((source / "a.geojson").read_text().replace("other", "Epithelial"))
    for layout in ("labels", "qupath"):
        notes = convert(layout, source, tmp_path / layout).notes
        assert any("differ in case only, and count as different classes" in note for note in notes)


def test_files_of_others_are_not_replaced(tmp_path):
    """A lab's own label maps may lie where converted ones go."""
    source = _named_beside_numbered(tmp_path / "set")
    (source / "z.mat").unlink()
    own = source / "nuclei" / "a.tif"
    own.parent.mkdir()
    for content in (b"theirs", None):
        if content is None:
            tifffile.imwrite(own, INSTANCES)
        else:
            own.write_bytes(content)
        before = own.read_bytes()
        with pytest.raises(DatalistError, match=r"nuclei/a.tif: expected no file, or one that coseg datalist wrote"):
            convert("labels", source, source)
        assert own.read_bytes() == before
    out = tmp_path / "out"
    assert convert("labels", source, out) == convert("labels", source, out)


@pytest.mark.parametrize("layout", ["labels", "qupath", "monuseg"])
def test_a_class_that_a_person_renamed_keeps_its_id(layout, tmp_path):
    """The name in the files is a new one then; by the next id, nuclei would be of another class in other datalists."""
    source, out = tmp_path / "set", tmp_path / "out"
    source.mkdir()
    if layout == "monuseg":
        Image.fromarray(RGB).save(source / "a.png")
        square = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (4, 1), (4, 3)))
        layers = "".join(
            f'<Annotation Name="{name}"><Regions><Region><Vertices>{square}</Vertices></Region></Regions></Annotation>'
            for name in ("stroma", "tumor")
        )
        (source / "a.xml").write_text(f"<Annotations>{layers}</Annotations>")
    else:
        for stem, name in (("a", "stroma"), ("b", "tumor")):
            _one_nucleus(source, stem, name)
    convert(layout, source, out)
    path = out / "datalist.json"
    path.write_text(path.read_text().replace("tumor", "cancer"))
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    words = r"its classes \(1=stroma 2=cancer\) in the files, got tumor and no cancer.*--nuclei-classes 1=NAME"
    with pytest.raises(DatalistError, match=words):
        convert(layout, source, out)
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    maps = {path: content for path, content in before.items() if path.suffix == ".tif"}
    if layout == "labels":  # which takes names
        convert(layout, source, out, nuclei_classes=("background", "stroma", "tumor"))
        assert "cancer" in (out / "datalist.former.json").read_text()
    else:
        path.write_text(path.read_text().replace("cancer", "tumor"))
        convert(layout, source, out)
    assert {path: path.read_bytes() for path in maps} == maps
    assert read_class_tables(path)["nuclei_classes"]["2"] == "tumor"


@pytest.mark.parametrize("layout", ["labels", "qupath"])
def test_a_broken_file_does_not_stop_a_set_that_is_converted_again(layout, tmp_path):
    source, out = tmp_path / "set", tmp_path / "out"
    for stem, name in (("a", "stroma"), ("b", "tumor"), ("c", "tumor")):
        _one_nucleus(source, stem, name)
    convert(layout, source, out)
    (source / "c.geojson").write_bytes(b"\xff{")
    assert "c.geojson" in convert(layout, source, out).skipped[0]


def test_a_class_that_comes_while_another_goes(tmp_path):
    source, out = tmp_path / "set", tmp_path / "out"
    for stem, name in (("a", "stroma"), ("b", "tumor")):
        _one_nucleus(source, stem, name)
    convert("labels", source, out)
    _one_nucleus(source, "b", "lymphocyte")
    with pytest.raises(DatalistError, match="got lymphocyte and no tumor, which may be one class by two names"):
        convert("labels", source, out)
    path = out / "datalist.json"
    path.write_text(path.read_text().replace('"2": "tumor"', '"2": "tumor", "3": "lymphocyte"'))
    notes = convert("labels", source, out).notes
    assert "tumor: classes of the datalist that was there and of no file; they stay" in notes
    assert np.unique(tifffile.imread(out / "types" / "b.tif")).tolist() == [0, 3]


def test_a_resolution_that_a_person_wrote_is_kept(tmp_path):
    source, out = _named_beside_numbered(tmp_path / "set"), tmp_path / "out"
    (source / "z.mat").unlink()
    convert("labels", source, out)
    path = out / "datalist.json"
    theirs = path.read_text().replace('"dataset"', '"mpp": 0.5, "dataset"')
    path.write_text(theirs)
    assert (
        f"{path}: names, mpp or sections in it are not in the new one; it is datalist.former.json now"
        in convert("labels", source, out).notes
    )
    assert (out / "datalist.former.json").read_text() == theirs
    path.write_text(theirs)
    assert any("it is datalist.former-2.json now" in note for note in convert("labels", source, out).notes)
    assert (out / "datalist.former.json").read_text() == theirs


def test_a_folder_that_an_earlier_version_converted(tmp_path):
    """Its files have no mark; the datalist says whose they are. One that it does not list, or is younger, is not."""
    source, out = _named_beside_numbered(tmp_path / "set"), tmp_path / "out"
    (source / "z.mat").unlink()
    converted = convert("labels", source, out)
    label = Path(converted.items[0]["instances"])
    tifffile.imwrite(label, tifffile.imread(label))
    os.utime(out / "datalist.json")
    assert convert("labels", source, out).items == converted.items
    for changed in (True, False):
        tifffile.imwrite(label, tifffile.imread(label))
        os.utime(label, (2e9, 2e9))
        if not changed:
            (out / "datalist.json").unlink()
        with pytest.raises(DatalistError, match="expected no file, or one that coseg datalist wrote, got another"):
            convert("labels", source, out)


def test_a_crowd_has_no_class(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    ring = [1, 1, 4, 1, 4, 3, 1, 3]
    annotations = [
        {"image_id": 1, "category_id": 2, "segmentation": [ring]},
        {"image_id": 1, "category_id": 3, "segmentation": [[value + 4 for value in ring]]},
        {"image_id": 1, "category_id": 2, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]], "iscrowd": 1},
    ]
    categories = [{"id": 2, "name": "a"}, {"id": 3, "name": "b"}]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": annotations, "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (item,) = convert("labels", tmp_path, tmp_path / "out").items
    instances, types = (tifffile.imread(item[key]) for key in ("instances", "types"))
    assert (instances[0, 0], instances[1, 1], instances[5, 5], instances[7, 0]) == (-1, 1, 2, 0)
    assert (types[0, 0], types[1, 1], types[5, 5], types[7, 0]) == (255, 1, 2, 0)


def test_hovernets_own_folders(tmp_path):
    """`mat/` and `json/` say the same of an image that lies beside them."""
    source = _named_beside_numbered(tmp_path / "set")
    (source / "a.geojson").unlink()
    for name in ("mat", "json"):
        (source / name).mkdir()
    (source / "z.mat").rename(source / "mat" / "z.mat")
    (source / "json" / "z.json").write_text('{"nuc": {}}')
    converted = convert("labels", source, tmp_path / "out")
    assert (len(converted.items), converted.skipped) == (1, [])
    assert converted.notes == [f"{source / 'json' / 'z.json'}: not read, z.mat is about the same image"]


@pytest.mark.parametrize("layout", ["labels", "qupath", "consep"])
def test_a_label_that_a_mac_named(layout, tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    globals()[f"make_{layout}"](source)
    for path in source.iterdir():
        form = "NFC" if path.suffix == ".png" else "NFD"
        path.rename(path.with_name(normalize(form, path.name.replace("a", "Fä", 1))))
    converted = convert(layout, source, tmp_path / "out")
    assert (len(converted.items), converted.skipped) == (1, [])
    assert Path(converted.items[0]["instances"]).name == "Fä.tif"


def test_a_label_whose_axes_are_not_its_images(tmp_path):
    """A NIfTI that is mirrored against its image was converted pixel by pixel, without a word."""
    nibabel = pytest.importorskip("nibabel")
    for name in ("image", "other"):
        nibabel.save(
            nibabel.Nifti1Image(np.swapaxes(RGB, 0, 1)[:, :, None], np.diag([-0.1, -0.1, 1, 1])),
            tmp_path / f"{name}.nii",
        )
    for name, x in (("image_masks", 0.1), ("other_masks", -0.1)):
        label = nibabel.Nifti1Image(INSTANCES.T[:, :, None].astype(np.int16), np.diag([x, -0.1, 1, 1]))
        nibabel.save(label, tmp_path / f"{name}.nii")
    converted = convert("labels", tmp_path, tmp_path / "out")
    assert [Path(item["image"]).name for item in converted.items] == ["other.nii"]
    assert "image_masks.nii: by its affine x and y lead to R and P, and those of its image" in converted.skipped[0]


def test_255_nuclei_one_of_which_is_in_two_pieces_are_read_again(tmp_path):
    """The ids of a map of 8 bits would be taken for more that did not fit."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    rows, columns = np.mgrid[:16, :16]
    instances = np.kron(rows * 16 + columns + 1, np.pad(np.ones((3, 3), int), 1))
    instances[instances == 256] = 1
    Image.fromarray(np.full((*instances.shape, 3), 200, np.uint8)).save(source / "a.png")
    ids = np.arange(1, 256)[:, None]
    savemat(source / "a.mat", {"inst_map": instances, "id": ids, "class": np.ones_like(ids)})
    for _ in range(2):  # over what a former version wrote, too
        (item,) = convert("lizard", source, out).items
        assert np.array_equal(read_instances(item["instances"])[0], instances)
        assert tifffile.imread(item["instances"]).dtype == np.uint16
        assert tifffile.imread(item["types"]).dtype == np.uint8
        tifffile.imwrite(item["instances"], instances.astype(np.uint8), software="coseg datalist")


@pytest.mark.parametrize("folder", ["my masks", "masks"])
def test_pannuke_below_a_folder_named_as_masks(folder, tmp_path):
    source = tmp_path / folder / "pannuke"
    source.mkdir(parents=True)
    make_pannuke(source)
    another = Path(str(source).replace("masks", "images"))
    shutil.copytree(source / "images", another / "images")
    np.save(another / "images" / "fold1" / "images.npy", np.zeros((1, 8, 10, 3)))
    converted = convert("pannuke", source, tmp_path / "out")
    assert converted.skipped == []
    assert np.array_equal(tifffile.imread(converted.items[0]["image"]), RGB)


def test_pannuke_without_its_images(tmp_path):
    make_pannuke(tmp_path)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(
        DatalistError, match=r"no images\.npy beside it \(looked for .+; name the folder that holds both"
    ):
        convert("pannuke", tmp_path, tmp_path / "out")


def test_a_full_disk_is_no_fault_of_the_files(tmp_path):
    """They were listed as some that cannot be used."""
    source = tmp_path / "in"
    source.mkdir()
    make_glas(source)
    with file_size_limit(100), pytest.raises(NoRoomError, match=r"^\S+: the results cannot be written there"):
        convert("glas", source, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

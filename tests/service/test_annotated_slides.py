import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from colour_network import write_slide
from full_disk import file_size_limit
from PIL import Image

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.classes import ClassMap
from coseg_bundle.cli import main
from coseg_bundle.data.classes import class_names_of
from coseg_bundle.data.datalist import DatalistError, load_datalist
from coseg_bundle.data.images import read_label
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.service.annotated_slides import cut_out
from coseg_bundle.transforms.load import LoadHistologyd

TISSUE = ClassMap(("background", "tumour", "stroma"))


def square(name, x, y, side):
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def slide(folder, name, *features, label=None, mpp=0.25):
    folder.mkdir(exist_ok=True)
    write_slide(folder / f"{name}.tif", synthetic_tissue(128, 1).rgb, mpp=mpp)
    content = {"type": "FeatureCollection", "features": features}
    (folder / (label or f"{name}.geojson")).write_text(json.dumps(content))


def annotated(x=8):
    return square("Region*", x, 8, 64), square("tumour", x + 4, 12, 20), square("stroma", x + 30, 30, 20)


def test_by_hand(tmp_path):
    slide(tmp_path / "in", "a", *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
    slide(tmp_path / "in", "b", *annotated(16), label="b.tif.geojson")
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, holdout=["b.tif"])
    assert done.skipped == []
    training, validation = (load_datalist(tmp_path / "out" / "datalist.json", s) for s in ("training", "validation"))
    assert (len(training), len(validation)) == (2, 1)
    first, second = (read_label(item["tissue"]) for item in training)
    assert first.shape == (64, 64)
    assert [(first == i).sum() for i in (0, 1, 2)] == [64 * 64 - 800, 400, 400]
    assert (second == 2).all()
    assert "instances" not in training[0]
    assert class_names_of(tmp_path / "out" / "datalist.json", "tissue_classes", []) == list(TISSUE.names)
    assert class_names_of(tmp_path / "out" / "datalist.json", "nuclei_classes", ["x"]) == ["x"]


def test_labels_of_the_annotation_server_belong_beside_its_images(tmp_path):
    """Its own list of the images was taken for annotations of a slide."""
    slide(tmp_path / "in", "a", *annotated())
    (tmp_path / "in" / "datastore_v2.json").write_text("{}")
    label = tmp_path / "in" / "labels" / "final" / "a.geojson"
    label.parent.mkdir(parents=True)
    (tmp_path / "in" / "a.geojson").replace(label)
    with pytest.raises(
        DatalistError, match=r"Expected NAME\.geojson beside the slide NAME, found none; copy the annot"
    ):
        cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    label.replace(tmp_path / "in" / "a.geojson")
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert done.skipped == []
    assert len(done.datalist["training"]) == 1


def test_a_datalist_that_says_more_is_kept(tmp_path):
    """It was replaced without a word."""
    slide(tmp_path / "in", "a", *annotated())
    slide(tmp_path / "in", "b", *annotated())
    path = tmp_path / "out" / "datalist.json"
    path.parent.mkdir()
    path.write_text('{"training": [], "nuclei_classes": {"1": "mine"}}')
    done = cut_out(tmp_path / "in", path.parent, TISSUE, None)
    assert done.notes == [
        f"{path}: names, mpp or sections in it are not in the new one; it is datalist.former.json now"
    ]
    assert "mine" in (tmp_path / "out" / "datalist.former.json").read_text()


def test_regions_of_a_slide_stay_together(tmp_path):
    for name in "abc":
        slide(tmp_path / "in", name, *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
    datalist = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None).datalist
    assert [len(datalist[s]) for s in ("training", "validation")] == [4, 2]


def test_one_slide_is_divided(tmp_path):
    slide(tmp_path / "in", "a", *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert [len(done.datalist[s]) for s in ("training", "validation")] == [1, 1]
    assert "a is the only slide, so its regions are divided" in done.notes[0]
    slide(tmp_path / "in", "b", *annotated())
    [note] = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None).notes  # a slide is no longer in both
    assert "the sections of before cannot be kept, all is divided anew" in note
    assert "it is datalist.former.json now" in note
    assert (tmp_path / "out" / "datalist.former.json").is_file()


def test_tiles_say_their_resolution(tmp_path):
    """Else a network at 0.25 takes tiles of 0.5 for its own."""
    slide(tmp_path / "in", "a", *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
    cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, mpp=0.5)
    (item,) = load_datalist(tmp_path / "out" / "datalist.json", "training")
    assert item["mpp"] == 0.5
    loaded = LoadHistologyd(tissue_classes=3, nuclei_types=2, mpp=0.25)(item)
    height, width = read_label(item["tissue"]).shape
    assert loaded["image"].shape == (3, 2 * height, 2 * width)


def test_slides_that_say_no_resolution(tmp_path):
    """Their tiles were listed at --mpp; one that lies within a tenth of that is not resampled, and says its own."""
    slide(tmp_path / "in", "a", *annotated(), mpp=0.23)
    slide(tmp_path / "in", "b", *annotated())
    Image.fromarray(synthetic_tissue(128, 1).rgb).save(tmp_path / "in" / "b.tif")
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, holdout=["b"])
    assert done.datalist["training"][0]["mpp"] == pytest.approx(0.23, rel=1e-4)
    assert "mpp" not in done.datalist["validation"][0]
    assert done.notes == [
        "1 slides do not say the size of their pixels (first: b): their tiles are not resampled, and the datalist has "
        "no mpp for them; write it there where you know it"
    ]


def test_regions_of_a_single_slide_that_overlap_stay_together(tmp_path):
    nested = square("Region*", 8, 8, 100), square("Region*", 20, 20, 40), square("tumour", 12, 12, 20)
    slide(tmp_path / "in", "a", *nested)
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert [len(done.datalist[s]) for s in ("training", "validation")] == [2, 0]
    assert done.notes == ["a is the only slide, and its regions overlap: they are not divided"]
    slide(tmp_path / "in", "a", *nested, square("Region*", 110, 110, 18))
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert sorted(len(done.datalist[s]) for s in ("training", "validation")) == [1, 2]


def test_a_region_outside_its_slide_does_not_stop_the_others(tmp_path):
    slide(tmp_path / "in", "a", *annotated(), square("Region*", 300, 8, 64))
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert len(done.datalist["training"]) == 1
    assert done.skipped == ["a.geojson: the region at [300, 8] is left out: what was drawn lies outside the image"]


def names(datalist, section):
    return sorted({Path(item["image"]).parent.name for item in datalist[section]})


def test_slides_stay_in_their_sections(tmp_path):
    """One slide more, and those of training were validated by."""
    for name in "bcde":
        slide(tmp_path / "in", name, *annotated())
    for seed in range(3):
        out = tmp_path / f"out{seed}"
        before = cut_out(tmp_path / "in", out, TISSUE, None, seed=seed)
        assert before.notes == []
        slide(tmp_path / "in", "a", *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
        slide(tmp_path / "in", "c", *annotated(), square("Region*", 80, 80, 40), square("stroma", 80, 80, 40))
        after = cut_out(tmp_path / "in", out, TISSUE, None, seed=0)
        for section in ("training", "validation"):
            assert set(names(before.datalist, section)) <= set(names(after.datalist, section))
        assert not set(names(after.datalist, "training")) & set(names(after.datalist, "validation"))
        assert before.datalist["training"][0] in after.datalist["training"]  # a tile has the name of its box
        anew = cut_out(tmp_path / "in", out, TISSUE, None, holdout=names(before.datalist, "training"), anew=True)
        assert names(anew.datalist, "validation") == names(before.datalist, "training")
        for extra in ("a.tif", "a.geojson"):
            (tmp_path / "in" / extra).unlink()
        slide(tmp_path / "in", "c", *annotated())


def test_what_a_former_version_converted(tmp_path):
    """It counted the slides in the names of their folders, and the regions in those of tiles."""
    for name in "bcd":
        slide(tmp_path / "in", name, *annotated())
    out = tmp_path / "out"
    former = {"tissue_classes": {"0": "background", "1": "tumour", "2": "stroma"}}
    former |= {
        section: [
            {"image": f"regions/{number:03d}_{name}/00.tif", "tissue": "t.tif", "mpp": 0.25, "dataset": "regions"}
            for number, name in members
        ]
        for section, members in (("training", [(0, "c"), (2, "b")]), ("validation", [(1, "d")]))
    }
    out.mkdir()
    (out / "datalist.json").write_text(json.dumps(former))
    done = cut_out(tmp_path / "in", out, TISSUE, None, seed=1)
    assert names(done.datalist, "training") == ["b", "c"]
    assert names(done.datalist, "validation") == ["d"]
    assert "3 tiles of before are not in the list any more (first: " in done.notes[-1]
    assert "regions/000_c/00.tif): they stay, since other datalists may list them" in done.notes[-1]


@pytest.mark.parametrize("broken", ["annotations", "slide"])
def test_a_slide_that_fails_once_stays_in_its_section(tmp_path, broken):
    """Mended and converted again, one that was trained on was new, and in validation."""
    for name in "abcd":
        slide(tmp_path / "in", name, *annotated())
    out = tmp_path / "out"
    before = cut_out(tmp_path / "in", out, TISSUE, None).datalist
    for section in ("training", "validation"):
        name = names(before, section)[0]
        path = tmp_path / "in" / (f"{name}.geojson" if broken == "annotations" else f"{name}.tif")
        content = path.read_bytes()
        path.write_text("{") if broken == "annotations" else path.unlink()
        done = cut_out(tmp_path / "in", out, TISSUE, None, seed=1)
        [sentence] = done.skipped
        assert sentence.endswith("; its 1 tiles of before stay in the list")
        assert done.datalist == before
        path.write_bytes(content)
        for seed in range(3):
            assert cut_out(tmp_path / "in", out, TISSUE, None, seed=seed).datalist == before


def test_a_single_slide_that_a_former_version_divided(tmp_path):
    """It was said to stay as it was, and was divided anew."""
    regions = [square("Region*", x, y, 40) for x, y in ((0, 0), (50, 0), (0, 50))]
    slide(tmp_path / "in", "a", *regions, square("tumour", 0, 0, 128))
    out = tmp_path / "out"
    out.mkdir()
    tiles = [{"image": f"regions/000_a/0{i}.tif", "tissue": "t.tif", "mpp": 0.5, "dataset": "regions"} for i in "012"]
    former = {"training": tiles[:2], "validation": tiles[2:], "name": "mine"}
    (out / "datalist.json").write_text(json.dumps(former))
    done = cut_out(tmp_path / "in", out, TISSUE, None)  # at 0.25: these tiles are not written once more
    assert done.notes[0] == (
        f"{out / 'datalist.json'}: the sections of before cannot be kept, all is divided anew, and validation may see "
        "what was trained on; it is datalist.former.json now"
    )
    assert json.loads((out / "datalist.former.json").read_text()) == former
    assert [len(done.datalist[s]) for s in ("training", "validation")] == [2, 1]


def test_a_resolution_that_was_written_into_the_list_stays(tmp_path):
    """The command asked for it, and refused it the next time."""
    for name in "ab":
        slide(tmp_path / "in", name, *annotated())
    Image.fromarray(synthetic_tissue(128, 1).rgb).save(tmp_path / "in" / "b.tif")
    path = tmp_path / "out" / "datalist.json"
    cut_out(tmp_path / "in", path.parent, TISSUE, None, holdout=["b"])
    content = json.loads(path.read_text())
    content["validation"][0]["mpp"] = 0.5
    path.write_text(json.dumps(content))
    slide(tmp_path / "in", "c", *annotated(), square("Region*", 80, 80, 40), label="b.geojson")  # one region more
    (tmp_path / "in" / "c.tif").unlink()
    done = cut_out(tmp_path / "in", path.parent, TISSUE, None)
    assert [item["mpp"] for item in done.datalist["validation"]] == [0.5, 0.5]
    assert done.datalist["training"][0]["mpp"] == 0.25
    assert not any("do not say the size" in note for note in done.notes)
    assert not path.with_name("datalist.former.json").exists()


def test_a_slide_to_hold_out_that_cannot_be_used(tmp_path):
    """It was said that there is none."""
    for name in "abc":
        slide(tmp_path / "in", name, *annotated())
    (tmp_path / "in" / "c.geojson").write_text("{")
    (tmp_path / "in" / "d.geojson").write_text("{}")
    for name, reason in (("c", "c.geojson"), ("d", "d.geojson: expected one slide or image named d beside it")):
        with pytest.raises(DatalistError, match=rf"hold out that no image has: {name}\. .*Left out: \S*{reason}"):
            cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, holdout=[name])


def test_regions_of_a_single_slide_stay_in_their_sections(tmp_path):
    corners = [(0, 0), (50, 0), (0, 50), (50, 50)]
    regions = [square("Region*", x, y, 40) for x, y in corners]
    slide(tmp_path / "in", "a", *regions, square("tumour", 0, 0, 128))
    before = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None).datalist
    [kept] = before["validation"]
    slide(tmp_path / "in", "a", square("Region*", 100, 100, 20), *regions[::-1], square("tumour", 0, 0, 128))
    for seed in range(3):
        after = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, seed=seed).datalist
        assert kept in after["validation"]
        assert all(item in after["training"] for item in before["training"])


@pytest.mark.parametrize("seed", range(4))
def test_a_region_goes_where_the_one_that_it_overlaps_is(tmp_path, seed):
    corners = [(0, 0), (50, 0), (0, 50), (50, 50)]
    regions = [square("Region*", x, y, 40) for x, y in corners]
    slide(tmp_path / "in", "a", *regions, square("tumour", 0, 0, 128))
    [kept] = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None).datalist["validation"]
    x, y = map(int, Path(kept["image"]).stem.split("_")[:2])
    slide(tmp_path / "in", "a", *regions, square("Region*", x + 10, y + 10, 20), square("tumour", 0, 0, 128))
    validation = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, seed=seed).datalist["validation"]
    assert [Path(item["image"]).stem for item in validation] == [f"{x}_{y}_40_40", f"{x + 10}_{y + 10}_20_20"]


def test_ids_and_resolution_of_tiles_that_others_list(tmp_path):
    """Two names in another order, and every datalist with these tiles was wrong."""
    slide(tmp_path / "in", "a", *annotated())
    cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    turned = ClassMap(("background", "stroma", "tumour"))
    message = r"expected its tissue_classes, since other datalists .* got 1=stroma for 1=tumour; name them in its order"
    with pytest.raises(DatalistError, match=message):
        cut_out(tmp_path / "in", tmp_path / "out", turned, None)
    with pytest.raises(
        DatalistError, match=r"expected tiles at 0.25 microns per pixel, .* got --mpp 0.5; give another"
    ):
        cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, mpp=0.5)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "datalist.json").write_text("{")
    with pytest.raises(DatalistError, match="is not valid JSON"):
        cut_out(tmp_path / "in", tmp_path / "broken", TISSUE, None)
    more = ClassMap((*TISSUE.names, "necrosis"))
    cut_out(tmp_path / "in", tmp_path / "out", more, None)
    assert class_names_of(tmp_path / "out" / "datalist.json", "tissue_classes", []) == list(more.names)


def test_packed_annotations(tmp_path):
    """They were passed over without a word."""
    slide(tmp_path / "in", "a", *annotated())
    label = tmp_path / "in" / "a.geojson"
    (tmp_path / "in" / "a.geojson.gz").write_bytes(gzip.compress(label.read_bytes()))
    label.unlink()
    assert len(cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None).datalist["training"]) == 1


@pytest.mark.parametrize("name", ["a.v1", "a.v1.tif"])
def test_slides_are_held_out_by_their_stem(tmp_path, name):
    slide(tmp_path / "in", "a.v1", *annotated(), label="a.v1.tif.geojson")
    slide(tmp_path / "in", "b", *annotated())
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, holdout=[name])
    assert names(done.datalist, "validation") == ["a.v1.tif"]


def test_one_bad_file_does_not_stop_the_others(tmp_path, capsys):
    slide(tmp_path / "in", "a", *annotated())
    slide(tmp_path / "in", "b", *annotated(), square("fat", 90, 90, 20))
    (tmp_path / "in" / "c.geojson").write_text("{}")
    arguments = ["datalist", str(tmp_path / "in"), "--layout", "regions", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--tissue-classes", *TISSUE.names]) == 1
    said = capsys.readouterr().out
    assert "skipped: b.geojson has unknown classes ['fat']" in said
    assert "expected one slide or image named c beside it, found none" in said
    assert "training: 1 images (0 with instances, 0 with types, 1 with tissue)" in said


@pytest.mark.parametrize("label", ["a\u0308.geojson", "a\u0308.tif.geojson"])
def test_annotations_that_a_mac_named(tmp_path, label):
    slide(tmp_path / "in", "\u00e4", *annotated(), label=label)
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None, holdout=["a\u0308.tif"[: len(label) - 8]])
    assert done.skipped == []
    assert len(done.datalist["validation"]) == 1


def test_nuclei_too(tmp_path):
    slide(tmp_path / "in", "a", *annotated(), square("round", 20, 60, 6), square("round", 40, 60, 6))
    nuclei = ClassMap(("background", "round", "spindle"))
    [item] = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, nuclei).datalist["training"]
    assert np.unique(read_label(item["instances"])).tolist() == [0, 1, 2]
    assert np.unique(read_label(item["types"])).tolist() == [0, 1]


def test_one_class_of_tissue_and_nuclei(tmp_path):
    """The tissue map was 1 on the nuclei and background elsewhere."""
    cells = [square("tumour", x, 60, 6) for x in (20, 40)]
    for cell in cells:
        cell["properties"]["objectType"] = "detection"
    slide(tmp_path / "in", "a", square("Region*", 8, 8, 64), square("tumour", 12, 12, 56), *cells)
    nuclei = ClassMap(("background", "tumour"))
    [item] = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, nuclei).datalist["training"]
    assert (read_label(item["tissue"]) == 1).sum() == 56 * 56
    assert (read_label(item["types"]) == 1).sum() == 2 * 36


def test_a_region_says_something_about_what_was_drawn_in_it(tmp_path):
    """A region with tissue only taught that there were no nuclei, one with nuclei only that all was background."""
    regions = [square("Region*", x, y, 40) for x, y in ((0, 0), (60, 0), (0, 60), (60, 60))]
    drawn = [
        square("tumour", 4, 4, 20),
        square("round", 70, 10, 6),
        square("tumour", 4, 64, 20),
        square("round", 10, 70, 6),
    ]
    slide(tmp_path / "in", "a", *regions, *drawn)
    nuclei = ClassMap(("background", "round"))
    done = cut_out(tmp_path / "in", tmp_path / "out", TISSUE, nuclei, validation_fraction=0)
    tissue, cells, both = done.datalist["training"]  # nothing was drawn in the fourth
    assert "instances" not in tissue
    assert "types" not in tissue
    assert "tissue" not in cells
    assert (read_label(cells["instances"]) == 0).sum() == 40 * 40 - 36
    assert (read_label(both["tissue"]) == 0).sum() == 40 * 40 - 400
    assert (read_label(both["instances"]) == 1).sum() == 36
    assert done.notes == [
        "of 3 tiles 1 hold no nuclei and 1 hold no tissue: they say nothing about it, and not that there is none"
    ]


def test_a_region_is_empty_where_one_kind_of_classes_is_named(tmp_path):
    slide(tmp_path / "in", "a", square("Region*", 0, 0, 40))
    for classes, key in (((TISSUE, None), "tissue"), ((None, ClassMap(("background", "round"))), "instances")):
        [item] = cut_out(tmp_path / "in", tmp_path / key, *classes).datalist["training"]
        assert (read_label(item[key]) == 0).all()
        assert {"tissue", "instances"} & item.keys() == {key}
    with pytest.raises(DatalistError, match=r"a.geojson: nothing was drawn in what was annotated; draw"):
        cut_out(tmp_path / "in", tmp_path / "both", TISSUE, ClassMap(("background", "round")))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (True, {"tissue_classes": None}, "Name the classes that were drawn with --tissue-classes or --nuclei-classes"),
        (False, {}, "is not a folder; give the one with the slides"),
        (True, {"holdout": ["z"]}, "Names to hold out that no image has: z"),
        (True, {"validation_fraction": 1.0}, "Expected a validation share from 0 to below 1"),
        (
            True,
            {"tissue_classes": ClassMap(("background", "x"))},
            "No annotated slide in .* can be used. a.geojson has",
        ),
    ],
)
def test_what_is_refused(tmp_path, make, options, message):
    if make:
        slide(tmp_path / "in", "a", *annotated())
    arguments = {"tissue_classes": TISSUE, "nuclei_classes": None, **options}
    with pytest.raises(DatalistError, match=message):
        cut_out(tmp_path / "in", tmp_path / "out", **arguments)


@pytest.mark.parametrize("other", ["a.tif.geojson", "a.xml", "a.geojson.gz"])
def test_two_files_of_annotations_of_one_slide(tmp_path, other):
    """One was trained on and the other validated by."""
    slide(tmp_path / "in", "a", *annotated())
    slide(tmp_path / "in", "a", *annotated(), label=other)
    with pytest.raises(DatalistError, match=r"a\.tif: expected one file of annotations, got a\.\S+ and a\.") as refused:
        cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert "a.geojson" in str(refused.value)
    assert other in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [([], "name a folder for them with --output"), (["--output", "x", "--also", "y"], "are for --layout folders")],
)
def test_wrong_arguments(tmp_path, capsys, options, message):
    assert main(["datalist", str(tmp_path), "--layout", "regions", "--tissue-classes", "a", "b", *options]) == 1
    assert message in capsys.readouterr().err


def test_a_full_disk_is_no_fault_of_the_slide(tmp_path):
    """Each slide was called one that cannot be used."""
    slide(tmp_path / "in", "a", *annotated())
    slide(tmp_path / "in", "b", *annotated())
    with file_size_limit(2000), pytest.raises(NoRoomError, match=r"^\S+slides/a/\S+: the results cannot be written"):
        cut_out(tmp_path / "in", tmp_path / "out", TISSUE, None)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

import json
from unicodedata import normalize

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.data.datalist import (
    DatalistError,
    check_replaced,
    fingerprint,
    keep_sections,
    load_datalist,
    put_aside,
    said_of_resolutions,
    scan_folder,
    write_datalist,
)


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        save(tmp_path / "a" / "images" / f"{i}.png")
        save(tmp_path / "a" / "nuclei" / f"{i}_inst.png")
        save(tmp_path / "a" / "nuclei" / f"{i}_type.png")
    for i in range(3):
        save(tmp_path / "b" / "images" / f"t{i}.png")
        save(tmp_path / "b" / "tissue" / f"t{i}.png")
    save(tmp_path / "b" / "images" / "unlabelled.png")
    return tmp_path


def test_scan_write_load(folder):
    datalist = scan_folder(folder, validation_fraction=0.4)
    assert [len(datalist[s]) for s in ("training", "validation")] == [5, 3]  # 2 of 5 and 1 of 3 kept
    item = next(i for i in datalist["training"] if i["dataset"] == "a")
    assert item["instances"].endswith("_inst.png")
    assert item["types"].endswith("_type.png")
    assert {i["dataset"] for i in datalist["validation"]} == {"a", "b"}
    write_datalist(folder / "lists" / "datalist.json", datalist)
    assert load_datalist(folder / "lists" / "datalist.json", "training") == datalist["training"]


def test_paths_are_relative_to_the_file(folder):
    write_datalist(folder / "datalist.json", scan_folder(folder))
    first = json.loads((folder / "datalist.json").read_text())["training"][0]
    assert not first["image"].startswith("/")


def test_holdout_and_datasets(folder):
    datalist = scan_folder(folder, holdout=["1", "t2"])
    assert sorted(i["image"].rpartition("/")[2] for i in datalist["validation"]) == ["1.png", "t2.png"]
    only = scan_folder(folder, datasets=["b"])
    assert {i["dataset"] for i in only["training"] + only["validation"]} == {"b"}


def test_one_image_is_for_training(tmp_path):
    save(tmp_path / "images" / "x.png")
    save(tmp_path / "tissue" / "x.png")
    datalist = scan_folder(tmp_path, validation_fraction=0.9)
    assert [len(datalist["training"]), len(datalist["validation"])] == [1, 0]


def test_scan_errors(folder, tmp_path):
    with pytest.raises(DatalistError, match="is not a folder"):
        scan_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match="No labelled image"):
        scan_folder(tmp_path / "empty")
    with pytest.raises(DatalistError, match="no image has: nobody"):
        scan_folder(folder, holdout=["nobody"])
    with pytest.raises(DatalistError, match="named c"):
        scan_folder(folder, datasets=["c"])
    with pytest.raises(DatalistError, match="share from 0 to below 1"):
        scan_folder(folder, validation_fraction=1.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "an object with lists training, validation, testing"),
        ("[" * 100_000, "not valid JSON"),
        ('{"training": {"image": "a.png"}}', "a list under 'training'"),
        (
            '{"training": [{"image": "a.png", "instances": 3}]}',
            "a file under 'instances', got 3; leave instances",
        ),
        ('{"training": [{"image": "a.png", "tissue": 3}]}', "a file under 'tissue', got 3"),
        ('{"training": [{"image": "a.png", "types": ["b.png"]}]}', r"a file under 'types', got \['b.png'\]"),
        ('{"training": [{"image": "a.png", "mpp": 0}]}', "microns per pixel above 0"),
        ('{"training": [{"image": "a.png", "mpp": true}]}', "microns per pixel above 0"),
        ('{"training": [{"image": "a.png", "dataset": []}]}', "a name under 'dataset'"),
        ('{"training": []}', "no items under 'training'"),
        ('{"training": [3]}', "training item 0: expected an object"),
        ('{"training": [{"image": "a.png", "mask": "b.png"}]}', r"unknown keys \['mask'\]"),
        ('{"training": [{"image": "gone.png"}]}', r"1 files of section 'training' are missing \(first: .*gone.png"),
    ],
)
def test_bad_datalists(tmp_path, content, words):
    (tmp_path / "datalist.json").write_text(content)
    with pytest.raises(DatalistError, match=words):
        load_datalist(tmp_path / "datalist.json", "training")


def test_missing_file(tmp_path):
    with pytest.raises(DatalistError, match=r"Datalist not found.*coseg datalist FOLDER"):
        load_datalist(tmp_path / "none.json", "training")


def test_the_fingerprint_of_a_datalist(tmp_path):
    """It differs with the images and labels, not with where they lie; testing is not trained on."""
    items = {"training": [{"image": str(tmp_path / "a" / "x.png"), "mpp": 0.5}], "testing": []}
    (tmp_path / "b").mkdir()
    write_datalist(tmp_path / "a" / "d.json", items)
    moved = (tmp_path / "a" / "d.json").read_text()
    (tmp_path / "b" / "d.json").write_text(moved)
    text = fingerprint(tmp_path / "a" / "d.json")
    assert text.startswith("1 training, 0 validation images (")
    assert fingerprint(tmp_path / "b" / "d.json") == text
    (tmp_path / "b" / "d.json").write_text(moved.replace("0.5", "0.25"))
    assert fingerprint(tmp_path / "b" / "d.json") != text


def test_what_is_not_in_the_list_is_named(folder):
    save(folder / "a" / "nuclei" / "lonely.png")
    save(folder / "a" / "instances" / "0_inst.png")
    save(folder / "a" / "images" / "1.tif")
    (folder / "b" / "tissue" / "t0.geojson").touch()
    (folder / "b" / "images" / "._t0.png").touch()
    (folder / "__MACOSX" / "b" / "images").mkdir(parents=True)
    save(folder / "__MACOSX" / "b" / "tissue" / "t0.png")
    dropped: list[str] = []
    datalist = scan_folder(folder, dropped=dropped)
    said = "\n".join(dropped)
    assert "1 images without a label: unlabelled.png" in said
    assert "labels without an image: 1_inst.png, 1_type.png, lonely.png" in said  # the images 1 are two
    assert "instances/0_inst.png: " in said
    assert "nuclei/0_inst.png is the label of the same image" in said
    assert "1 files that are no label maps: t0.geojson" in said
    assert "b/images: left out: 1 hidden" in said
    listed = [item for items in datalist.values() for item in items]
    assert len(listed) == 4 + 3
    assert not any("__MACOSX" in item["image"] for item in listed)


def test_datasets_of_one_name_keep_apart(tmp_path):
    for site in "xy":
        save(tmp_path / site / "set" / "images" / "0.png")
        save(tmp_path / site / "set" / "nuclei" / "0.png")
    datalist = scan_folder(tmp_path, validation_fraction=0)
    assert [item["dataset"] for item in datalist["training"]] == ["x/set", "y/set"]
    for item in datalist["training"]:
        assert item["image"].replace("/images/", "/nuclei/") == item["instances"]
    assert len(scan_folder(tmp_path, datasets=["x/set"])["training"]) == 1
    assert len(scan_folder(tmp_path, validation_fraction=0, datasets=["set"])["training"]) == 2


def test_a_datalist_does_not_take_the_place_of_an_image(folder):
    image = folder / "a" / "images" / "0.png"
    before = image.read_bytes()
    with pytest.raises(DatalistError, match=r"is there and is no datalist; give another name, ending in \.json"):
        write_datalist(image, scan_folder(folder))
    assert image.read_bytes() == before
    for content in ("{", '{"mean": {}}'):
        (folder / "report.json").write_text(content)
        with pytest.raises(DatalistError, match=r"report\.json is there and is no datalist; give another name\."):
            write_datalist(folder / "report.json", scan_folder(folder))
        assert (folder / "report.json").read_text() == content


def test_sections_of_a_divided_list_are_kept(tmp_path):
    def items(names):
        return [{"image": str(tmp_path / f"{name}.png")} for name in names]

    path = tmp_path / "list.json"
    new = {"training": items("abc"), "validation": items("d")}
    assert keep_sections(path, new) == (new, [])  # none is there
    write_datalist(path, {"training": items("abcd")})
    assert keep_sections(path, new) == (new, [])  # it is not divided
    check_replaced(path, new, {})
    write_datalist(path, {"training": items("a"), "validation": items("d"), "testing": items("bx")})
    kept, [said] = keep_sections(path, new)
    assert kept == {"training": items("ac"), "validation": items("d"), "testing": items("b")}
    assert said.endswith(
        "(training: 2, validation: 1, testing: 1); new: c (training); not listed any more: x (testing)"
    )
    check_replaced(path, kept, {})
    with pytest.raises(DatalistError, match=r"would lose the section of 1 images \(first: testing of .*b\.png\); give"):
        check_replaced(path, new, {})
    check_replaced(path, new, {}, given=["testing"])
    (tmp_path / "link").symlink_to(tmp_path)
    linked = {
        name: [{"image": str(tmp_path / "link" / f"{i}.png")} for i in of] for name, of in (("training", "abcd"),)
    }
    kept = keep_sections(path, linked)[0]  # however images are spelled
    assert {name: [item["image"][-5:] for item in of] for name, of in kept.items()} == {
        "training": ["a.png", "c.png"],
        "validation": ["d.png"],
        "testing": ["b.png"],
    }
    both = {"training": items("ab"), "validation": items("bd")}  # which is said elsewhere
    assert keep_sections(tmp_path / "none.json", both) == (both, [])
    write_datalist(tmp_path / "both.json", both)
    assert keep_sections(tmp_path / "both.json", both) == (both, [])
    (note,) = put_aside(path, new, {})
    assert "names, mpp or sections in it are not in the new one; it is list.former.json now" in note


def test_what_belongs_together_stays_in_one_section(tmp_path):
    def item(name):
        return {"image": str(tmp_path / name / "0.tif")}

    path = tmp_path / "datalist.json"
    write_datalist(path, {"training": [item("a1")], "validation": [item("b1")]})
    new = {"training": [item("b1"), item("b2")], "validation": [item("a1"), item("a2")]}
    kept, [said] = keep_sections(path, new, lambda of: f"{of['image'][-8]}.tif")  # a or b
    assert kept == {"training": new["validation"], "validation": new["training"]}
    assert "stay in their sections (training: 2, validation: 2)" in said


def test_null_is_what_is_not_given(folder):
    image = str(folder / "a" / "images" / "0.png")
    nothing = dict.fromkeys(("instances", "types", "tissue", "mpp", "dataset"))
    (folder / "datalist.json").write_text(json.dumps({"training": [{"image": image, **nothing}]}))
    assert load_datalist(folder / "datalist.json", "training") == [{"image": image}]


def test_what_files_say_of_their_resolution_is_in_the_list(folder):
    """As `coseg predict` reads it: labels and images at 0.5 um are no pixels of 0.25."""
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "photometric": "rgb"}
    tifffile.imwrite(folder / "b" / "images" / "half.tif", np.zeros((4, 4, 3), np.uint8), **options)
    save(folder / "b" / "tissue" / "half.png")
    datalist = scan_folder(folder, validation_fraction=0)
    said = {item["image"].rpartition("/")[2]: item.get("mpp") for item in datalist["training"]}
    assert said["half.tif"] == pytest.approx(0.5)
    assert set(said.values()) == {None, said["half.tif"]}


def test_images_of_which_some_say_their_resolution():
    """They were trained on at two resolutions, and nothing said so."""
    said, silent = {"image": "a.tif", "mpp": 0.5}, {"image": "b.png"}
    assert said_of_resolutions([said, {**said, "image": "c.tif"}]) == said_of_resolutions([silent]) == ()
    [sentence] = said_of_resolutions([said, silent, {"image": "d.png"}])
    assert sentence.startswith("2 of 3 images have no mpp (first: b.png): they are not resampled")


def test_labels_that_are_not_looked_at_are_named(tmp_path):
    for place in ("images", "tissue", "masks", "Nuclei"):
        save(tmp_path / place / "a.png")
    for name in ("a.png", "a_inst.png", "a.jpg"):
        save(tmp_path / "instances" / name)
    (tmp_path / "thumbnails").mkdir()
    dropped: list[str] = []
    (item,) = scan_folder(tmp_path, dropped=dropped)["training"]
    assert item["instances"].endswith("a_inst.png")
    said = "\n".join(dropped)
    assert "a.png: a_inst.png is the label of the same image" in said
    assert "instances: 1 files that are no label maps: a.jpg; JPEG changes ids: save PNG or TIFF" in said
    assert "masks: 1 files that are called as images are: a.png; labels are looked for in nuclei, types, tissue" in said
    assert ("Nuclei: 1 files" in said) == (not (tmp_path / "nuclei").exists())
    assert len(dropped) == 3 + ("Nuclei: 1 files" in said)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_labels_that_a_mac_named(tmp_path, forms):
    """An umlaut in one character, and in two: they looked alike, and the types were not in the list."""
    of_image, of_label = (normalize(form, "Färbung") for form in forms)
    save(tmp_path / "images" / f"{of_image}.png")
    save(tmp_path / "images" / "b.png")
    for name in (of_label, "b"):
        save(tmp_path / "nuclei" / f"{name}.png")
        save(tmp_path / "nuclei_type" / f"{name}_type.png")
    dropped = []
    datalist = scan_folder(tmp_path, holdout=[of_label], dropped=dropped)
    assert dropped == []
    (item,) = datalist["validation"]
    assert item.keys() >= {"image", "instances", "types"}
    with pytest.raises(DatalistError, match="Names to hold out that no image has: c"):
        scan_folder(tmp_path, holdout=["c"])
    save(tmp_path / "images" / f"{of_label}.png")
    scan_folder(tmp_path, dropped=dropped)
    assert sum("another image has its stem" in sentence for sentence in dropped) == 2

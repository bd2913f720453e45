import json
import re

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.evaluation.scored import label_checksums, readable_items, scored_items, unlike_pixels

TISSUE, NUCLEI = ["background", "gland"], ["background", "a", "b"]
NAMED = {"nuclei_classes": {"0": "background", "1": "a", "2": "b"}}


def datalist(folder, classes=None, keys=("instances", "types", "tissue"), dataset=None):
    item = {key: f"{key}.png" for key in ("image", *keys)}
    names = [*item.values()]
    if dataset:
        item["dataset"] = dataset
    for name in names:
        Image.fromarray(np.ones((4, 4), np.uint8)).save(folder / name)
    path = folder / "datalist.json"
    path.write_text(json.dumps({**(classes or {}), "training": [item], "validation": [item]}))
    return str(path)


def test_all_labels_that_fit(tmp_path):
    found = scored_items(datalist(tmp_path, NAMED), "validation", TISSUE, NUCLEI)
    assert found.items[0].keys() >= {"image", "instances", "types", "tissue"}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("classes", "options", "gone", "note"),
    [
        (None, {"nuclei_classes": ["background", "nucleus"]}, "types", "knows one class of nuclei .nucleus."),
        (
            NAMED,
            {"nuclei_classes": ["background", "b", "c"], "training": {"nuclei_merge": {"d": [0, 1, 2]}}},
            "types",
            "classes background, a, b, and the network background, b, c",
        ),
        (None, {"untrained": ["types"]}, "types", "Classes of nuclei: not scored, the weights were trained without"),
        (NAMED, {"untrained": ["tissue"]}, "tissue", "Tissue: not scored, the weights were trained without labels"),
        (
            {**NAMED, "tissue_classes": {"0": "glass", "1": "tumour"}},
            {},
            "tissue",
            "Tissue: not scored, the datalist has the classes glass, tumour, and the network background, gland",
        ),
    ],
)
def test_what_is_left_out_and_why(tmp_path, classes, options, gone, note):
    options = {"tissue_classes": TISSUE, "nuclei_classes": NUCLEI, **options}
    found = scored_items(datalist(tmp_path, classes), "validation", **options)
    assert found.items[0].keys() >= {"image", "instances", "types", "tissue"} - {gone}
    assert gone not in found.items[0]
    [sentence] = found.notes
    assert re.search(note, sentence)


def test_merged_classes_are_not_compared_by_name(tmp_path):
    names = ["background", "both", "more"]
    found = scored_items(datalist(tmp_path, NAMED), "validation", TISSUE, names, nuclei_merge=[0, 1, 1])
    assert found.notes == ()


@pytest.mark.parametrize("dataset", [None, "d", "e"])
@pytest.mark.parametrize("merged", [{"d": [0, 2, 1]}, [0, 2, 1], None])
def test_the_same_names_in_another_order_are_told_by_name(tmp_path, dataset, merged):
    """Whatever the set is called, and however the weights' own sets were merged."""
    path = datalist(tmp_path, NAMED, dataset=dataset)
    for names, expected in ((["background", "b", "a"], [0, 2, 1]), (NUCLEI, [0, 1, 2])):
        found = scored_items(path, "validation", TISSUE, names, training={"nuclei_merge": merged})
        assert found.nuclei_merge == expected
        assert bool(found.notes) == (
            dataset == "d" and isinstance(merged, dict)
        )  # said: another file of the set has its own


def test_names_differ_in_case(tmp_path):
    found = scored_items(datalist(tmp_path, NAMED), "validation", TISSUE, ["Background", "B", "A"])
    assert (found.nuclei_merge, found.notes) == ([0, 2, 1], ())


def test_labels_that_know_fewer_classes_than_the_network(tmp_path):
    """Glands against the rest, and one of the two nuclei: the network's other classes count as background."""
    path = datalist(tmp_path, {"tissue_classes": {"0": "background", "1": "Gland"}, "nuclei_classes": {"1": "b"}})
    found = scored_items(path, "validation", ["empty", "gland", "other_tissue"], NUCLEI)
    assert (found.tissue_merge, found.tissue_unknown) == ([0, 1], (2,))
    assert (found.nuclei_merge, found.types_unknown) == ([0, 2], (1,))
    assert found.notes == (
        "Tissue: the labels have no other_tissue, so that counts as background.",
        "Classes of nuclei: the labels have no a, so that counts as background.",
    )


def test_names_that_differ_in_case_alone_are_two(tmp_path):
    path = datalist(tmp_path, {"nuclei_classes": {"1": "A", "2": "b", "3": "a"}})
    found = scored_items(path, "validation", TISSUE, ["background", "a", "A", "b"])
    assert found.nuclei_merge == [0, 2, 3, 1]


def test_ids_without_names_are_said(tmp_path):
    [note] = scored_items(datalist(tmp_path, NAMED), "validation", ["empty", "gland", "other_tissue"], NUCLEI).notes
    assert note == "Tissue: the datalist names no classes, so ids count as 0 empty, 1 gland, 2 other_tissue."


def test_a_merge_that_counts_a_class_as_another_is_not_used(tmp_path):
    names = {"nuclei_classes": {"1": "b", "2": "a", "3": "c"}}
    found = scored_items(
        datalist(tmp_path, names), "validation", TISSUE, NUCLEI, training={"nuclei_merge": [0, 1, 2, 255]}
    )
    assert "types" not in found.items[0]
    found = scored_items(
        datalist(tmp_path, names), "validation", TISSUE, NUCLEI, training={"nuclei_merge": [0, 2, 1, 255]}
    )
    assert found.nuclei_merge == [0, 2, 1, 255]


def test_ids_without_names_are_merged_as_the_training_did(tmp_path):
    training = {"nuclei_merge": {"d": [0, 2, 1]}, "tissue_merge": None}
    found = scored_items(datalist(tmp_path), "validation", TISSUE, NUCLEI, training=training)
    assert (found.tissue_merge, found.nuclei_merge) == (None, {"d": [0, 2, 1]})
    assert found.notes == ("Classes of nuclei: the datalist names no classes, so ids count as 0 background, 1 a, 2 b.",)
    [note] = scored_items(datalist(tmp_path, dataset="d"), "validation", TISSUE, NUCLEI, training=training).notes
    assert "the datalist names none, so ids are merged as in the weights' training" in note
    given = scored_items(
        datalist(tmp_path, dataset="d"), "validation", TISSUE, NUCLEI, nuclei_merge={}, training=training
    )
    assert (given.nuclei_merge, given.notes) == ({}, ())


def test_other_names_that_the_training_merged(tmp_path):
    """PUMA's six tissues as tumour or not: said, name by name."""
    names = {**NAMED, "tissue_classes": {"0": "white", "1": "tumour", "2": "stroma", "3": "blood"}}
    path = datalist(tmp_path, names)
    found = scored_items(path, "validation", TISSUE, NUCLEI, training={"tissue_merge": [0, 1, 0, 255]})
    assert found.tissue_merge == [0, 1, 0, 255]
    [note] = found.notes
    assert "white as background, tumour as gland, stroma as background, blood as none" in note
    assert "not scored" in scored_items(path, "validation", TISSUE, NUCLEI, training={"tissue_merge": [0, 1]}).notes[0]


def test_a_broken_file_does_not_stop_the_others():
    items = [{"image": f"/data/{folder}/a.png"} for folder in "xyz"]

    def load(item):
        if "y" in item["image"]:
            raise ImageFileError("cut off\nhere")
        return item, (f"{item['image']}: read so",)

    found = readable_items(items, load)
    assert found.items == [items[0], items[2]]
    assert found.failed == ("y_a: cut off",)
    assert found.notes == ("/data/x/a.png: read so", "/data/z/a.png: read so")
    assert found.names == {"/data/x/a.png": "x_a", "/data/z/a.png": "z_a"}
    with pytest.raises(ImageFileError, match=r"None of the 1 images can be scored\. First: a: cut off"):
        readable_items(items[1:2], load)
    with pytest.raises(ValueError, match="is in the datalist twice"):
        readable_items(items[:1] * 2, load)
    with pytest.raises(ZeroDivisionError):  # a fault of ours
        readable_items(items, lambda item: 1 / 0)


def test_nuclei_without_a_class_are_counted():
    loaded = {"instances": np.array([[[0, 1, 2, 3]]]), "types": np.array([[[0, 255, 2, 255]]])}
    items = [{"image": f"/data/{name}.png", "instances": "i", "types": "t"} for name in "ab"]
    sentence = "Classes of nuclei: 4 nuclei of the labels have none, and count in no class."
    assert readable_items(items, lambda item: (loaded, ())).notes == (sentence,)
    assert readable_items([{"image": "/data/a.png", "instances": "i"}], lambda item: (loaded, ())).notes == ()


def test_labels_that_nobody_has(tmp_path):
    found = scored_items(datalist(tmp_path, keys=("instances",)), "validation", TISSUE, NUCLEI)
    assert found.notes == (
        "Classes of nuclei: not scored, no image of validation has labels for it.",
        "Tissue: not scored, no image of validation has labels for it.",
    )


def test_nothing_to_score(tmp_path):
    path = datalist(tmp_path, keys=("tissue",))
    with pytest.raises(ValueError, match=r"has nothing in validation that this network can .*without labels"):
        scored_items(path, "validation", TISSUE, NUCLEI, untrained=["tissue"])


def test_two_classes_the_other_way_round(tmp_path):
    path = datalist(tmp_path, {**NAMED, "tissue_classes": {"0": "gland", "1": "background"}})
    assert scored_items(path, "validation", TISSUE, NUCLEI).tissue_merge == [1, 0]


def test_a_merge_is_compared_with_the_name_that_is_meant(tmp_path):
    """`a` and `A` are two classes of the network: the training's merge counts `a` as `a`."""
    path = datalist(tmp_path, {"nuclei_classes": {"1": "a", "2": "x"}})
    names = ["background", "A", "a"]
    found = scored_items(path, "validation", TISSUE, names, training={"nuclei_merge": [0, 2, 255]})
    assert found.nuclei_merge == [0, 2, 255]


def test_images_whose_pixels_differ_in_size():
    """Their distances are in pixels, and mean different lengths; a tenth is the same size."""
    items = [{"tissue": "t.png", "mpp": mpp} for mpp in (0.5, 0.54)]
    assert unlike_pixels(items) == unlike_pixels([{"tissue": "t.png"}]) == unlike_pixels([{"mpp": 1}, *items]) == ()
    [sentence] = unlike_pixels([*items, {"tissue": "t.png", "mpp": 0.25}])
    assert sentence == (
        "Tissue: the images' pixels are 0.25 to 0.54 um, so distances (HD, HD95) in pixels mean different lengths: "
        "look at those of each image."
    )
    [sentence] = unlike_pixels([*items, {"tissue": "t.png"}])
    assert "0.5 to 0.54 um, those of 1 images unknown, so" in sentence


def test_an_image_that_its_tag_turns_is_said(tmp_path):
    """A network's report says it too: labels of the stored pixels gave 0 without a word."""
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    [note] = readable_items([{"image": str(tmp_path / "a.jpg")}], lambda item: (item, ())).notes
    assert note.endswith("a.jpg: turned as its orientation tag (6) says; labels of the unturned pixels do not fit")


def test_what_changes_the_checksum_of_a_label(tmp_path):
    """A file, wherever it lies; the names of class maps; nothing else."""
    for name in "ab":
        Image.fromarray(np.full((2, 2), 1, np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.full((2, 2), 2, np.uint8)).save(tmp_path / "c.png")

    def of(instances, tissue, names=None):
        (tmp_path / "d.json").write_text(json.dumps({"tissue_classes": names} if names else {}))
        item = {"image": "/x.png", **{"instances": str(tmp_path / instances), "tissue": str(tmp_path / tissue)}}
        return label_checksums([item], tmp_path / "d.json")["/x.png"]

    first = of("a.png", "a.png")
    assert [*first] == ["instances", "tissue"]
    assert all(len(checksum) == 8 for checksum in first.values())
    assert of("b.png", "b.png") == first
    assert of("c.png", "a.png") == {**of("c.png", "c.png"), "tissue": first["tissue"]} != first
    named = of("a.png", "a.png", {"1": "gland"})
    assert named["instances"] == first["instances"]  # names say nothing of instances
    assert len({first["tissue"], named["tissue"], of("a.png", "a.png", {"1": "tumour"})["tissue"]}) == 3

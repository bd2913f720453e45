import json

import pytest

from coseg_bundle.data.classes import alike, join
from coseg_bundle.data.datalist import DatalistError

OURS = ["background", "other", "epithelial"]


@pytest.fixture
def other(tmp_path):
    for name in ("b.png", "b.tif", "c.png", "c.tif"):
        (tmp_path / name).touch()

    def write(table=None, **item):
        path = tmp_path / "other.json"
        names = {} if table is None else {"nuclei_classes": table}
        items = {"training": [{"image": "b.png", **item}], "validation": [{"image": "c.png"}]}
        path.write_text(json.dumps({**names, **items}))
        return path

    return write


def ours(**item):
    return {"training": [{"image": "/a.png", **item}], "validation": []}


def test_training_items_and_names_come_along_by_hand(other):
    datalist, names = ours(), {"nuclei_classes": OURS}
    path = other({"1": "other", "2": "epithelial", "3": "spindle"}, types="b.tif")
    assert join(datalist, names, [path]) == []
    assert [item["image"] for item in datalist["training"]] == ["/a.png", str(path.with_name("b.png"))]
    assert datalist["validation"] == []
    assert names == {"nuclei_classes": [*OURS, "spindle"]}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"1": "epithelial", "2": "other"}, "in which 1 is other, got 1=epithelial; .* with nuclei_merge"),
        ({"1": "Other", "2": "epithelial"}, "in which 1 is other, got 1=Other"),
    ],
)
def test_an_id_of_two_meanings(other, table, words):
    with pytest.raises(DatalistError, match=words):
        join(ours(), {"nuclei_classes": OURS}, [other(table)])


def test_labels_without_names_are_said(other):
    path = other(None, types="b.tif")
    (note,) = join(ours(), {"nuclei_classes": OURS}, [path])
    assert note == (
        f"1 types labels of {path} have no names; they count as nuclei_classes 0 background, 1 other, 2 epithelial"
    )
    path = other({"1": "other"})
    names: dict[str, list[str]] = {}
    (note,) = join(ours(types="/a.tif"), names, [path])
    assert (
        note == f"1 types labels listed before {path} have no names; they count as nuclei_classes 0 background, 1 other"
    )
    assert names == {"nuclei_classes": ["background", "other"]}
    assert join(ours(instances="/a.tif"), {}, [path]) == []


def test_an_image_that_is_there_already(other):
    path = other()
    with pytest.raises(DatalistError, match=r"1 images are listed already .* list each once"):
        join(ours(), {}, [path, path])


def test_names_that_differ_in_case():
    assert alike({"tissue_classes": ["background", "Tumor", "stroma", "tumor"]}) == [
        "tissue_classes: Tumor and tumor differ in case only, and count as different classes"
    ]
    assert alike({"tissue_classes": OURS, "nuclei_classes": OURS}) == []

import json
import re

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.evaluation.scored import scored_items

TISSUE, NUCLEI = ["background", "gland"], ["background", "a", "b"]
NAMED = {"nuclei_classes": {"0": "background", "1": "a", "2": "b"}}


def datalist(folder, classes=None, keys=("instances", "types", "tissue")):
    item = {key: f"{key}.png" for key in ("image", *keys)}
    for name in item.values():
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
            {"nuclei_classes": ["background", "b", "a"]},
            "types",
            "classes background, a, b, and the network background, b, a",
        ),
        (None, {"untrained": ["types"]}, "types", "Classes of nuclei: not scored, the weights were trained without"),
        (None, {"untrained": ["tissue"]}, "tissue", "Tissue: not scored, the weights were trained without labels"),
        (
            {"tissue_classes": {"0": "glass", "1": "tumour"}},
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

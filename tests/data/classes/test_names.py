import json

import pytest

from coseg_bundle.data.classes import class_names_of, names_by_id
from coseg_bundle.data.datalist import DatalistError, read_class_tables, write_datalist


def written(path, **content):
    path.write_text(json.dumps(content))
    return path


def test_names_by_hand(tmp_path):
    path = written(tmp_path / "d.json", nuclei_classes={"2": "b", "1": "a"}, tissue_classes={"0": "stroma", "1": "fat"})
    assert class_names_of(path, "nuclei_classes", ["x"]) == ["background", "a", "b"]
    assert class_names_of(path, "tissue_classes", ["x"]) == ["stroma", "fat"]
    assert class_names_of(written(tmp_path / "e.json"), "tissue_classes", ["x", "y"]) == ["x", "y"]
    assert class_names_of("", "tissue_classes", ["x"]) == class_names_of("gone.json", "tissue_classes", ["x"]) == ["x"]


def test_they_are_written_and_read_again(tmp_path):
    tables = {"nuclei_classes": {"0": "background", "1": "a"}}
    write_datalist(tmp_path / "d.json", {"training": []}, tables)
    assert read_class_tables(tmp_path / "d.json") == tables


def test_names_of_a_command():
    assert names_by_id(["background", "a", "b"], "nuclei_classes") == ["background", "a", "b"]
    assert names_by_id(["0=stroma", "1=fat"], "tissue_classes") == ["stroma", "fat"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["1=a", "3=c"], "no name for label id 2; expected one for each from 1 to 3"),
        (["9=x"], "no name for label id 1, 2, 3, 4, 5 and 3 more; expected one for each from 1 to 9"),
        (
            ["1000000000000=x"],
            "expected label ids of nuclei_classes below 255, which means unlabelled; got 1000000000000",
        ),
        (["a", "b"], "label id 0 of nuclei_classes must be background, got a"),
        (["1=a", "b"], "all as ID=NAME, each id once; got 1=a b"),
        (["background", 'T: x=1, "q"'], 'got background T: x=1, "q"; where a name has = in it, give all as ID=NAME'),
        (["1=a", "1=b"], "each id once; got 1=a 1=b"),
        (["x=a"], 'expected nuclei_classes as {"1": "tumour", ...}'),
        (["background", "a", "a"], "The command, nuclei_classes: Expected class names that are unique"),
        (["1="], "not empty"),
    ],
)
def test_unusable_names(texts, words):
    with pytest.raises(ValueError, match=words):
        names_by_id(texts, "nuclei_classes")


def test_unusable_tables(tmp_path):
    with pytest.raises(DatalistError, match="a name for each label id"):
        class_names_of(written(tmp_path / "d.json", nuclei_classes=["a"]), "nuclei_classes", [])

import json
from types import SimpleNamespace

import pytest

from coseg_bundle.data.datalist import read_class_tables
from coseg_bundle.evaluation.compare import read_report


def item(name, dataset):
    return {"image": f"{name}.png", "dataset": dataset}


def test_each_image_of_a_validated_dataset_is_validated_once(script):
    training = [item("c", "nuclei"), item("a", "nuclei"), item("x", "glands"), item("n", "never")]
    validation = [item("b", "nuclei"), item("y", "glands")]
    folds = script.deal({"training": training, "validation": validation}, 2)
    names = [{section: [i["image"][0] for i in fold[section]] for section in fold} for fold in folds]
    assert names == [
        {"training": ["b", "n", "y"], "validation": ["x", "a", "c"]},
        {"training": ["a", "c", "n", "x"], "validation": ["y", "b"]},
    ]


def test_more_folds_than_images_are_refused(script):
    with pytest.raises(ValueError, match="at least 3 images in a validated dataset"):
        script.deal({"training": [item("a", "nuclei")], "validation": [item("b", "nuclei")]}, 3)


@pytest.mark.parametrize("folds", [1, 0, -1])
def test_one_fold_is_none(script, folds):
    with pytest.raises(ValueError, match=f"at least 2 folds, got {folds}"):
        script.deal({"training": [item("a", "nuclei")], "validation": [item("b", "nuclei")]}, folds)


def test_two_images_of_one_name_are_refused(script):
    elsewhere = {"image": "elsewhere/a.png", "dataset": "nuclei"}
    with pytest.raises(ValueError, match="several are called a; rename"):
        script.deal({"training": [item("a", "nuclei"), elsewhere], "validation": [item("b", "nuclei")]}, 2)


def test_folds_name_classes_as_the_whole_list_does(script, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
        (tmp_path / f"{name}_label.png").touch()
    items = [{"image": f"{name}.png", "instances": f"{name}_label.png", "dataset": "x"} for name in "ab"]
    classes = {"nuclei_classes": {"1": "round", "2": "spindle"}}
    (tmp_path / "list.json").write_text(json.dumps({**classes, "training": items[:1], "validation": items[1:]}))
    for file in script.write_folds(tmp_path / "list.json", tmp_path / "folds", 2):
        assert read_class_tables(file) == classes


def test_images_of_all_folds_are_pooled(script, tmp_path):
    for name, pq in (("a", 0.5), ("b", 0.7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(
            json.dumps({"per_image": {name: {"nuclei_pq": pq}}, "labels": {name: {"tissue": "1"}}})
        )
    folder = script.pool([SimpleNamespace(folder=tmp_path / name) for name in "ab"], tmp_path / "with")
    pooled = read_report(folder)
    assert pooled.scores == {"a": {"nuclei_pq": 0.5}, "b": {"nuclei_pq": 0.7}}
    assert pooled.labels == {"a": {"tissue": "1"}, "b": {"tissue": "1"}}

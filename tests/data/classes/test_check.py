import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from coseg_bundle.data.classes import check, check_labels
from coseg_bundle.data.datalist import DatalistError

TISSUE, NUCLEI = ["background", "tumour"], ["background", "a", "b"]


@pytest.fixture
def datalist(tmp_path):
    """Writes a datalist: one training image with label maps of these ids, one for validation without any."""

    def write(name="list.json", **content):
        items = {}
        for number, section in enumerate(("training", "validation")):
            item = {"image": f"{section}.tif"}
            tifffile.imwrite(tmp_path / item["image"], np.full((2, 2, 3), number, np.uint8))
            for key in ("instances", "types", "tissue"):
                if section == "training" and key in content:
                    item[key] = f"{key}.tif"
                    tifffile.imwrite(tmp_path / item[key], np.resize(np.array(content[key], np.uint8), (2, 4)))
            items[section] = [item]
        names = {kind: table for kind, table in content.items() if kind.endswith("_classes")}
        (tmp_path / name).write_text(json.dumps({**names, **items}))
        return str(tmp_path / name)

    return write


def test_all_is_well(datalist, caplog):
    path = datalist(instances=[0, 1], types=[0, 1, 2, 255], tissue=[0, 1, 255])
    assert check_labels(path, TISSUE, NUCLEI).untrained == ()
    assert caplog.text == ""


def test_ids_without_a_name(datalist):
    path = datalist(instances=[0, 1], types=[0, 3, 7], tissue=[0, 1])
    with pytest.raises(
        DatalistError, match=r"types\.tif\) have ids without a name in nuclei_classes: 3, 7; it names 0"
    ):
        check_labels(path, TISSUE, NUCLEI)
    assert check_labels(path, TISSUE, NUCLEI, nuclei_merge=[0, 1, 1, 1, 1, 1, 1, 2]).untrained == ()
    with pytest.raises(DatalistError, match="tissue_merge"):
        check_labels(datalist(tissue=[4]), TISSUE, NUCLEI)


@pytest.mark.parametrize("setting", ["tissue_merge", "nuclei_merge"])
def test_a_merge_for_a_dataset_that_is_not_there(datalist, setting):
    """It was ignored, and the labels counted unmerged."""
    path = datalist(instances=[0, 1], types=[0, 1, 2], tissue=[0, 1])
    check_labels(path, TISSUE, NUCLEI, **{setting: {"": [0, 1, 1]}})
    with pytest.raises(DatalistError, match=rf"{setting} names unknown datasets \['consep'\]; the datalist has \[''\]"):
        check_labels(path, TISSUE, NUCLEI, **{setting: {"consep": [0, 1, 1]}})


def test_images_that_are_trained_on_and_validated_by(datalist, tmp_path, caplog):
    path = datalist(instances=[0, 1], types=[0, 1, 2], tissue=[0, 1])
    check_labels(path, TISSUE, NUCLEI)
    assert caplog.text == ""
    content = json.loads((tmp_path / "list.json").read_text())
    (tmp_path / "link.tif").symlink_to(tmp_path / "training.tif")
    content["validation"] += [{"image": "training.tif"}, {"image": "link.tif"}]
    (tmp_path / "list.json").write_text(json.dumps(content))
    check_labels(path, TISSUE, NUCLEI)
    assert "2 of 3 validation images are training images too (first: " in caplog.text
    assert "have no mpp" not in caplog.text
    content["training"][0]["mpp"] = 0.5
    (tmp_path / "list.json").write_text(json.dumps(content))
    check_labels(path, TISSUE, NUCLEI)
    assert "3 of 4 images have no mpp" in caplog.text
    assert "training.tif): scores of what was trained on are too good" in caplog.text


def test_names_without_a_label(datalist, caplog):
    check_labels(datalist(instances=[0, 1], types=[0, 2], tissue=[0, 1]), TISSUE, NUCLEI)
    assert "No training label has the class a (id 1) of nuclei_classes." in caplog.text


def test_classes_that_validation_lacks(datalist, tmp_path, caplog):
    path = datalist(instances=[0, 1], types=[0, 1, 2], tissue=[0, 1])
    tifffile.imwrite(tmp_path / "few.tif", np.array([[0, 1]], np.uint8))
    content = json.loads((tmp_path / "list.json").read_text())
    content["validation"][0] |= {"types": "few.tif", "tissue": "few.tif"}
    (tmp_path / "list.json").write_text(json.dumps(content))
    check_labels(path, TISSUE, NUCLEI)
    said = "No validation label has the class b of nuclei_classes: it has no say in which weights are the best."
    assert [record.getMessage() for record in caplog.records] == [said]


def test_tasks_without_labels(datalist, caplog):
    assert check_labels(datalist(instances=[1], tissue=[255]), TISSUE, NUCLEI).untrained == ("tissue", "types")
    assert "has labels for tissue: what the network says of it means nothing" in caplog.text
    assert check_labels(datalist(tissue=[0, 1]), TISSUE, NUCLEI[:2]).untrained == ("nuclei",)
    caplog.clear()
    assert check_labels(datalist(tissue=[0, 1]), TISSUE, NUCLEI[:2], known=["nuclei"]).untrained == ()
    assert "has labels for nuclei: what the network knows of it may fade." in caplog.text


def test_types_that_are_not_learnt(datalist, caplog):
    path = datalist(instances=[1], types=[0, 5], tissue=[0, 1], nuclei_classes={"1": "a", "2": "b"})
    assert check_labels(path, TISSUE, ["background", "nucleus"]).untrained == ()
    assert "labels for nuclei classes (ids 5), which nuclei_classes (background, nucleus) does not name" in caplog.text


def test_one_class_that_is_named(datalist, caplog):
    """All nuclei are of it; of other classes there must be none."""
    one = ["background", "Tumor cell"]
    path = datalist(instances=[1], types=[0, 1, 255], tissue=[0, 1], nuclei_classes={"1": "Tumor cell"})
    assert check_labels(path, TISSUE, one).untrained == ()
    assert caplog.text == ""
    path = datalist("more.json", instances=[1], types=[0, 1, 2], tissue=[0, 1], nuclei_classes={"1": "Tumor cell"})
    with pytest.raises(DatalistError, match="ids without a name in nuclei_classes: 2; it names 0 background, 1 Tumor"):
        check_labels(path, TISSUE, one)
    assert check_labels(path, TISSUE, one, nuclei_merge=[0, 1, 1]).untrained == ()


def test_names_in_another_order_than_the_datalists(datalist):
    path = datalist(instances=[1], types=[0, 1], tissue=[0, 1], nuclei_classes={"1": "a", "2": "b"})
    check_labels(path, TISSUE, NUCLEI)
    with pytest.raises(DatalistError, match=r"names the nuclei_classes background, a, b, and the configuration"):
        check_labels(path, TISSUE, ["background", "b", "a"])


def test_label_files_are_read_once(datalist, tmp_path, monkeypatch):
    path, cache = datalist(instances=[1], types=[0, 1, 2], tissue=[0, 1]), str(tmp_path / "run" / "labels.json")
    read = []
    monkeypatch.setattr(check, "read_label", lambda p, real=check.read_label: (read.append(p), real(p))[1])
    for _ in range(2):
        check_labels(path, TISSUE, NUCLEI, cache=cache)
    assert len(read) == 2
    (tmp_path / "run" / "labels.json").write_text("broken")
    check_labels(path, TISSUE, NUCLEI, cache=cache)
    assert len(read) == 4


def test_nothing_to_learn(datalist, caplog):
    """A training without any label would go on to its end, with a loss of 0."""
    path = datalist(types=[0, 1])
    with pytest.raises(DatalistError, match="no training image has labels"):
        check_labels(path, TISSUE, NUCLEI)
    check_labels(path, TISSUE, NUCLEI, taught=["nuclei"])


def test_a_task_that_others_teach_is_trained(datalist, caplog):
    """Weights that had learnt tissue from a teacher said that it means nothing, and results left it out."""
    path = datalist(instances=[1], types=[0, 1, 2])
    assert check_labels(path, TISSUE, NUCLEI).untrained == ("tissue",)
    assert "No training image has labels for tissue" in caplog.text
    caplog.clear()
    assert check_labels(path, TISSUE, NUCLEI, taught=["tissue", "nuclei"]).untrained == ()
    assert "has labels for tissue" not in caplog.text


@pytest.mark.parametrize(("of_image", "of_label"), [(6, 1), (1, 6), (3, 8)])
def test_a_label_that_is_turned_otherwise_than_its_image(datalist, tmp_path, caplog, of_image, of_label):
    path, cache = datalist(instances=[1], types=[0, 1, 2], tissue=[0, 1]), str(tmp_path / "labels.json")
    for name, tag in (("training", of_image), ("tissue", of_image), ("instances", of_label), ("types", of_image)):
        array = tifffile.imread(tmp_path / f"{name}.tif")
        tifffile.imwrite(tmp_path / f"{name}.tif", array, extratags=[(274, "H", 1, tag, True)])
    for _ in range(2):  # the second time from what is remembered
        caplog.clear()
        check_labels(path, TISSUE, NUCLEI, cache=cache)
        image, label = tmp_path / "training.tif", tmp_path / "instances.tif"
        said = f"(first: {image} says {of_image}, {label} says {of_label})"
        assert f"1 labels have another orientation tag than their image {said}" in caplog.text


def test_nuclei_of_type_0_are_said_once(datalist, tmp_path, caplog):
    """Nuclei that have a type on some of their pixels, or are unlabelled on purpose, are not meant."""
    path, cache = datalist(instances=[1, 2, 3, 4], types=[0, 2, 255, 1]), str(tmp_path / "labels.json")
    for _ in range(2):
        caplog.clear()
        assert check_labels(path, TISSUE, NUCLEI, cache=cache).untrained == ("tissue",)
        sentence = f"1 nuclei in 1 type maps have no class (first: {tmp_path / 'types.tif'}): they are nuclei of unlab"
        assert caplog.text.count(sentence) == 1


@pytest.mark.parametrize(
    "merge", [[1, 1, 2], [255, 1, 2], {"set": [1, 1, 2]}, {"another": [1, 1, 2], "set": [0, 1, 2]}]
)
def test_a_merge_may_give_type_0_a_class(datalist, tmp_path, caplog, merge):
    """Then they are nuclei of that class, and not of unlabelled type."""
    path = Path(datalist(instances=[0, 1, 2, 2], types=[0, 0, 2, 2]))
    content = json.loads(path.read_text())
    for item in (*content["training"], *content["validation"]):
        item["dataset"] = "set"
    others = [{**item, "dataset": "another"} for item in content["training"]] if "another" in merge else []
    path.write_text(json.dumps(content | {"training": others + content["training"]}))
    check_labels(str(path), TISSUE, NUCLEI, nuclei_merge=merge)
    assert ("1 nuclei in 1 type maps have no class" in caplog.text) == ("another" in merge)


def test_types_of_0_alone_teach_no_class(datalist, caplog):
    path = datalist(instances=[0, 1, 2, 2], types=[0], tissue=[0, 1])
    assert check_labels(path, TISSUE, NUCLEI).untrained == ("types",)
    assert "2 nuclei in 1 type maps have no class" in caplog.text
    tifffile.imwrite(
        Path(path).with_name("types.tif"), np.zeros((3, 3), np.uint8)
    )  # the loader says that it does not fit
    check_labels(path, TISSUE, NUCLEI)


def test_nuclei_maps_that_say_nothing(datalist, tmp_path, caplog):
    """Maps of -1 alone counted as labels of nuclei, and results had none."""
    path = datalist(instances=[0, 1], tissue=[0, 1])
    tifffile.imwrite(tmp_path / "instances.tif", np.full((2, 4), -1, np.int32))
    assert check_labels(path, TISSUE, NUCLEI[:2]).untrained == ("nuclei",)
    assert "No training image has labels for nuclei" in caplog.text


def test_nuclei_maps_without_a_nucleus(datalist, caplog):
    assert "nuclei" not in check_labels(datalist(instances=[0, 0], tissue=[0, 1]), TISSUE, NUCLEI[:2]).untrained
    assert "No training label has a nucleus: all that was looked at is background." in caplog.text


def test_masks_of_0_and_255_are_said(datalist, caplog):
    """They teach nothing but the background, and nothing said why."""
    check_labels(datalist(instances=[0, 1], tissue=[0, 255]), TISSUE, NUCLEI[:2])
    assert "1 tissue maps have 0 and 255 alone (first: " in caplog.text
    assert "and 255 is unlabelled: write a mask as 0 and 1." in caplog.text
    caplog.clear()
    check_labels(datalist(instances=[0, 1], tissue=[0, 1, 255]), TISSUE, NUCLEI[:2])
    check_labels(datalist(instances=[0, 1], tissue=[255]), TISSUE, NUCLEI[:2])
    assert "255 alone" not in caplog.text

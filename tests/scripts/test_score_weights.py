import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.classes import ClassMap
from coseg_bundle.postprocessing.instances import instance_table


def test_class_f1_by_hand(script):
    """Three matched nuclei, one of them of another class; one found that is none; one missed."""
    pairs = [(np.array([1, 1, 2]), np.array([1, 2, 2]), np.array([1]), np.array([2]))]
    said = script.class_f1(pairs, ("background", "a", "b"))
    assert said == (
        f"detection F1 {6 / 8:.3f}, "  # 3 matches, 1 extra, 1 missed
        f"a {2 / (2 + 2 + 1):.3f}, "  # 1 right, 1 wrongly a, 1 extra
        f"b {2 / (2 + 2 + 1):.3f}"  # 1 right, 1 wrongly not b, 1 missed
    )


def test_classes_of_truth_are_those_of_most_pixels(script):
    truth = np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 4, 9
    types = np.where(truth == 4, 2, 1).astype(np.int32)
    types[2, 2] = 1
    instance_map = (truth == 9).astype(np.int32)
    found = SimpleNamespace(instance_map=instance_map, instances=instance_table(instance_map))
    pred, true, extra, missed = script.paired(found, truth, types, 3.0)
    assert (true.tolist(), extra.tolist(), missed.tolist()) == ([1], [], [2])
    assert pred.shape == (1,)


def test_what_nobody_labelled_is_not_found_in_vain(script):
    truth, instance_map = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 4, -1
    instance_map[2:10, 2:10], instance_map[19:29, 19:29], instance_map[2:10, 20:28] = 1, 2, 3
    found = SimpleNamespace(instance_map=instance_map, instances=instance_table(instance_map))
    pred, _, extra, missed = script.paired(found, truth, (truth == 4).astype(np.int32), 3.0)
    assert (len(pred), len(extra), len(missed)) == (1, 1, 0)


def test_a_nucleus_of_type_0_is_of_no_class(script):
    """It counted as the first one, missed by whoever called it another."""
    truth = np.zeros((30, 30), np.int32)
    truth[2:10, 2:10], truth[20:28, 20:28] = 1, 2
    table = instance_table(truth, type_prob=np.eye(3, dtype=np.float32)[truth].transpose(2, 0, 1))
    found = SimpleNamespace(instance_map=truth, instances=table)
    pairs = script.paired(found, truth, np.where(truth == 2, 2, 0).astype(np.int32), 3.0)
    assert sorted(pairs[1].tolist()) == [2, 255]
    said = script.class_f1([pairs], ("background", "a", "b"))
    assert said == "detection F1 1.000, a 0.000, b 1.000"


@pytest.mark.parametrize("count", [0, 3])
def test_a_class_that_nobody_has_scores_0(script, count):
    pairs = [(np.ones(count, int), np.ones(count, int), np.ones(0, int), np.ones(1, int))]
    assert script.class_f1(pairs, ("background", "a", "b")).endswith("b 0.000")


NUCLEI = np.zeros((64, 64), np.int32)
NUCLEI[4:12, 4:12], NUCLEI[4:12, 40:48], NUCLEI[40:48, 4:12] = 1, 2, 3
CLASSES = np.array([0, 1, 2, 2])[NUCLEI]
TISSUE = np.repeat([0, 1, 2, 2], 16)[:, None] + np.zeros((1, 64), int)


class AllRight:
    """A predictor that answers what is true, but for a nucleus and a column."""

    weights, mpp, untrained = None, 0.25, ()
    nuclei_classes, tissue_classes = ClassMap(("background", "a", "b")), ClassMap(("empty", "gland", "stroma"))

    def predict(self, rgb, mpp):
        types, tissue = CLASSES.copy(), TISSUE.copy()
        types[NUCLEI == 3], tissue[:, 0] = 1, 0
        prob = np.eye(3, dtype=np.float32)[types].transpose(2, 0, 1)
        return SimpleNamespace(instance_map=NUCLEI, instances=instance_table(NUCLEI, type_prob=prob), tissue_map=tissue)


RIGHT = [
    "PQ 1.000, AJI 1.000, Dice 1.000",
    f"detection F1 1.000, a {2 / (2 + 2):.3f}, b {2 / (2 + 2):.3f}",  # one of the two b is called a
    # a column of 64: 16 px empty already, 16 of gland, 32 of stroma
    f"tissue Dice empty {2 * 1024 / (2 * 1024 + 48):.3f}, gland {2 * 1008 / (1008 + 1024):.3f}, "
    f"stroma {2 * 2016 / (2016 + 2048):.3f}",
]


@pytest.fixture
def printed(script, tmp_path, monkeypatch, capsys):
    """What the script prints of a datalist with these labels, by its lines."""

    def run(types=CLASSES, tissue=TISSUE, dataset=None, predictor=None, *options, **named):
        item = {"image": "i.png", "instances": "n.png", "types": "t.png", "tissue": "s.png"}
        for path, values in zip(item.values(), (np.zeros((64, 64, 3)), NUCLEI, types, tissue), strict=True):
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / path)
        item |= {"dataset": dataset} if dataset else {}
        (tmp_path / "dl.json").write_text(json.dumps({"training": [], "validation": [item], **named}))
        monkeypatch.setattr(script.Predictor, "from_bundle", lambda *_, **__: predictor or AllRight())
        monkeypatch.setattr(script.About, "of_file", lambda _: predictor)
        monkeypatch.setattr(sys, "argv", ["score_weights.py", str(tmp_path / "dl.json"), *options])
        script.main()
        return capsys.readouterr().out.splitlines()

    return run


NAMED = {"nuclei_classes": {"1": "a", "2": "b"}, "tissue_classes": {"0": "empty", "1": "gland", "2": "stroma"}}


def test_labels_are_told_by_name(printed):
    """Classes that a datalist numbers otherwise were scored as those of the network's numbers."""
    assert printed(**NAMED) == [f"dl (1): {line}" for line in RIGHT]
    swapped = {"nuclei_classes": {"1": "b", "2": "a"}, "tissue_classes": {"0": "stroma", "1": "Gland", "2": "empty"}}
    assert printed(np.array([0, 2, 1])[CLASSES], 2 - TISSUE, **swapped) == [f"dl (1): {line}" for line in RIGHT]


def test_labels_without_names_are_merged_as_in_the_training(printed):
    """A list for all datasets was no dictionary; a datalist without datasets had none to print."""
    for merge, types in (([0, 1, 1, 2], [0, 1, 3]), ({"x": [0, 2, 1]}, [0, 2, 1])):
        predictor = AllRight()
        predictor.weights, predictor.training = "model.pt", {"nuclei_merge": merge}
        lines = printed(np.array(types)[CLASSES], TISSUE, "x", predictor)
        assert lines[-3:] == [f"x (1): {line}" for line in RIGHT]


def test_classes_that_the_labels_do_not_know_are_not_scored(printed):
    """It is said, and what is called so counts as the first class."""
    named = {"nuclei_classes": {"1": "a"}, "tissue_classes": {"0": "empty", "1": "stroma"}}
    lines = printed(np.minimum(CLASSES, 1), np.array([0, 0, 1])[TISSUE], **named)
    assert lines[0] == "Tissue: the labels have no gland, so that counts as empty."
    assert lines[1] == "Classes of nuclei: the labels have no b, so that counts as background."
    assert lines[3] == f"dl (1): detection F1 1.000, a {2 * 2 / (2 * 2 + 2):.3f}"
    dice_of = 2 * 2048 / (2 * 2048 + 32), 2 * 2016 / (2016 + 2048)
    assert lines[4:] == ["dl (1): tissue Dice empty {:.3f}, stroma {:.3f}".format(*dice_of)]


def test_other_names_are_not_scored(printed):
    lines = printed(nuclei_classes={"1": "x", "2": "y"}, tissue_classes={"0": "u", "1": "v"})
    assert lines[0].startswith("Classes of nuclei: not scored, the datalist has the classes background, x, y")
    assert lines[1].startswith("Tissue: not scored, the datalist has the classes u, v")
    assert lines[2:] == [f"dl (1): {RIGHT[0]}"]


def test_what_is_called_gland_where_there_is_none(script):
    """The other classes' Dice was not said, and class 1 was called gland whatever its name."""
    label = np.array([[0, 0, 2, 255]])
    pred = np.array([[0, 1, 2, 1]])
    lines = script.tissue_lines([(pred, label)], ("empty", "gland", "stroma"))
    assert lines[0] == f"tissue Dice empty {2 / 3:.3f}, stroma 1.000"
    assert lines[1] == f"called gland without any: {100 / 3:.2f} %, worst tile {100 / 3:.1f} % (1 tiles)"
    assert script.tissue_lines([(pred, label)], ("empty", "fat", "stroma")) == [
        f"tissue Dice empty {2 / 3:.3f}, fat 0.000, stroma 1.000"
    ]
    assert script.tissue_lines([], ("empty", "gland")) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sets", "x"), "No validation image is of x; expected some of dl."),
        ((), "has nothing in validation that this network can be scored on"),
    ],
)
def test_nothing_to_score(printed, arguments, words):
    """A set that is not there ended without a word."""
    predictor = AllRight()
    predictor.untrained = () if arguments else ("tissue", "nuclei", "types")
    with pytest.raises(SystemExit, match=words):
        printed(CLASSES, TISSUE, None, predictor, *arguments, **NAMED)


def test_tiles_are_compressed_once_more(printed, script, monkeypatch):
    seen = []

    class Watching(AllRight):
        def predict(self, rgb, mpp):
            seen.append(rgb)
            return super().predict(rgb, mpp)

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(noise).save(file, "JPEG", quality=30, subsampling=2)
        expected = np.asarray(Image.open(file))
    monkeypatch.setattr(script, "read_image", lambda _: SimpleNamespace(rgb=noise))
    printed(CLASSES, TISSUE, None, Watching(), "--jpeg", "30", **NAMED)
    printed(CLASSES, TISSUE, None, Watching(), **NAMED)
    assert np.array_equal(seen[0], expected)
    assert seen[1] is noise


def test_weights_that_are_not_there(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["score_weights.py", str(tmp_path / "list.json"), "--weights", "nosuch.pt"])
    with pytest.raises(SystemExit, match=r"nosuch\.pt"):
        script.main()

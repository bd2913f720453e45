import json
import re

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from coseg_bundle.handlers import ProgressPageHandler
from coseg_bundle.handlers.page import Tile

TISSUE, NUCLEI = ["background", "gland"], ["background", "round", "<spindle>"]


def item(name, pred, truth, types=None, tissue=255):
    pred, truth = np.asarray([pred], np.int32), np.asarray([truth], np.int32)
    labels = {"instances": torch.from_numpy(truth), "tissue": torch.full(truth.shape, tissue)}
    found = {"pred_instances": torch.from_numpy(pred), "pred_tissue": torch.zeros(pred.shape, dtype=torch.uint8)}
    if types is not None:
        labels["types"] = torch.as_tensor([types])
        found["pred_types"] = torch.from_numpy(np.where(pred < 3, pred, 0).astype(np.uint8))  # nucleus 1 is of class 1
    image = MetaTensor(torch.full((3, *pred.shape[1:]), 0.75), meta={"filename_or_obj": f"/data/{name}.png"})
    return {"image": image, "label": labels, **found}


def validate(handler, items, epoch=1):
    """A validation after an epoch of the training, as MONAI's evaluators count them."""
    engine = Engine(lambda engine, batch: batch)
    handler.attach(engine)
    engine.state.epoch, engine.state.max_epochs, engine.state.epoch_length = epoch - 1, epoch, len(items)
    engine.run([[one] for one in items], max_epochs=epoch, epoch_length=len(items))


def squares(*corners, size=40):
    instances = np.zeros((size, size), np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        instances[y : y + 6, x : x + 6] = number
    return instances


def test_the_page_by_hand(tmp_path):
    two = squares((4, 4), (20, 20))
    types = np.where(two == 1, 1, np.where(two == 2, 2, 0))
    handler = ProgressPageHandler(str(tmp_path), TISSUE, NUCLEI, 10, 10)
    items = [
        item("good", two, two, types),
        item("b&d", squares((4, 4)), two, types),
        item("none", squares(), two, types),
    ]
    validate(handler, items, 3)
    [row] = json.loads((tmp_path / "progress.json").read_text())
    assert (row["step"], row["none_found"]) == (30, ["none"])
    assert row["mean"]["nuclei_pq"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-5)
    assert row["pooled"]["nuclei_f1_round"] == pytest.approx(0.8)
    text = (tmp_path / "progress.html").read_text()
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert captions == [
        "none: nuclei PQ 0.00, nuclei PQ, mean of classes 0.00",
        "b&amp;d: nuclei PQ 0.67, nuclei PQ, mean of classes 0.50",
        "good: nuclei PQ 1.00, nuclei PQ, mean of classes 1.00",
    ]
    assert text.count("data:image/jpeg;base64,") == 6
    assert "&lt;spindle&gt;" in text
    assert "<spindle>" not in text
    assert "step 30 of 100" in text
    assert "Found no nuclei at all in 1 images" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)  # nothing is fetched


def test_only_the_worst_are_shown(tmp_path):
    two = squares((4, 4), (20, 20))
    handler = ProgressPageHandler(str(tmp_path), TISSUE, NUCLEI[:2], worst=1)
    validate(handler, [item("a", two, two), item("b", squares(), two), item("c", two, two)])
    assert re.findall("<figcaption>(.*?):", (tmp_path / "progress.html").read_text()) == ["b"]


def test_a_resumed_training_goes_on_with_its_curve(tmp_path):
    two = squares((4, 4), (20, 20))

    def after(epoch, fresh):
        handler = ProgressPageHandler(str(tmp_path), TISSUE, NUCLEI[:2], 10, fresh=fresh)
        validate(handler, [item("a", two, two)], epoch)
        rows = json.loads((tmp_path / "progress.json").read_text())
        for clock in ("seconds", "cpu_seconds"):
            assert sorted(row[clock] for row in rows) == [row[clock] for row in rows]
        return [row["step"] for row in rows]

    assert after(1, True) == [10]
    assert after(2, False) == [10, 20]
    assert after(2, False) == [10, 20]  # a validation that was repeated counts once
    assert after(1, True) == [10]


@pytest.mark.parametrize("broken", ["", "[1]", '[{"step": "x"}]', "{"])
def test_a_broken_history_is_passed_over(tmp_path, broken):
    (tmp_path / "progress.json").write_text(broken)
    validate(ProgressPageHandler(str(tmp_path), TISSUE, NUCLEI[:2], 5, fresh=False), [item("a", squares(), squares())])
    assert [row["step"] for row in json.loads((tmp_path / "progress.json").read_text())] == [5]


def test_two_images_of_one_name(tmp_path):
    handler = ProgressPageHandler(str(tmp_path), TISSUE, NUCLEI[:2])
    validate(handler, [item("a", squares((1, 1)), squares((1, 1))), item("a", squares(), squares((1, 1)))])
    assert set(re.findall("<figcaption>(.*?):", (tmp_path / "progress.html").read_text())) == {"a", "a #2"}


def test_the_worst_part():
    """The nucleus that was missed lies at the right; what has no label does not count."""
    truth = np.zeros((8, 20), np.int32)
    truth[2:4, 16:18] = 1
    truth[:, :6] = -1
    predicted = np.zeros((8, 20), np.int32)
    predicted[:, :6] = 2
    tile = Tile("a", np.zeros((8, 20, 3), np.uint8), {"instances": truth}, {"instances": predicted}, {})
    part = tile.worst_part(6)
    assert part.rgb.shape == (6, 6, 3)
    assert (part.truth["instances"] == 1).sum() == 4
    assert tile.worst_part(100).rgb.shape == (8, 20, 3)

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from coseg_bundle.handlers import ReportHandler


def item(name, pred, truth, types=None):
    pred, truth = np.array([pred], np.int32), np.array([truth], np.int32)
    labels = {"instances": torch.from_numpy(truth), "tissue": torch.full(truth.shape, 255)}
    found = {"pred_instances": torch.from_numpy(pred), "pred_tissue": torch.zeros(pred.shape, dtype=torch.uint8)}
    if types is not None:
        labels["types"] = torch.tensor([types])
        found["pred_types"] = torch.from_numpy(np.where(pred < 3, pred, 0).astype(np.uint8))  # nucleus 1 is of class 1
    meta = {"filename_or_obj": f"/data/{name}.png", "spatial_shape": np.array(pred.shape[1:])}
    image = MetaTensor(torch.zeros(3, *pred.shape[1:]), meta=meta)
    return {"image": image, "label": labels, **found}


def run(handler, batches):
    engine = Engine(lambda engine, batch: batch)
    handler.attach(engine)
    engine.run(batches, max_epochs=1)


def test_a_report_by_hand(tmp_path):
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "nucleus"])
    right, empty = [[1, 1, 0, 2]], [[0, 0, 0, 0]]
    run(handler, [[item("a", right, right)], [item("b", empty, [[1, 1, 0, 0]])]])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["per_image"]["a"]["nuclei_pq"] == 1
    assert report["per_image"]["b"]["nuclei_pq"] == 0
    assert report["mean"]["nuclei_pq"] == 0.5
    assert report["pooled"]["nuclei_pq"] == pytest.approx(2 / 2.5)  # two found, one missed
    assert "tissue_dice" not in report["mean"]  # nothing is labelled
    assert "| 50.00 |" in (tmp_path / "report.md").read_text()
    run(handler, [[item("a", right, right)]])  # another run of the evaluator starts anew
    assert json.loads((tmp_path / "report.json").read_text())["mean"]["nuclei_pq"] == 1


def test_types_are_scored_by_class(tmp_path):
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "tumor", "lymphocyte"])
    run(handler, [[item("a", [[1, 1, 0, 2]], [[1, 1, 0, 2]], types=[[1, 1, 0, 1]])]])
    scores = json.loads((tmp_path / "report.json").read_text())["mean"]
    assert scores["nuclei_pq"] == 1
    assert scores["nuclei_pq_tumor"] == pytest.approx(1 / 1.5)  # one found, the other called a lymphocyte
    assert scores["nuclei_pq_lymphocyte"] == 0


def test_two_images_of_one_name(tmp_path):
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "nucleus"])
    with pytest.raises(ValueError, match="Two images are called a"):
        run(handler, [[item("a", [[1]], [[1]])], [item("a", [[1]], [[1]])]])


def test_a_network_that_finds_nothing_is_named(tmp_path):
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "nucleus"], notes=["Tissue: no."])
    empty, nucleus = [[0, 0, 0, 0]], [[1, 1, 0, 0]]
    run(handler, [[item("a", empty, nucleus)], [item("b", empty, empty)], [item("c", nucleus, nucleus)]])
    assert json.loads((tmp_path / "report.json").read_text())["none_found"] == ["a"]
    text = (tmp_path / "report.md").read_text()
    assert "Found no nuclei at all in 1 of 3 images with labelled nuclei: a." in text
    assert "- Tissue: no." in text


def test_the_table_of_classes(tmp_path):
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "tumor", "lymphocyte", "rare"])
    run(handler, [[item("a", [[1, 1, 0, 2]], [[1, 1, 0, 2]], types=[[1, 1, 0, 1]])]])
    text = (tmp_path / "report.md").read_text()
    assert "| | tumor | lymphocyte | rare | mean |" in text
    assert "| F1, pooled | 66.67 | 0.00 | - | 33.33 |" in text


def test_distances_are_in_pixels_of_the_image(tmp_path):
    """Two pixels at the network's resolution are one of an image that is half as fine."""
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "nucleus"])
    one = item("a", [[0] * 6] * 4, [[0] * 6] * 4)
    one["pred_tissue"] = torch.tensor([[[0, 0, 1, 1, 1, 1]] * 4])
    one["label"]["tissue"] = torch.tensor([[[0, 0, 0, 0, 1, 1]] * 4])
    one["image"].meta["spatial_shape"] = torch.tensor([2, 3])
    run(handler, [[one]])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["per_image"]["a"]["tissue_hd"] == 1
    assert report["distances"] == "pixels of the images"
    assert "Percent; distances in pixels of the images." in (tmp_path / "report.md").read_text()


def test_the_last_column_is_the_mean_of_the_row(tmp_path):
    """Of PQ it was mPQ, another mean: 75 where the classes have 100 and 0."""
    handler = ReportHandler(str(tmp_path), ["background", "gland"], ["background", "tumor", "lymphocyte"])
    pred = [[1, 1, 0, 0]]
    both, one = (item(name, pred, truth, truth) for name, truth in (("a", [[1, 1, 0, 2]]), ("b", pred)))
    run(handler, [[both], [one]])
    text = (tmp_path / "report.md").read_text()
    for row in ("PQ, mean over images", "F1, mean over images", "PQ, pooled", "F1, pooled"):
        assert f"| {row} | 100.00 | 0.00 | 50.00 |" in text
    assert "mPQ, the mean over images of the mean of each image's classes: 75.00." in text
    assert json.loads((tmp_path / "report.json").read_text())["mean"]["nuclei_mpq"] == 0.75

"""What the tasks take from the datastore."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

from PIL import Image

from coseg_bundle.label_app.image_folder import ImageFolder
from coseg_bundle.label_app.tasks import AnnotationTrainTask, labelled_images


def test_a_label_has_the_resolution_that_was_said_with_it_or_with_its_image(tmp_path):
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    store = ImageFolder(str(tmp_path))
    (tmp_path / "label.geojson").write_text("{}")
    store.update_image_info("b", {"mpp": 0.4})
    store.update_image_info("c", {"mpp": 0.4})
    said = {"a": {"region": [0, 0, 4, 4], "mpp": 0.5}, "b": {}, "c": {"mpp": 0.5}}
    for name, info in said.items():
        store.save_label(name, str(tmp_path / "label.geojson"), "final", info)
    found = labelled_images(store)
    assert [entry.info["mpp"] for entry in found] == [0.5, 0.4, 0.5]
    assert found[0].info["region"] == [0, 0, 4, 4]


def test_reports_name_no_folders(tmp_path):
    report = {
        "error": "/home/me/studies/a.png: broken.",
        "last_success": {"skipped": ["a: /home/me/b.tif has"], "n": 3},
    }
    (tmp_path / "training.json").write_text(json.dumps(report))
    told = {"error": "a.png: broken.", "last_success": {"skipped": ["a: b.tif has"], "n": 3}}
    assert AnnotationTrainTask(None, tmp_path).stats() == told
    assert AnnotationTrainTask(None, tmp_path / "none").stats() == {}

"""What the tasks take from the datastore."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

from fastapi import HTTPException
from PIL import Image

from coseg_bundle.label_app.image_folder import ImageFolder
from coseg_bundle.label_app.tasks import AnnotationTrainTask, SegmentAllTask, labelled_images


def test_a_label_has_the_resolution_that_was_said_with_it_or_with_its_image(tmp_path):
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    store = ImageFolder(str(tmp_path))
    (tmp_path / "label.geojson").write_text('{"type": "FeatureCollection", "features": []}')
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


def test_a_broken_image_does_not_stop_the_others(tmp_path):
    """One stopped all that followed, and without a GPU none was segmented."""
    answer = tmp_path / "answer.geojson"
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    store = ImageFolder(str(tmp_path))
    asked = []

    def infer(request, datastore):
        asked.append(request)
        if request["image"] == "a":
            raise HTTPException(status_code=422, detail="a.png: broken.")
        if request["image"] == "b":
            raise RuntimeError("/home/me/b.png: out of memory")
        answer.write_text("{}")
        return {"label": request["image"], "file": str(answer)}

    request = {"model": "coseg", "images": "all", "device": "cuda", "multi_gpu": True, "gpus": "all"}
    told = SegmentAllTask()(request, store, infer)
    assert told == {"a": {"error": "a.png: broken."}, "b": {"error": "b.png: out of memory"}, "c": {"label": "c"}}
    assert [(one["save_label"], one["label_tag"]) for one in asked] == [(True, "original")] * 3
    assert not answer.exists()
    assert list(SegmentAllTask()({**request, "images": ["c"], "max_batch_size": 0}, store, infer)) == ["c"]
    with pytest.raises(HTTPException, match=r"No image could be segmented; a: a\.png: broken\."):
        SegmentAllTask()({**request, "max_batch_size": 2}, store, infer)

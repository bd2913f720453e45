"""The folder of the images, without a server."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

from fastapi import HTTPException
from PIL import Image

from coseg_bundle.label_app.image_folder import ImageFolder, whole_names

REGION = {"region": [0, 0, 4, 4], "mpp": 0.5}


def picture(path: Path, value: int = 0) -> str:
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)
    return str(path)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture
def store(tmp_path) -> ImageFolder:
    """One image, `a`."""
    (tmp_path / "studies").mkdir()
    picture(tmp_path / "studies" / "a.png")
    return ImageFolder(str(tmp_path / "studies"))


@pytest.fixture
def label(tmp_path) -> str:
    return written(tmp_path / "label.geojson", '{"type": "FeatureCollection", "features": []}')


def test_of_a_name_only_the_end_is_the_suffix(store, tmp_path):
    """MONAI Label took the suffix out everywhere, found no such file, and began anew without end."""
    tile = "sl.tif [x=0,y=0,w=512,h=512]"
    for name in ("biopsy.png.png", f"{tile}.tif", "S24-77.A1.jpeg"):
        shutil.copyfile(tmp_path / "studies" / "a.png", tmp_path / "studies" / name)
    store.refresh()
    assert set(store.list_images()) == {"a", "biopsy.png", tile, "S24-77.A1"}
    index = tmp_path / "studies" / "datastore_v2.json"
    before = index.stat().st_mtime_ns
    store.refresh()
    assert index.stat().st_mtime_ns == before
    label = written(tmp_path / "l.geojson", '{"type": "FeatureCollection", "features": []}')
    store.save_label("biopsy.png", label, "final", REGION)
    assert Path(store.get_label_uri("biopsy.png", "final")).name == "biopsy.png.geojson"
    assert ImageFolder(str(tmp_path / "studies")).get_labeled_images() == ["biopsy.png"]


def test_what_is_left_out_is_said_once(store, tmp_path, caplog):
    studies = tmp_path / "studies"
    picture(studies / "upper.PNG")
    for name in ("a.jpg", "b.bmp", "a:b.png"):
        shutil.copyfile(studies / "a.png", studies / name)
    with caplog.at_level(logging.WARNING):
        store.refresh()
        store.refresh()
    assert set(store.list_images()) == {"a", "upper"}
    assert store.get_image_uri("a").endswith("a.png")
    assert store.get_image_uri("upper").endswith("upper.PNG")
    said = [record.getMessage() for record in caplog.records]
    assert sorted(sentence.split(":")[-1].split(",")[0] for sentence in said) == [
        " a.png has the same name but for the suffix; rename one of them.",
        " expected svs",
        " it is no name that requests can use; rename it.",
    ]


def test_an_image_is_not_replaced(store, tmp_path, label):
    """The old label was attached to the new picture."""
    store.save_label("a", label, "final", REGION)
    other = picture(tmp_path / "other.png", 9)
    with pytest.raises(HTTPException, match="There is another image 'a' in the datastore") as refused:
        store.add_image("a", other, {})
    assert refused.value.status_code == 409
    (tmp_path / "studies" / "link.png").symlink_to(other)
    with pytest.raises(HTTPException, match="another image 'link'"):
        store.add_image("link", picture(tmp_path / "third.png", 3), {})
    assert store.add_image("a", shutil.copyfile(store.get_image_uri("a"), tmp_path / "same.png"), {"mpp": 0.4}) == "a"
    assert store.get_label_info("a", "final")["region"] == REGION["region"]
    assert store.get_image_info("a")["mpp"] == 0.4
    assert (np.asarray(Image.open(store.get_image_uri("a"))) == 0).all()


def test_another_suffix_does_not_make_a_second_image_of_one_id(store, tmp_path):
    with pytest.raises(HTTPException, match="another image 'a'"):
        store.add_image("a", picture(tmp_path / "other.tif", 9), {})
    assert not (tmp_path / "studies" / "a.tif").exists()


def test_what_was_said_of_an_image_and_its_label_outlives_their_absence(store, tmp_path, label):
    """A share that dropped erased the region for good, and the training took a rim around nuclei."""
    studies = tmp_path / "studies"
    store.save_label("a", label, "final", REGION)
    store.update_image_info("a", {"mpp": 0.4})
    (studies / "a.png").rename(tmp_path / "away.png")
    store.refresh()
    assert store.list_images() == []
    (tmp_path / "away.png").rename(studies / "a.png")
    store.refresh()
    assert store.get_label_info("a", "final") | REGION == store.get_label_info("a", "final")
    assert store.get_image_info("a")["mpp"] == 0.4
    (studies / "datastore_v2.json").unlink()
    store = ImageFolder(str(studies))
    assert store.get_label_info("a", "final")["region"] == REGION["region"]


def test_what_a_former_version_kept_in_its_index_alone_outlives_an_absence_too(store, tmp_path, label):
    store.save_label("a", label, "final", REGION)
    studies = tmp_path / "studies"
    for path in studies.rglob("*.info"):
        path.unlink()
    store = ImageFolder(str(studies))
    (studies / "a.png").rename(tmp_path / "away.png")
    store.refresh()
    (tmp_path / "away.png").rename(studies / "a.png")
    store.refresh()
    assert store.get_label_info("a", "final")["region"] == REGION["region"]


@pytest.mark.parametrize("content", ["another label", None])
def test_what_was_said_of_a_label_is_not_of_another_one(store, tmp_path, label, caplog, content):
    store.save_label("a", label, "final", REGION)
    path = tmp_path / "studies" / "labels" / "final" / "a.geojson"
    path.unlink()
    store.refresh()
    if content is None:
        Path(f"{path}.info").write_text("{")
    path.write_text(content or Path(label).read_text())
    store.refresh()
    assert "region" not in store.get_label_info("a", "final")
    assert ("cannot be read" if content is None else "the file is another") in caplog.text


def test_a_deleted_label_brings_no_older_one_back(store, tmp_path, label):
    store.save_label("a", label, "final", REGION)
    for _ in range(2):
        store.save_label("a", picture(tmp_path / "map.png"), "final", {"task": "nuclei"})
        store.save_label("a", label, "final", {})
    store.save_label("a", picture(tmp_path / "map.png"), "final", {"task": "nuclei"})
    assert store.get_label_info("a", "final")["task"] == "nuclei"
    store.remove_label("a", "final")
    store.refresh()
    assert store.get_labeled_images() == []
    kept = {path.name for path in (tmp_path / "studies" / "labels" / "final").iterdir() if path.suffix != ".info"}
    geojson = {f"a.geojson.former{number}" for number in ("", "-2", "-3")}
    assert kept == {*geojson, "a.png.former", "a.png.former-2"}
    assert json.loads((tmp_path / "studies/labels/final/a.geojson.former.info").read_text())["info"] == REGION


def test_a_removed_image_takes_its_labels_along(store, tmp_path, label):
    store.save_label("a", label, "final", REGION)
    store.update_image_info("a", REGION)
    store.remove_image("a")
    assert store.list_images() == []
    left = {path.name for path in (tmp_path / "studies").rglob("*") if path.is_file() and path.name[0] != "."}
    assert left == {"datastore_v2.json"}
    with pytest.raises(HTTPException, match="no image 'a'"):
        store.remove_image("a")
    with pytest.raises(HTTPException, match="no image 'a'"):
        store.save_label("a", label, "final", {})


def test_saves_that_come_together_keep_what_was_said(store, tmp_path, label, monkeypatch):
    """The watcher, another thread or another process replaced the index between a save's beginning and its end."""
    picture(tmp_path / "studies" / "b.png")
    store.refresh()
    other = ImageFolder(str(tmp_path / "studies"))
    copy, threads = shutil.copyfile, []

    def meanwhile(source, target):
        copy(source, target)
        if not threads:
            threads.append(threading.Thread(target=other.save_label, args=("b", label, "final", REGION)))
            threads.append(threading.Thread(target=store.refresh))
            for thread in threads:
                thread.start()
                thread.join(0.3)  # what does not wait has happened by then

    monkeypatch.setattr(shutil, "copyfile", meanwhile)
    store.save_label("a", label, "final", REGION)
    for thread in threads:
        thread.join()
    store.save_label("a", label, "original", {})
    labels = {name: entry["labels"] for name, entry in store.json()["objects"].items()}
    assert [labels[name]["final"]["info"].get("region") for name in "ab"] == [REGION["region"]] * 2


def test_an_upload_without_an_id_has_its_whole_name():
    """`S24-77.A1.jpeg` and `S24-77.B2.png` were both S24-77, and one replaced the other."""
    endpoint = whole_names(lambda tasks, image, params, file, user: image)
    for name in ("S24-77.A1.jpeg", "S24-77.B2.png"):
        assert endpoint(None, None, "{}", SimpleNamespace(filename=name), "") == name.rpartition(".")[0]
    assert endpoint(None, "mine", "{}", SimpleNamespace(filename="x.png")) == "mine"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.geojson", b"abc", "x.geojson"),
        ("x.xml", b"<a", "expected the XML of ASAP"),
        ("x.png", b"abc", "x.png"),
        ("map.png", None, "map.png has 5 x 4 px and its image 4 x 4; save the label at the size of the image"),
    ],
)
def test_a_label_that_cannot_be_used_does_not_take_the_former_one_s_place(store, tmp_path, label, name, content, words):
    """It was answered with 200, and what had been corrected was gone."""
    store.save_label("a", label, "final", REGION)
    if content is None:
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HTTPException) as told:
        store.save_label("a", str(tmp_path / name), "final", {})
    assert told.value.status_code == 422
    assert words in told.value.detail
    assert str(tmp_path) not in told.value.detail
    saved = store.get_label_uri("a", "final")
    assert Path(saved).read_text() == Path(label).read_text()
    assert store.get_label_info("a", "final")["region"] == REGION["region"]

"""Who can reach the server, and what a request can reach: harmless inputs against a real server on the loopback."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

import requests
from colour_network import encode, gland_map, touching_pairs, write_bundle
from PIL import Image
from server import ROOT, Server

pytestmark = pytest.mark.timeout(600)
TOKEN = "correct-horse"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reach")
    studies = folder / "studies"
    studies.mkdir()
    rgb = encode(touching_pairs(120, 140), gland_map(120, 140))
    for path in (studies / "inside.png", folder / "marker.png"):
        Image.fromarray(rgb).save(path)
    (folder / "label.png").write_bytes((folder / "marker.png").read_bytes())
    (studies / "link.png").symlink_to(folder / "marker.png")
    os.mkfifo(studies / "pipe.png")
    conf = {"bundle": str(write_bundle(folder / "bundle", ROOT)), "token": TOKEN, "max_upload_mb": "1"}
    with Server(studies, folder, conf) as server:
        yield server


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if "bundle" not in p.parts and p.suffix != ".log"}


def ask(server: Server, method: str, path: str, **kwargs) -> requests.Response:
    headers = {**AUTH, **kwargs.pop("headers", {})}
    return requests.request(method, server.url + path, headers=headers, timeout=60, **kwargs)


def names(server: Server) -> list[str]:
    return ["../marker", "..", str(server.folder / "marker.png"), "a\0b", "a\\b", "NUL", ".lock"]


def test_the_first_page_needs_no_other_machine(server):
    """MONAI Label's own are blank without a connection: their scripts come from another host."""
    page = ask(server, "GET", "/")
    assert page.ok
    assert "annotation server" in page.text
    assert "http" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'href="([^"]+)"', page.text)
    assert len(links) == 4
    for link in links:
        assert requests.get(f"{server.url}/token/{TOKEN}/{html.unescape(link)}", timeout=60).ok
    assert ask(server, "GET", "/docs").status_code == 404


def test_names_that_leave_the_folder_are_refused_and_nothing_is_touched(server):
    marker = server.folder / "marker.png"
    before, files = marker.read_bytes(), tree(server.folder)
    for name in names(server):
        q = {"image": name, "label": name, "id": name, "tag": "final"}
        png = {"file": ("a.png", before), "label": ("a.png", before)}
        answers = [
            ask(server, "POST", "/infer/coseg", params={"image": name}),
            ask(server, "POST", "/infer/coseg?image=inside", data={"params": json.dumps({"image": name})}),
            ask(server, "POST", "/infer/coseg?image=inside", data={"params": json.dumps({"label": name})}),
            ask(
                server,
                "POST",
                "/infer/coseg?image=inside",
                data={"params": json.dumps({"save_label": True, "label_tag": name})},
            ),
            ask(server, "POST", "/infer/wsi_v2/coseg", params={"image": name}, data={"wsi": "{}"}),
            ask(
                server,
                "POST",
                "/infer/wsi_v2/coseg?image=inside",
                data={"wsi": json.dumps({"params": {"image": name}})},
            ),
            ask(server, "POST", "/infer/wsi/coseg", params={"image": name}, json={}),
            ask(server, "PUT", "/datastore/image", params={"image": name}, files={"file": png["file"]}),
            ask(server, "PUT", "/datastore/label", params={"image": name}, files={"label": png["label"]}),
            ask(server, "PUT", "/datastore/label?image=inside", params={"tag": name}, files={"label": png["label"]}),
            *(ask(server, m, "/datastore/image", params=q) for m in ("GET", "HEAD", "DELETE")),
            *(ask(server, m, "/datastore/label", params=q) for m in ("GET", "HEAD", "DELETE")),
            ask(server, "DELETE", "/datastore/label?id=inside", params={"tag": name}),
            ask(server, "GET", "/datastore/image/info", params=q),
            ask(server, "PUT", "/datastore/label/info", params=q, data={"info": "{}"}),
            ask(server, "POST", "/activelearning/first", json={"image": name}),
            ask(server, "POST", "/train/coseg", json={"image": name}),
            ask(server, "POST", "/batch/infer/coseg", json={"images": [name]}),
            ask(server, "POST", "/batch/infer/coseg", json={"label_tag": name}),
            ask(server, "POST", "/infer/coseg", params={"session_id": name}),
            ask(server, "GET", "/session/some-id"),
        ]
        for answer in answers:
            assert answer.status_code in (404, 422), (name, answer.request.method, answer.url, answer.text)
            assert str(server.folder) not in answer.text
            assert "Traceback" not in answer.text
    assert marker.read_bytes() == before
    assert tree(server.folder) - files == set()


def test_links_out_pipes_and_unknown_images_are_no_images(server):
    assert set(ask(server, "GET", "/datastore/?output=all").json()["objects"]) == {"inside"}
    for name in ("link", "pipe", "none"):
        assert ask(server, "GET", f"/datastore/image?image={name}").status_code == 404
        answer = ask(server, "POST", f"/infer/coseg?image={name}")
        assert answer.status_code == 404
        assert "upload it first" in answer.json()["detail"]


def test_only_our_host_our_origin_and_the_token(server):
    assert ask(server, "GET", "/info/").status_code == 200
    assert ask(server, "GET", "/info/", headers={"Origin": server.url}).status_code == 200
    assert ask(server, "GET", "/info/", headers={"Host": "example.org"}).status_code == 403
    for origin in ("http://example.org", "null"):
        assert ask(server, "GET", "/info/", headers={"Origin": origin}).status_code == 403
        assert ask(server, "OPTIONS", "/info/", headers={"Origin": origin}).status_code == 403
    assert requests.get(f"{server.url}/info/", timeout=30).status_code == 401
    assert requests.get(f"{server.url}/token/{TOKEN}/info/", timeout=30).status_code == 200
    assert requests.get(f"{server.url}/token/wrong-token/info/", timeout=30).status_code == 401
    inferred = requests.post(f"{server.url}/token/{TOKEN}/infer/coseg?image=inside&output=json", timeout=60)
    assert inferred.status_code == 200


def test_what_is_too_large_or_no_json_is_refused(server):
    big = b"0" * 1_100_000
    upload = ask(server, "PUT", "/datastore/image?image=big", files={"file": ("big.png", big)})
    assert upload.status_code == 413
    chunks = (big[i : i + 100_000] for i in range(0, len(big), 100_000))
    assert ask(server, "POST", "/train/coseg", data=chunks).status_code == 413
    assert ask(server, "POST", "/train/coseg", json={"max_epochs": "1" * 70_000}).status_code == 413
    assert ask(server, "POST", "/train/coseg", data="[" * 5000).status_code == 422
    for params in ("{", "3", '"abc"', "[" * 5000):
        answer = ask(server, "POST", "/infer/coseg?image=inside", data={"params": params})
        assert answer.status_code == 422, (params[:9], answer.text)
    answer = ask(server, "PUT", "/datastore/image?image=x", files={"file": ("x.exe", b"1")})
    assert (answer.status_code, "Expected an image" in answer.text) == (422, True)
    broken = ask(server, "POST", "/infer/coseg", files={"file": ("broken.png", b"no image")})
    assert broken.status_code == 422
    assert "/" not in broken.json()["detail"].replace("PNG/", "")
    assert not (server.studies / "big.png").exists()


def test_two_clients_save_labels_at_once(server):
    polygons = json.dumps({"type": "FeatureCollection", "features": []})

    def save(tag: str) -> int:
        label = {"label": ("l.geojson", polygons)}
        return ask(server, "PUT", f"/datastore/label?image=inside&tag={tag}", files=label).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(save, [f"tag{i}" for i in range(10)])) == [200] * 10
    index = json.loads((server.studies / "datastore_v2.json").read_text())
    assert {f"tag{i}" for i in range(10)} <= set(index["objects"]["inside"]["labels"])
    assert ask(server, "GET", "/datastore/label?label=inside&tag=tag3").text == polygons


def test_a_full_disk_keeps_the_label_and_the_index(tmp_path, monkeypatch):
    import errno
    import shutil

    from coseg_bundle.label_app.image_folder import ImageFolder

    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    store = ImageFolder(str(tmp_path))
    old = '{"type": "FeatureCollection", "features": []}'
    (tmp_path / "new.geojson").write_text(old)
    store.save_label("a", str(tmp_path / "new.geojson"), "final", {})
    index = (tmp_path / "datastore_v2.json").read_bytes()

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    (tmp_path / "new.geojson").write_text(f"{old} ")
    with pytest.raises(OSError, match="No space left"):
        store.save_label("a", str(tmp_path / "new.geojson"), "final", {})
    assert (tmp_path / "labels/final/a.geojson").read_text() == old
    assert (tmp_path / "datastore_v2.json").read_bytes() == index
    assert not [p for p in (tmp_path / "labels/final").iterdir() if p.name != "a.geojson"]

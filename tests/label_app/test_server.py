"""The application in a real server: MONAI Label's own client, and HTTP."""

from __future__ import annotations

import json
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

import requests
import torch
from colour_network import encode, gland_map, touching_pairs, write_bundle, write_slide
from monailabel.client import MONAILabelClient
from PIL import Image
from server import ROOT, Server

from coseg_bundle.data.annotations import annotations_of
from coseg_bundle.data.polygons import paint
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.postprocessing.tissue import tissue_polygons

SIZE = (600, 728)
"""Height and width of the slides."""

NUCLEI = {"epithelial", "inflammatory", "spindle", "other"}
"""Classes of the released weights."""

pytestmark = pytest.mark.timeout(600)


# ---- a network that reads its answer from the image: exact truth ----------------------------------------------------


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("exact")
    bundle = write_bundle(folder / "bundle", ROOT)
    studies = folder / "studies"
    studies.mkdir()
    truth, gland = touching_pairs(*SIZE), gland_map(*SIZE)
    write_slide(studies / "slide.tif", encode(truth, gland), mpp=0.25)
    half = encode(truth, gland).reshape(SIZE[0] // 2, 2, SIZE[1] // 2, 2, 3).mean(axis=(1, 3))
    write_slide(studies / "coarse.tif", np.round(half).astype(np.uint8), mpp=0.5)
    with Server(studies, folder, {"bundle": str(bundle), "max_region_px": "20000000"}) as server:
        yield server


@pytest.fixture
def client(exact, tmp_path) -> MONAILabelClient:
    return MONAILabelClient(exact.url, tmpdir=str(tmp_path))


def wsi(
    server: Server, image: str, model: str = "coseg", output: str | None = None, **fields: Any
) -> requests.Response:
    url = f"{server.url}/infer/wsi_v2/{model}?image={image}" + (f"&output={output}" if output else "")
    return requests.post(url, data={"wsi": json.dumps(fields)}, timeout=120)


def nuclei_of(features: list[dict], shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
    """The nuclei of a GeoJSON as an instance map."""
    nuclei = [f for f in features if f["properties"]["metadata"]["group"] == "nuclei"]
    rings = [[ring * scale for ring in region.rings_xy] for region in annotations_of(nuclei, "answer").regions]
    return paint(rings, range(1, len(rings) + 1), shape)[0]


def assert_same_nuclei(found: np.ndarray, truth: np.ndarray, iou: float) -> None:
    ids = np.unique(truth[truth > 0])
    assert found.max() == len(ids)
    for i in ids:
        mine = truth == i
        theirs = found == np.bincount(found[mine]).argmax()
        assert (mine & theirs).sum() / (mine | theirs).sum() >= iou


def in_box(truth: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    kept = np.zeros_like(truth)
    for i in np.unique(truth[truth > 0]):
        rows, columns = np.nonzero(truth == i)
        if x <= columns.mean() + 0.5 < x + width and y <= rows.mean() + 0.5 < y + height:
            kept[truth == i] = i
    return kept


def test_starts_offline_in_less_than_15_seconds(exact):
    print(f"started in {exact.start_seconds:.1f} s, {exact.start_cpu_seconds:.1f} s of processor time")
    assert exact.start_cpu_seconds < 15  # of one core; the wall clock also counts what else the machine does
    assert "blocked" not in exact.log.read_text()


def test_info_lists_classes_colours_resolution_and_options(client):
    info = client.info()
    assert set(info["models"]) == {"coseg", "coseg_nuclei", "coseg_tissue"}
    model = info["models"]["coseg"]
    assert model["labels"] == {"nucleus": 1, "gland": 2}
    assert model["label_colors"] == {"nucleus": [255, 221, 0], "gland": [0, 160, 135]}
    assert model["mpp"] == 0.25
    assert model["config"] == {"mpp": 0.0, "format": "geojson", "classes": [], "complete": False, "origin": "bounds"}
    assert model["formats"] == ["geojson", "asap", "dsa", "json"]
    assert set(info["strategies"]) == {"random", "first", "coseg_disagreement"}
    assert info["trainers"]["coseg"]["config"]["max_epochs"] == 10


def test_an_uploaded_image_is_segmented(client, tmp_path):
    truth = touching_pairs(200, 260)
    Image.fromarray(encode(truth, gland_map(200, 260), uneven=0.05)).save(tmp_path / "new.png")
    assert client.upload_image(str(tmp_path / "new.png"), "new") == {"image": "new"}
    file, params = client.infer("coseg", "new", {})
    features = json.loads(Path(file).read_text())["features"]
    assert_same_nuclei(nuclei_of(features, truth.shape), truth, 0.99)
    assert params["counts"] == {"nucleus": int(truth.max()), "gland": 1}
    [gland] = [f for f in features if f["properties"]["metadata"]["group"] == "tissue"]
    assert gland["properties"]["classification"] == {"name": "gland", "color": [0, 160, 135]}
    assert gland["properties"]["objectType"] == "annotation"
    only, _ = client.infer("coseg_tissue", "new", {})
    assert {f["properties"]["metadata"]["group"] for f in json.loads(Path(only).read_text())["features"]} == {"tissue"}


def test_uploads_have_their_whole_names_and_the_resolution_that_was_said(exact, client, tmp_path):
    truth = touching_pairs(200, 260)
    for name in ("S24-77.A1", "S24-77.B2"):
        rgb = encode(truth, gland_map(200, 260))[:: 1 if name.endswith("A1") else 2]
        Image.fromarray(rgb).save(tmp_path / f"{name}.png")
        with (tmp_path / f"{name}.png").open("rb") as file:
            sent = {"file": (f"{name}.PNG", file)}
            answer = requests.put(
                f"{exact.url}/datastore/image", files=sent, data={"params": '{"mpp": 0.25}'}, timeout=60
            )
        assert answer.json() == {"image": name}
    assert client.infer("coseg", "S24-77.A1", {})[1]["mpp"] == 0.25
    again = requests.put(
        f"{exact.url}/datastore/image?image=S24-77.A1",
        files={"file": ("a.png", (tmp_path / "S24-77.B2.png").read_bytes())},
        timeout=60,
    )
    assert (again.status_code, "another image 'S24-77.A1'" in again.json()["detail"]) == (409, True)
    requests.put(f"{exact.url}/datastore/image/info?image=S24-77.A1", data={"info": '{"mpp": 0.5}'}, timeout=60)
    assert client.infer("coseg", "S24-77.A1", {})[1]["mpp"] == 0.5
    assert client.infer("coseg", "S24-77.A1", {"mpp": 0.25})[1]["mpp"] == 0.25


def test_all_images_are_segmented_without_a_gpu_and_past_a_broken_one(exact):
    (exact.studies / "broken.png").write_bytes(b"no image")
    names = {"images": ["slide", "broken"], "label_tag": "batch", "device": "cuda", "multi_gpu": True, "gpus": "all"}
    answer = requests.post(f"{exact.url}/batch/infer/coseg?run_sync=true", json=names, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()["slide"]["params"]["counts"]["gland"] == 1
    assert answer.json()["broken"]["error"]
    assert "/" not in answer.json()["broken"]["error"].replace("PNG/", "")
    label = requests.get(f"{exact.url}/datastore/label?label=slide&tag=batch", timeout=60)
    assert label.json()["features"]
    (exact.studies / "broken.png").unlink()


def test_a_file_sent_along_is_segmented(exact, tmp_path):
    truth = touching_pairs(200, 260)
    Image.fromarray(encode(truth, gland_map(200, 260))).save(tmp_path / "sent.png")
    with (tmp_path / "sent.png").open("rb") as file:
        answer = requests.post(
            f"{exact.url}/infer/coseg_nuclei?output=json", files={"file": ("sent.png", file)}, timeout=120
        )
    assert answer.status_code == 200
    assert answer.json()["counts"] == {"nucleus": int(truth.max())}


@pytest.mark.parametrize(("image", "scale", "iou"), [("slide", 1, 0.99), ("coarse", 2, 0.85)])
def test_a_region_of_a_slide(exact, image, scale, iou):
    x, y, width, height = (v // scale for v in (100, 84, 404, 330))
    answer = wsi(exact, image, location=[x, y], size=[width, height], params={"format": "geojson"})
    assert answer.status_code == 200, answer.text
    truth = in_box(touching_pairs(*SIZE), *(v * scale for v in (x, y, width, height)))
    assert_same_nuclei(nuclei_of(answer.json()["features"], SIZE, scale), truth, iou)


def test_a_region_at_level_1(exact):
    answer = wsi(exact, "slide", level=1, location=[100, 84], size=[202, 165], params={"format": "geojson"})
    truth = in_box(touching_pairs(*SIZE), 100, 84, 404, 330)
    assert_same_nuclei(nuclei_of(answer.json()["features"], SIZE), truth, 0.99)


def test_all_formats_say_the_same(exact, client):
    region = {"location": [0, 0], "size": [400, 400]}
    features = wsi(exact, "slide", **region, params={"format": "geojson"}).json()["features"]
    expected = sorted((f["properties"]["metadata"]["group"], len(f["geometry"]["coordinates"][0])) for f in features)
    root = ET.fromstring(wsi(exact, "slide", output="asap", **region).text)
    asap = [(a.get("PartOfGroup"), len(list(a.iter("Coordinate"))) + 1) for a in root.iter("Annotation")]
    assert sorted(asap) == expected
    assert {a.get("Name") for a in root.iter("Annotation")} == {"nucleus", "gland"}
    assert {g.get("Name") for g in root.iter("Group")} == {"nuclei", "tissue"}
    assert all(0.5 < float(a.get("Score", 0)) <= 1 for a in root.iter("Annotation"))
    dsa = wsi(exact, "slide", output="dsa", **region).json()["elements"]
    assert sorted((e["group"], len(e["points"]) + 1) for e in dsa) == expected
    assert {e["label"]["value"] for e in dsa} == {"nucleus", "gland"}
    elements = wsi(exact, "slide", output="json", **region).json()["annotations"][0]["annotation"]["elements"]
    assert sorted((e["group"], len(c) + 1) for e in elements for c in e["contours"]) == expected
    _, body = client.wsi_infer("coseg", "slide", {**region, "level": 0}, "asap")
    assert len(list(ET.fromstring(body).iter("Annotation"))) == len(expected)


def test_only_the_classes_that_were_asked_for(exact):
    answer = wsi(exact, "slide", location=[0, 0], size=[0, 0], params={"format": "geojson", "classes": ["gland"]})
    assert {f["properties"]["classification"]["name"] for f in answer.json()["features"]} == {"gland"}


def bad_requests(server: Server) -> dict[str, requests.Response]:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
    feature = {"type": "Feature", "geometry": square, "properties": {"classification": "cat"}}
    return {
        "outside the image": wsi(server, "slide", location=[5000, 0], size=[64, 64]),
        "positive numbers": wsi(server, "slide", location=[0, 0], size=[-5, 64]),
        "levels 0 to 1": wsi(server, "slide", level=7),
        "Unknown classes ['cat']": wsi(server, "slide", params={"classes": ["cat"]}),
        "above 0": wsi(server, "slide", params={"mpp": -1}),
        "out of range": wsi(server, "slide", params={"mpp": 900}),
        "Unknown format 'cat'": wsi(server, "slide", params={"format": "cat"}),
        "FeatureCollection": wsi(server, "slide", params={"correction": "cat"}),
        "no prompts": wsi(server, "slide", size=[64, 64], params={"correction": {"features": [feature]}}),
        "no image 'cat'": wsi(server, "cat"),
        "no model 'cat'": wsi(server, "slide", model="cat"),
    }


def test_bad_requests_get_a_clear_4xx(exact):
    for words, answer in bad_requests(exact).items():
        assert 400 <= answer.status_code < 500, (words, answer.status_code, answer.text)
        assert words in answer.json()["detail"]
    assert requests.get(f"{exact.url}/info/", timeout=30).status_code == 200


def test_a_huge_region_is_refused(exact, tmp_path):
    write_slide(exact.studies / "huge.tif", np.full((6000, 6000, 3), 0, np.uint8), 0.25, levels=1)
    end = time.monotonic() + 20
    while (answer := wsi(exact, "huge", size=[0, 0])).status_code == 404 and time.monotonic() < end:
        time.sleep(0.5)  # the datastore watches its folder
    assert answer.status_code == 413
    assert "36 million px" in answer.json()["detail"]


def test_ten_requests_at_once(exact):
    truth = touching_pairs(*SIZE)
    boxes = [(10 * i, 8 * i, 200, 170) for i in range(10)]

    def ask(box: tuple[int, int, int, int]) -> requests.Response:
        return wsi(exact, "slide", location=box[:2], size=box[2:], params={"format": "geojson"})

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, boxes))
    for box, answer in zip(boxes, answers, strict=True):
        assert_same_nuclei(nuclei_of(answer.json()["features"], SIZE), in_box(truth, *box), 0.99)


def test_a_client_that_goes_away_harms_nobody(exact):
    body = "wsi=" + requests.utils.quote(json.dumps({"location": [0, 0], "size": [0, 0]}))
    head = (
        f"POST /infer/wsi_v2/coseg?image=slide HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    for sent in (head + body, head + body[: len(body) // 2]):
        with socket.create_connection(("127.0.0.1", exact.port), timeout=10) as connection:
            connection.sendall(sent.encode())
    assert wsi(exact, "slide", size=[100, 100]).status_code == 200


def test_memory_comes_back(exact):
    def visit(offset: int) -> None:
        for i in range(8):
            assert wsi(exact, "slide", location=[offset + i, i], size=[560, 500]).status_code == 200

    visit(0)
    before = exact.memory_mb()
    for offset in (20, 40, 60):
        visit(offset)
        bad_requests(exact)
    assert exact.memory_mb() - before < 100


# ---- the released weights: corrections, active learning, training ---------------------------------------------------


@pytest.fixture(scope="module")
def teach(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("teach")
    studies = folder / "studies"
    studies.mkdir()
    for seed in range(3):
        Image.fromarray(synthetic_tissue(256, seed).rgb).save(studies / f"tissue{seed}.png")
    with Server(studies, folder, {"bundle": str(ROOT)}) as server:
        yield server


def drawn(seed: int) -> dict:
    """What an annotator would draw on an image."""
    tissue = synthetic_tissue(256, seed)
    shapes = [("epithelial", [ring]) for ring in instance_table(tissue.instance_map).contours_xy]
    shapes += [("gland", region.rings_xy) for region in tissue_polygons(tissue.tissue_map, skip_ids=(0,))]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*r.tolist(), r[0].tolist()] for r in rings]},
            "properties": {"classification": {"name": name}},
        }
        for name, rings in shapes
    ]
    return {"type": "FeatureCollection", "features": features}


def test_a_correction_changes_the_other_task(teach, tmp_path):
    client = MONAILabelClient(teach.url, tmpdir=str(tmp_path))
    _, before = client.infer("coseg", "tissue0", {"format": "json"})
    glands = [f for f in drawn(0)["features"] if f["properties"]["classification"]["name"] == "gland"]
    request = {"format": "json", "correction": {"type": "FeatureCollection", "features": glands}, "complete": True}
    _, after = client.infer("coseg", "tissue0", request)
    nuclei = [a["annotations"][0]["annotation"]["elements"][0] for a in (before, after)]
    assert {nucleus["label"] for nucleus in nuclei} <= NUCLEI
    assert nuclei[0]["scores"] != nuclei[1]["scores"]


def test_a_label_map_sent_along_is_a_correction_and_must_fit(teach, tmp_path):
    client = MONAILabelClient(teach.url, tmpdir=str(tmp_path))
    Image.fromarray(np.ones((256, 256), np.uint8)).save(tmp_path / "label.png")
    _, params = client.infer("coseg_tissue", "tissue1", {}, label_in=str(tmp_path / "label.png"))
    assert params["counts"] == {"gland": 1}
    Image.fromarray(np.ones((99, 256), np.uint8)).save(tmp_path / "wrong.png")
    with (tmp_path / "wrong.png").open("rb") as file:
        answer = requests.post(f"{teach.url}/infer/coseg?image=tissue1", files={"label": ("w.png", file)}, timeout=120)
    assert answer.status_code == 422
    assert "The label has 256 x 99 px" in answer.json()["detail"]


def test_the_next_sample_is_the_one_with_most_disagreement(teach, tmp_path):
    client = MONAILabelClient(teach.url, tmpdir=str(tmp_path))
    assert client.next_sample("first", {})["id"] == "tissue0"
    assert client.next_sample("random", {})["id"] in {"tissue0", "tissue1", "tissue2"}
    sample = client.next_sample("coseg_disagreement", {})
    sums = {}
    for seed in range(3):
        from coseg_bundle.inferers import Predictor

        predictor = Predictor.from_bundle(ROOT, device="cpu")
        pred = predictor.infer(synthetic_tissue(256, seed).rgb)
        sums[f"tissue{seed}"] = predictor.postprocessing.layout.split(pred, 0)["disagreement"].sum()
    assert sample["id"] == max(sums, key=lambda name: sums[name])
    assert sample["weight"] == pytest.approx(float(sums[sample["id"]]), rel=1e-3)
    assert sample["region"] == [0, 0, 256, 256]


def test_annotate_train_and_be_served_the_new_weights(teach, tmp_path):
    client = MONAILabelClient(teach.url, tmpdir=str(tmp_path))
    _, before = client.infer("coseg", "tissue2", {"format": "json"})
    assert before["weights"] == "model.pt"
    for seed in (0, 1):
        (tmp_path / "label.geojson").write_text(json.dumps(drawn(seed)))
        params = {"region": [0, 0, 256, 256]}
        saved = client.save_label(f"tissue{seed}", str(tmp_path / "label.geojson"), params=params)
        assert saved == {"image": f"tissue{seed}", "label": f"tissue{seed}"}
    assert client.next_sample("first", {})["id"] == "tissue2"
    client.train_start("coseg", {"max_epochs": 1, "epoch_length": 8, "crop_size": 128})
    seen, end = set(), time.monotonic() + 400
    while time.monotonic() < end:
        status = requests.get(f"{teach.url}/train/", timeout=30).json()
        answer = client.infer("coseg", "tissue2", {"format": "json"})[1]  # served all the while
        seen.add(answer["weights"])
        if status["status"] not in ("SUBMITTED", "RUNNING"):
            break
        time.sleep(1)
    assert status["status"] == "DONE", "\n".join(status["details"])
    _, after = client.infer("coseg", "tissue2", {"format": "json"})
    assert after["weights"] == "coseg_v001.pt"
    assert seen <= {"model.pt", "coseg_v001.pt"}
    scores = [a["annotations"][0]["annotation"]["elements"][0]["scores"] for a in (before, after)]
    assert scores[0] != scores[1]
    stats = client.info()["train_stats"]["coseg"]
    assert (stats["started_from"], stats["training_items"], stats["validation_items"]) == ("model.pt", 1, 1)
    assert (ROOT / "models" / "model.pt").is_file()
    assert client.info()["models"]["coseg"]["versions"] == ["coseg_v001.pt"]


def test_weights_may_be_swapped_while_serving(teach, tmp_path):
    client = MONAILabelClient(teach.url, tmpdir=str(tmp_path))
    folder = teach.studies / "coseg" / "weights"
    read = torch.load(ROOT / "models" / "model.pt", weights_only=True)
    state = {name: value * 1.02 if value.is_floating_point() else value for name, value in read.items()}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client.infer, "coseg", f"tissue{i % 3}", {"format": "json"}) for i in range(4)]
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, tmp_path / "new.pt")
        (tmp_path / "new.pt").rename(folder / "coseg_v008.pt")
        (folder / "coseg_v009.pt").write_bytes(b"half a file")
        assert all(NUCLEI & future.result()[1]["counts"].keys() for future in asked)
    assert client.infer("coseg", "tissue0", {"format": "json"})[1]["weights"] == "coseg_v008.pt"
    (folder / "coseg_v008.pt").unlink()
    (folder / "coseg_v009.pt").unlink()
    assert client.infer("coseg", "tissue0", {"format": "json"})[1]["weights"] != "coseg_v008.pt"

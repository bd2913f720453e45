from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'coseg-bundle[view]'")
from starlette.testclient import TestClient

from coseg_bundle.view import app as view_app
from coseg_bundle.view.app import make_app
from coseg_bundle.view.desk import Desk
from coseg_bundle.view.results import open_image, open_result

TOKEN = "a-long-token"
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]]}


@pytest.fixture
def client(result, known_service):
    app = make_app([Desk(result, lambda: known_service)], TOKEN)
    return TestClient(app, base_url="http://127.0.0.1:8123", client=("127.0.0.1", 5000))


def get(client, path, **more):
    return client.get(f"/{TOKEN}/{path}", **more)


def post(client, path, content):
    return client.post(f"/{TOKEN}/{path}", json=content)


def test_what_the_page_asks_first(client):
    assert get(client, "results.json").json() == [{"name": "slide.tif", "kind": "slide"}]
    about = get(client, "0/about.json").json()
    assert (about["size"], about["mpp"], about["nuclei"], about["levels"], about["cell"]) == (
        [600, 400],
        0.5,
        24,
        2,
        1024,
    )
    assert about["correct"] == 1024
    assert [column["name"] for column in about["columns"] if column["names"]] == ["type", "tissue"]
    assert [one["name"] for one in about["nuclei_classes"]] == ["background", "tumour", "other"]


def test_the_page_and_its_files(client):
    page = get(client, "")
    assert page.headers["content-type"].startswith("text/html")
    for name in ("app.js", "style.css", "icon.svg"):
        assert f"page/{name}" in page.text
        assert get(client, f"page/{name}").status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["..%2fapp.py", "%2e%2e%2fapp.py", "app.py", "nothing.js", ".", "%2fetc%2fpasswd"])
def test_no_other_file(client, name):
    assert get(client, f"page/{name}").status_code == 404


def test_columns(client):
    xy = np.frombuffer(get(client, "0/columns/xy.bin").content, "<f4").reshape(-1, 2)
    assert xy[0].tolist() == [50, 50]
    assert np.frombuffer(get(client, "0/columns/type.bin").content, "u1")[:3].tolist() == [1, 2, 1]
    assert np.isnan(np.frombuffer(get(client, "0/columns/disagreement.bin").content, "<f4")[3])
    assert np.frombuffer(get(client, "0/columns/id.bin").content, "<i4")[-1] == 24
    assert get(client, "0/columns/cat.bin").json() == {"detail": "There is no column 'cat'."}


def test_pictures(client):
    assert get(client, "0/tiles/1/0_0.jpg").content[:2] == b"\xff\xd8"
    assert get(client, "0/tissue/1/0/0_0.png").content[:4] == b"\x89PNG"
    assert get(client, "0/tissue/1/0/1_0.png").content[:4] == b"\x89PNG"  # empty
    for path in ("0/tiles/5/0_0.jpg", "0/tissue/9/0/0_0.png", "1/about.json", "0/nothing"):
        assert get(client, path).status_code == 404


def test_a_region_is_measured_saved_and_loaded(client, folder):
    assert post(client, "0/measure", SQUARE).json()["all"]["count"] == 4
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a region"}}
    answer = client.put(f"/{TOKEN}/0/regions.json", json={"type": "FeatureCollection", "features": [feature]})
    assert answer.json()["saved"] == 1
    [saved] = json.loads((folder / "regions.geojson").read_text())["features"]
    assert saved["properties"]["name"] == "a region"
    assert saved["properties"]["measurements"]["Nuclei per mm2"] == 400
    assert get(client, "0/regions.json").json()["features"] == [saved]


def test_regions_that_limited_the_run_stay(result, folder):
    (folder / "regions.geojson").write_text("{}")
    result.summary["regions"] = []
    with pytest.raises(ValueError, match="says what the run was limited to, and stays as it is; download"):
        Desk(result).save_regions({"features": []})
    assert (folder / "regions.geojson").read_text() == "{}"


def test_what_nobody_looked_at_is_no_part_of_a_region(result, folder):
    """It counted as empty: 1,801 nuclei per mm2 of a region that has 4,882 where the run had looked."""
    left = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 400], [0, 400], [0, 0]]]}
    region = {"type": "Feature", "geometry": left, "properties": {"name": "left"}}
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [region]}))
    result.summary |= {"regions": [], "unreadable_tiles": [{"x": 0, "y": 0, "width": 100, "height": 200}]}
    desk = Desk(result)
    whole = {"type": "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 400], [0, 400], [0, 0]]]}
    found = desk.measured(whole)
    assert (found["area_px"], found["all"]["count"]) == (100 * 200, 2)
    beside = {"type": "Polygon", "coordinates": [[[200, 0], [300, 0], [300, 400], [200, 0]]]}
    with pytest.raises(ValueError, match="lies where the run did not look"):
        desk.measured(beside)


def test_regions_as_csv(client):
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a"}}
    text = post(client, "0/regions.csv", {"type": "FeatureCollection", "features": [feature]}).text
    head, row = text.splitlines()
    assert head.startswith(
        "name,area_px,area_mm2,nuclei,nuclei density_mm2,nuclei expected,nuclei low,nuclei high,tumour count"
    )
    assert row.startswith("a,40000,0.01,4,400,3.6,2,4,2,200,1.8,0,4,2,200,1.8,0,4")


def test_the_table_as_csv_with_corrections(client):
    assert len(get(client, "0/nuclei.csv").text.splitlines()) == 25
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    request = {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": half}
    assert post(client, "0/correct", request).json()["after"]["all"]["count"] == 1
    lines = get(client, "0/nuclei.csv").text.splitlines()
    assert lines[0].startswith("id,x,y,area_um2,type")
    assert len(lines) == 1 + 24 - 4 + 1
    assert lines[-1].startswith(",100.00,100.00,100,tumour,0.8,0.7,0.2,")
    assert len(get(client, "0/edits.json").json()["patches"]) == 1
    assert post(client, "0/save", {}).json()["files"][0] == "slide.tif/corrections/label.geojson"
    assert post(client, "0/undo", {}).json()["patches"] == []


def test_tables_from_before_the_corrections(client):
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a"}}
    regions = {"type": "FeatureCollection", "features": [feature]}
    tables = [get(client, "0/nuclei.csv").text, post(client, "0/regions.csv", regions).text]
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    post(client, "0/correct", {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": half})
    assert [get(client, "0/nuclei.csv?before").text, post(client, "0/regions.csv?before", regions).text] == tables
    after = post(client, "0/regions.csv", regions).text
    assert [text.splitlines()[1].split(",")[3] for text in (tables[1], after)] == ["4", "1"]


def test_what_is_not_known_any_more_comes_with_the_corrections(client):
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    request = {"box": [0, 0, 245, 245], "task": "tissue", "name": "gland", "drawn": half}
    answer = post(client, "0/correct", request).json()
    assert answer["unknown"] == {"tissue_border_um": [2, 8, 12, 13, 14]}  # 5 px beside it, where the border was 14 away
    assert answer["patch"]["id"] == [0]
    assert get(client, "0/edits.json").json()["unknown"] == answer["unknown"]
    assert post(client, "0/undo", {}).json()["unknown"] == {}


def test_regions_are_compared_with_what_is_saved(client, result):
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a"}}
    client.put(f"/{TOKEN}/0/regions.json", json={"type": "FeatureCollection", "features": [feature]})
    saved = get(client, "0/regions.json").json()
    [kept] = saved["features"]
    assert (kept["properties"]["measurements"], saved["fixed"]) == (
        post(client, "0/measure", SQUARE).json()["measurements"],
        False,
    )
    result.summary["regions"] = []
    assert get(client, "0/regions.json").json()["fixed"]


def test_regions_that_another_window_saved_are_not_overwritten(client, folder):
    mine = {"type": "FeatureCollection", "features": [], "state": get(client, "0/regions.json").json()["state"]}
    theirs = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "theirs"}}
    collection = {"type": "FeatureCollection", "features": [theirs], "state": ""}
    state = client.put(f"/{TOKEN}/0/regions.json", json=collection).json()["state"]
    refused = client.put(f"/{TOKEN}/0/regions.json", json=mine)
    assert refused.status_code == 409
    assert "regions.geojson was changed in another window or program" in refused.json()["detail"]
    assert get(client, "0/state.json").json() == {"corrections": 0, "regions": state}
    assert get(client, "0/regions.json").json()["features"][0]["properties"]["name"] == "theirs"
    assert client.put(f"/{TOKEN}/0/regions.json", json={**mine, "state": state}).json()["saved"] == 0


def test_a_window_does_not_take_back_what_it_did_not_see(client):
    request = {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": SQUARE}
    assert post(client, "0/correct", request).json()["revision"] == 1
    for path in ("0/undo", "0/redo", "0/save"):
        refused = post(client, path, {"revision": 0})
        assert refused.status_code == 409
        assert "Corrections were changed in another window" in refused.json()["detail"]
    assert post(client, "0/undo", {"revision": 1}).json()["revision"] == 2


def test_a_region_before_the_corrections(client):
    request = {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": SQUARE}
    post(client, "0/correct", request)
    assert [post(client, path, SQUARE).json()["all"]["count"] for path in ("0/measure", "0/measure?before")] == [1, 4]


def test_numbers_of_a_correction_are_those_before_and_after_it(client):
    """They were those before and after all corrections: the second one, beside which nothing is, said 24 to 20."""
    for number, (left, before, after) in enumerate([(0, 24, 21), (300, 21, 18)], start=1):
        box = {
            "type": "Polygon",
            "coordinates": [[[left, 0], [left + 50, 0], [left + 50, 200], [left, 200], [left, 0]]],
        }
        request = {"box": [left, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": box}
        answer = post(client, "0/correct", request).json()
        assert [answer[key]["all"]["count"] for key in ("before", "after")] == [4, 1]
        whole = {"type": "Polygon", "coordinates": [[[0, 0], [600, 0], [600, 400], [0, 400], [0, 0]]]}
        counts = [post(client, f"0/measure?first={n}", whole).json()["all"]["count"] for n in (number - 1, number)]
        assert counts == [before, after]
    request = {"box": [0, 0, 200, 200], "task": "nuclei", "name": "", "drawn": SQUARE}
    answer = post(client, "0/correct", request).json()
    assert answer["before"]["all"]["count"] == 1  # and not 4, as before the first one


def test_an_image_without_results_has_no_numbers_of_nuclei_or_tissue(folder):
    """Its table said that there are none, though nobody counted."""
    desk = Desk(open_image(folder.parents[1] / "slide.tif"))
    client = TestClient(make_app([desk], TOKEN), base_url="http://127.0.0.1:8123", client=("127.0.0.1", 5000))
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a"}}
    text = post(client, "0/regions.csv", {"type": "FeatureCollection", "features": [feature]}).text
    assert text.splitlines() == ["name,area_px,area_mm2", "a,40000,0.01"]
    assert desk.measured(SQUARE)["measurements"] == {"Area mm2": 0.01}


def test_a_task_that_was_not_taught_has_no_numbers(result, folder):
    result.summary["untrained"] = ["nuclei"]
    _, gland = Desk(result).measured(SQUARE)["tissue"]
    assert gland == {"name": "gland", "share": 1.0, "area_mm2": 0.01}
    assert not {"all", "classes"} & Desk(result).measured(SQUARE).keys()
    other = open_result(folder)
    other.summary["untrained"] = ["tissue"]
    found = Desk(other).measured(SQUARE)
    assert ("tissue" in found, found["all"]["count"]) == (False, 4)


def test_results_that_were_made_anew_or_removed_are_not_mixed(client, folder):
    import os
    import shutil

    os.utime(folder / "summary.json", ns=(1, 1))
    for answer in (get(client, "0/outlines/0_0.bin"), post(client, "0/measure", SQUARE)):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("The results of slide.tif were removed or made anew")
    shutil.rmtree(folder)
    assert "were removed or made anew since they were opened" in get(client, "0/about.json").json()["detail"]


def test_the_network_looks_first(client, known_service):
    assert "seconds" in post(client, "0/look", {"box": [0, 0, 100, 100]}).json()
    assert known_service.queries[0].correction is None


def test_other_programs_get_geojson(client, known_service):
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    gland = {"type": "Feature", "geometry": half, "properties": {"classification": {"name": "gland"}}}
    request = {
        "box": [0, 0, 200, 200],
        "correction": {"type": "FeatureCollection", "features": [gland]},
        "complete": True,
    }
    collection = post(client, "0/segment", request).json()
    assert collection["coseg"]  # ours: what another program saves of it has tissue that is no nucleus
    nucleus, tissue = collection["features"]
    assert nucleus["properties"]["objectType"] == "detection"
    assert (tissue["properties"]["objectType"], tissue["geometry"]) == ("annotation", half)
    assert known_service.queries[0].complete
    assert get(client, "0/edits.json").json()["patches"] == []


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        ("0/correct", {"task": "cat"}, "Expected the task tissue or nuclei, got 'cat'."),
        ("0/correct", {"task": "tissue", "box": [1, 2]}, "Expected box to be x, y, width and height"),
        ("0/look", {"box": [900, 0, 10, 10]}, "lies outside the image"),
        ("0/look", [], "Expected a JSON object."),
        ("0/segment", {"box": [0, 0, 9, 9], "correction": []}, "Expected correction to be a GeoJSON FeatureCollection"),
        ("0/measure", {"type": "Point", "coordinates": [1, 1]}, "Expected a region with an area"),
        ("0/regions.csv", {}, "Expected a FeatureCollection of regions."),
        ("0/measure?first=-1", SQUARE, "Expected first to be how many corrections are taken in, got '-1'."),
        ("0/save", {}, "There are no corrections to save"),
    ],
)
def test_faults_of_a_request_are_sentences(client, path, content, sentence):
    answer = post(client, path, content)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("9/about.json", "There is no result 9."),
        ("0/columns/cat.bin", "There is no column 'cat'."),
        ("0/tiles/0/9_9.jpg", "There is no tile 9, 9 of level 0."),
        ("0/tissue/7/0/0_0.png", "There are no tissue classes [7] to show."),
        ("0/tissue/gland/0/0_0.png", "Expected the ids of tissue classes with - between them."),
        ("page/cat.js", "There is no such file."),
    ],
)
def test_what_is_not_there_is_a_sentence(client, path, sentence):
    answer = get(client, path)
    assert (answer.status_code, answer.json()["detail"]) == (404, sentence)


def test_a_failure_without_words(client, monkeypatch):
    from coseg_bundle.view.desk import Desk

    def fail(*_):
        raise OSError

    monkeypatch.setattr(Desk, "about", fail)
    assert get(client, "0/about.json").json()["detail"] == "The server failed; its log says why."


def test_a_page_without_the_token_is_words(client):
    answer = client.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/plain; charset=utf-8")
    assert answer.text.startswith("Expected the address that coseg view printed")


def test_regions_that_cannot_be_saved(client, folder):
    address = f"/{TOKEN}/0/regions.json"
    assert "at most 1000 regions" in client.put(address, json={}).json()["detail"]
    (folder / "regions.geojson").write_text("[1")
    assert "is left alone" in get(client, "0/regions.json").json()["detail"]


def test_what_is_no_json(client):
    answer = client.post(f"/{TOKEN}/0/measure", content=b"{")
    assert (answer.status_code, answer.json()) == (422, {"detail": "Expected JSON."})


def test_a_large_request_is_refused(client, monkeypatch):
    monkeypatch.setattr(view_app, "MAX_BYTES", 10)
    answer = post(client, "0/measure", SQUARE)
    assert (answer.status_code, answer.json()["detail"]) == (413, "Expected a request of 10 bytes at most.")


def test_a_full_disk_is_a_sentence_without_folders(client, monkeypatch, folder):
    from coseg_bundle.view.desk import Desk

    def full(*_):
        raise OSError(28, "No space left on device", "/secret/folder/regions.geojson")

    monkeypatch.setattr(Desk, "save_regions", full)
    answer = client.put(f"/{TOKEN}/0/regions.json", json={})
    assert answer.status_code == 500
    assert "No space left" in answer.json()["detail"]
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/results.json", f"/{TOKEN[:-1]}/results.json", f"/{TOKEN}x/"])
def test_only_with_the_token(client, path):
    answer = client.get(path)
    assert answer.status_code == 401
    assert "Expected the address that coseg view printed" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}, {"host": "evil@127.0.0.1"}],
)
def test_only_this_machine_and_this_page(client, headers):
    answer = get(client, "results.json", headers=headers)
    sentence = "This server does not go by the name" if "host" in headers else "may not ask; open the page that coseg"
    assert answer.status_code == 403
    assert sentence in answer.json()["detail"]


def test_its_own_page_may_ask(client):
    assert get(client, "results.json", headers={"origin": "http://127.0.0.1:8123"}).status_code == 200


def test_without_a_network_nothing_is_corrected(result):
    client = TestClient(make_app([Desk(result)], TOKEN), base_url="http://127.0.0.1")
    assert get(client, "0/about.json").json()["correct"] == 0
    answer = post(client, "0/look", {"box": [0, 0, 9, 9]})
    assert answer.json() == {"detail": "Nothing can be corrected here."}


def test_the_page_says_what_speaks_against_a_result(result):
    result.summary |= {"read_as": ["12 significant bits"], "doubts": ["the nuclei are 2.4 um wide"]}
    client = TestClient(make_app([Desk(result)], TOKEN), base_url="http://127.0.0.1")
    assert get(client, "0/about.json").json()["notes"] == ["12 significant bits", "the nuclei are 2.4 um wide"]


def test_without_the_image_the_rest_is_shown(folder, tmp_path):
    from coseg_bundle.view.results import open_result

    (tmp_path / "slide.tif").unlink()
    client = TestClient(make_app([Desk(open_result(folder))], TOKEN), base_url="http://127.0.0.1")
    about = get(client, "0/about.json").json()
    assert (about["image"], about["nuclei"]) == (False, 24)
    assert "The image is not shown" in about["notes"][0]
    assert get(client, "0/tiles/0/0_0.jpg").status_code == 404

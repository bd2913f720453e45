import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.labels.json_files import OF_IMAGE
from coseg_bundle.data.labels.nuclei import nuclei_of
from coseg_bundle.service.formats import WRITERS, to_json
from coseg_bundle.service.shapes import Answer, Shape


def square(x: float, side: float) -> np.ndarray:
    return np.array([[x, 0], [x + side, 0], [x + side, side], [x, side]])


@pytest.fixture
def answer() -> Answer:
    nucleus = Shape("nuclei", 'round & "dark"', (1, 2, 255), (square(0, 2),), 0.75, {"Disagreement": 0.5})
    gland = Shape("tissue", "gland", (0, 160, 135), (square(5, 9), square(7, 2)), None)
    return Answer((nucleus, gland), (0, 0, 20, 10), 0.25, "model.pt", {"total": 1.23456})


def written(answer, name, tmp_path) -> str:
    suffix, write = WRITERS[name]
    write(tmp_path / f"answer{suffix}", answer, "coseg")
    return (tmp_path / f"answer{suffix}").read_text()


def test_geojson(answer, tmp_path):
    nucleus, gland = json.loads(written(answer, "geojson", tmp_path))["features"]
    assert nucleus["geometry"]["coordinates"] == [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]
    assert nucleus["properties"]["measurements"] == {"Score": 0.75, "Disagreement": 0.5}
    assert nucleus["properties"]["objectType"] == "detection"
    assert gland["properties"]["objectType"] == "annotation"
    assert gland["properties"]["measurements"] == {}
    assert len(gland["geometry"]["coordinates"]) == 2


def test_geojson_says_that_it_is_ours_and_where_it_lies(answer, tmp_path):
    """Its glands were measured as nuclei, and from a canvas with an origin beside the scanned part they lay wrong."""
    assert json.loads(written(answer, "geojson", tmp_path))["coseg"] == OF_IMAGE
    nuclei = nuclei_of(read_annotations(tmp_path / "answer.geojson"))
    assert [region.name for region in nuclei.regions] == ['round & "dark"']
    place = {"origin": "canvas", "origin_x_px": 0, "origin_y_px": 0}
    assert json.loads(written(replace(answer, place=place), "geojson", tmp_path))["coseg"] == place


def test_asap(answer, tmp_path):
    root = ET.fromstring(written(answer, "asap", tmp_path))
    nucleus, gland = root.iter("Annotation")
    assert nucleus.attrib == {
        "Name": 'round & "dark"',
        "Type": "Polygon",
        "PartOfGroup": "nuclei",
        "Color": "#0102ff",
        "Score": "0.75",
    }
    assert [(float(c.get("X")), float(c.get("Y"))) for c in nucleus.iter("Coordinate")][:2] == [(0, 0), (2, 0)]
    assert "Score" not in gland.attrib
    assert [g.get("Name") for g in root.iter("Group")] == ["nuclei", "tissue"]


def test_dsa(answer, tmp_path):
    document = json.loads(written(answer, "dsa", tmp_path))
    nucleus, gland = document["elements"]
    assert (nucleus["group"], nucleus["label"], nucleus["lineColor"]) == (
        "nuclei",
        {"value": 'round & "dark"'},
        "rgb(1,2,255)",
    )
    assert nucleus["points"][1] == [2, 0, 0]
    assert nucleus["user"] == {"score": 0.75, "Disagreement": 0.5}
    assert len(gland["holes"]) == 1
    assert json.loads(document["description"])["counts"] == {'round & "dark"': 1, "gland": 1}


def test_json(answer, tmp_path):
    content = to_json(answer, "coseg")
    assert json.loads(written(answer, "json", tmp_path)) == content
    nucleus, gland = content["annotations"][0]["annotation"]["elements"]
    assert (nucleus["group"], nucleus["scores"]) == ("nuclei", [0.75])
    assert (gland["group"], gland["scores"], len(gland["holes"][0])) == ("tissue", [None], 1)
    assert content["latencies"] == {"total": 1.235}


def test_nothing_found_is_an_empty_file(tmp_path):
    empty = Answer((), (0, 0, 4, 4))
    assert json.loads(written(empty, "geojson", tmp_path))["features"] == []
    assert json.loads(written(empty, "dsa", tmp_path))["elements"] == []
    assert list(ET.fromstring(written(empty, "asap", tmp_path)).iter("Annotation")) == []


def test_what_nobody_taught_is_said(answer):
    assert to_json(answer, "coseg")["untrained"] == []
    assert to_json(replace(answer, untrained=("tissue",)).only({"nuclei"}), "coseg")["untrained"] == ["tissue"]

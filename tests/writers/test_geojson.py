import json

import cv2
import numpy as np
import pytest

from coseg_bundle.classes import ClassMap
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.writers import nuclei_features, tissue_features, write_features

TISSUE, NUCLEI = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))


@pytest.fixture
def prediction():
    """Two squares that touch (the hv map falls between them), one alone; gland with a hole."""
    from coseg_bundle.transforms import hv_map

    instances = np.zeros((64, 64), np.int32)
    instances[10:26, 8:24], instances[10:26, 24:40], instances[40:52, 30:50] = 1, 2, 3
    pred = np.zeros((7, 64, 64), np.float32)
    pred[1] = -4
    pred[1, 4:60, 4:60] = 4
    pred[1, 30:36, 30:36] = -4
    pred[2] = np.where(instances > 0, 4, -4)
    pred[3:5] = hv_map(instances)
    return PostProcessing(HeadLayout(2), min_tissue_area_px=4)(pred)


def rasterise(rings, shape):
    """The pixels whose middles lie inside."""
    canvas = np.zeros(shape, np.uint8)
    big = [np.round(np.array(ring) * 8 - 4).astype(np.int32) for ring in rings]  # 3 fraction bits, middle of pixels
    large = np.zeros((shape[0] * 8, shape[1] * 8), np.uint8)
    cv2.fillPoly(large, [points + 4 for points in big], 1)
    canvas[:] = large[4::8, 4::8]
    return canvas > 0


def test_touching_nuclei_are_features_of_their_own_and_draw_back(prediction, tmp_path):
    assert write_features(tmp_path / "n.geojson", nuclei_features(prediction.instances, NUCLEI, TISSUE)) == 3
    collection = json.loads((tmp_path / "n.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    for feature, instance_id in zip(collection["features"], prediction.instances.instance_id, strict=True):
        assert feature["geometry"]["type"] == "Polygon"
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        assert np.array_equal(rasterise([ring], (64, 64)), prediction.instance_map == instance_id)
        assert feature["properties"]["classification"]["name"] == "nucleus"
        assert len(feature["properties"]["classification"]["color"]) == 3
        assert feature["properties"]["measurements"]["Area px"] == (prediction.instance_map == instance_id).sum()
    assert len({feature["id"] for feature in collection["features"]}) == 3


def test_tissue_keeps_its_hole(prediction):
    (feature,) = map(json.loads, tissue_features(prediction.tissue_map, TISSUE))
    rings = feature["geometry"]["coordinates"]
    assert len(rings) == 2
    outer, hole = (rasterise([ring], (64, 64)) for ring in rings)
    assert np.array_equal(outer & ~hole, prediction.tissue_map == 1)
    assert feature["properties"]["classification"]["name"] == "gland"


def test_nothing_found_is_a_valid_collection(tmp_path):
    assert write_features(tmp_path / "empty.geojson", []) == 0
    assert json.loads((tmp_path / "empty.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


def test_what_holds_for_all_is_a_member_of_the_collection(tmp_path):
    write_features(tmp_path / "a.geojson", [], {"origin_x_px": 5})
    assert json.loads((tmp_path / "a.geojson").read_text())["coseg"] == {"origin_x_px": 5}


def test_same_result_same_file(prediction, tmp_path):
    for name in "ab":
        write_features(tmp_path / name, nuclei_features(prediction.instances, NUCLEI, TISSUE))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.geojson"
    write_features(path, [])
    before = path.read_bytes()

    def broken():
        yield '{"type":"Feature"}'
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_features(path, broken())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.geojson"]

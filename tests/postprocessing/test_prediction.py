import numpy as np
import pytest
from maps import discs, perfect_maps

from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing

LAYOUT = HeadLayout(2, 2)


def output(instances: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    prob, hv = perfect_maps(instances)
    pred = np.zeros((LAYOUT.channels, *instances.shape), np.float32)
    parts = LAYOUT.split(pred, channel_dim=0)
    parts["tissue_logits"][:] = np.stack([tissue == 0, tissue == 1]) * 8.0
    parts["nuclei_logits"][0] = prob * 12 - 6
    parts["hv_map"][:] = hv
    parts["type_logits"][2] = 5.0
    parts["disagreement"][1] = 0.25
    return pred


def test_maps_become_a_table():
    instances = discs(96, 20)
    tissue = np.zeros((96, 96), int)
    tissue[:, 48:] = 1
    prediction = PostProcessing(LAYOUT)(output(instances, tissue), mpp=0.25)
    table = prediction.instances
    assert prediction.instance_map.max() == len(table) == instances.max()
    assert np.array_equal(prediction.tissue_map, tissue)
    assert set(table.type_id.tolist()) == {2}
    assert table.disagreement == pytest.approx(0.25)
    assert table.nuclei_prob.min() > 0.99
    right = table.centroid_xy[:, 0] > 56
    assert set(table.tissue_id[right].tolist()) == {1}
    assert prediction.mpp == 0.25


def test_another_size_keeps_nuclei_apart():
    instances = discs(96, 20)
    pred = output(instances, np.zeros((96, 96), int))
    doubled = PostProcessing(LAYOUT)(pred, size=(192, 192))
    same = PostProcessing(LAYOUT)(pred)
    assert np.array_equal(doubled.instance_map, np.kron(same.instance_map, np.ones((2, 2), np.int32)))
    assert doubled.instances.area_px.tolist() == (4 * same.instances.area_px).tolist()
    halved = PostProcessing(LAYOUT)(pred, size=(48, 48))
    assert halved.instance_map.shape == halved.tissue_map.shape == (48, 48)
    assert len(halved.instances) == len(same.instances)
    assert halved.instances.centroid_xy == pytest.approx(same.instances.centroid_xy / 2, abs=0.6)


def test_channels_must_fit():
    with pytest.raises(ValueError, match="Expected 10 channels"):
        PostProcessing(LAYOUT)(np.zeros((7, 8, 8), np.float32))

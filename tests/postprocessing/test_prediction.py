import numpy as np
import pytest
from maps import discs, perfect_maps

from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.postprocessing.resample import resample_classes

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


def test_a_region_has_as_many_pixels_of_a_coarser_image():
    layout = HeadLayout(2)
    pred = np.zeros((layout.channels, 40, 40), np.float32)
    pred[2] = -9  # no nuclei
    pred[1] = -1
    pred[1, 2:14, 2:14] = pred[1, 30:36, 30:36] = 1  # 144 and 36 pixels
    pred[1, 2:14, 24:30] = 1  # 72, and 36 behind a bridge as thin as a pixel
    pred[1, 7:13, 33:39] = 1
    bridge = next(row for row in (8, 9) if not resampled_row(row))
    pred[1, bridge, 30:33] = 1
    postprocessing = PostProcessing(layout, min_tissue_area_px=16)
    assert postprocessing(pred).tissue_map.sum() == 144 + 72 + 36 + 3 + 36
    assert postprocessing(pred, size=(80, 80)).tissue_map.sum() == 4 * (144 + 72 + 36 + 3 + 36)  # a finer image
    assert postprocessing(pred, size=(20, 20)).tissue_map.sum() == 36 + 18  # of 64 or more; and none beyond the bridge


def resampled_row(row: int) -> bool:
    """Whether a row of a map stays in one of half its size."""
    marked = np.zeros((40, 40), np.uint8)
    marked[row] = 1
    return bool(resample_classes(marked, (20, 20)).any())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"nuclei_threshold": 1.5}, "for nuclei_threshold a number from 0 to 1, got 1.5"),
        ({"min_nucleus_prob": 90}, "for min_nucleus_prob a number from 0 to 1, got 90"),
        ({"min_nucleus_prob": "0.9"}, "for min_nucleus_prob a number from 0 to 1, got '0.9'"),
        ({"edge_threshold": -1}, "for edge_threshold a number from 0 to 1, got -1"),
        ({"min_nucleus_area_px": -5}, "for min_nucleus_area_px a number from 0 on, got -5"),
        ({"min_tissue_area_px": float("nan")}, "for min_tissue_area_px a number from 0 on, got nan"),
        ({"sobel_size": 20}, "for sobel_size an odd number from 3 to 31, got 20"),
        ({"nucleus_opening_px": 0}, "for nucleus_opening_px an odd number from 1 on, got 0"),
        ({"normalisation": "none"}, "normalisation fixed or minmax, got 'none'"),
    ],
)
def test_settings_out_of_their_range(setting, words):
    with pytest.raises(ValueError, match=f"^Expected {words}"):
        PostProcessing(LAYOUT, **setting)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from coseg_bundle.postprocessing.resample import redraw_instances, resample_classes, resample_image, resample_nearest


def test_by_hand():
    values = np.array([[1, 2], [3, 4]])
    assert resample_nearest(values, (2, 2)).tolist() == values.tolist()
    assert resample_nearest(values, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert resample_nearest(np.arange(9)[None], (1, 3)).tolist() == [[1, 4, 7]]  # the middles of three thirds
    assert resample_nearest(np.zeros((3, 5, 7)), (10, 1)).shape == (3, 10, 1)


def test_classes_by_hand():
    values = np.array([[0, 0, 1, 1, 1, 0, 0, 0]], np.uint8)
    assert resample_classes(values, (1, 8)).tolist() == values.tolist()
    assert resample_classes(values, (1, 4)).tolist() == [[0, 1, 0, 0]]  # half a pixel of class 1 is not enough
    assert resample_classes(values, (2, 16)).tolist() == np.kron(values, np.ones((2, 2), int)).tolist()
    assert resample_classes(np.array([[3, 3], [3, 3]], np.uint8), (1, 1)).tolist() == [[3]]


def test_nuclei_by_hand():
    ids = np.array([[0, 0, 5, 5, 5, 9, 9, 9, 0, 0]], np.int32)
    sure = np.where(ids > 0, 4.0, -4.0)
    assert redraw_instances(ids, sure, (1, 10)).tolist() == ids.tolist()
    assert redraw_instances(ids, sure, (1, 5)).tolist() == [[0, 5, 9, 9, 0]] or [[0, 5, 5, 9, 0]]
    unsure = sure.copy()
    unsure[0, 4] = 1.0  # where two nuclei meet in the middle of a pixel, the surer one has it
    assert redraw_instances(ids, unsure, (1, 5)).tolist() == [[0, 5, 9, 9, 0]]
    unsure[0, 4], unsure[0, 5] = 4.0, 1.0
    assert redraw_instances(ids, unsure, (1, 5)).tolist() == [[0, 5, 5, 9, 0]]


def test_an_outline_lies_where_the_logits_say():
    ids = np.array([[0, 0, 1, 1, 1, 1, 0, 0]], np.int32)
    logits = np.array([[-4, -3, 1, 4, 4, 3, -1, -4.0]])  # a quarter of a pixel further to the right than the map's
    assert redraw_instances(ids, logits, (1, 32)).tolist() == [[0] * 9 + [1] * 16 + [0] * 7]


@pytest.mark.parametrize("flip", [(1, 1), (1, -1), (-1, 1)])
@pytest.mark.parametrize("size", [(20, 24), (13, 17), (7, 9), (100, 130)])
def test_no_direction_wins(flip, size):
    """Hard labels that end in the middle of pixels: on a turned image the same is drawn, turned."""
    rng = np.random.default_rng(1)
    ids = ndimage.label(ndimage.gaussian_filter(rng.standard_normal((40, 48)), 2) > 0.05)[0].astype(np.int32)
    logits = np.where(ids > 0, 3.0, -3.0)
    drawn = redraw_instances(ids, logits, size)
    turned = redraw_instances(ids[:: flip[0], :: flip[1]], logits[:: flip[0], :: flip[1]], size)
    assert np.array_equal(turned[:: flip[0], :: flip[1]] > 0, drawn > 0)


@given(seed=st.integers(0, 10_000), rows=st.integers(6, 60), columns=st.integers(6, 60))
@settings(max_examples=40, deadline=None)
def test_no_nucleus_is_lost_or_made_up(seed, rows, columns):
    rng = np.random.default_rng(seed)
    ids = np.zeros((48, 48), np.int32)
    for number, (y, x) in enumerate(rng.permutation(np.stack(np.mgrid[1:45:11, 1:45:11], -1).reshape(-1, 2)), 1):
        height, width = rng.integers(1, 9, 2)
        ids[y : y + height, x : x + width] = number
    drawn = redraw_instances(ids, np.where(ids > 0, 4.0, -4.0), (rows, columns))
    assert set(np.unique(drawn)) == set(np.unique(ids))


def test_more_nuclei_than_pixels():
    """Nothing is overwritten that has one pixel only; those for which there is no room have none."""
    ids = np.arange(1, 65, dtype=np.int32).reshape(8, 8)
    drawn = redraw_instances(ids, np.full((8, 8), 4.0), (2, 2))
    assert drawn.shape == (2, 2)
    assert len(np.unique(drawn)) == 4


@pytest.mark.parametrize("size", [(40, 40), (400, 400), (64, 100), (33, 17)])
def test_images_are_not_moved(size):
    """A blurred spot keeps its centre of mass, whichever way its image is resampled."""
    y, x = np.mgrid[:100, :100] + 0.5
    spot = 200 * np.exp(-((x - 47.3) ** 2 + (y - 52.8) ** 2) / 200)
    rgb = np.repeat(np.round(spot).astype(np.uint8)[..., None], 3, axis=2)
    resampled = resample_image(rgb, size)[..., 0].astype(float)
    centre = (np.array(ndimage.center_of_mass(resampled)) + 0.5) * 100 / size
    assert centre == pytest.approx((np.array(ndimage.center_of_mass(rgb[..., 0])) + 0.5), abs=0.02)

import numpy as np
import pytest
from scipy import ndimage

from coseg_bundle.postprocessing import tissue as tissue_module
from coseg_bundle.postprocessing.tissue import clean_tissue, smallest_region, tissue_polygons


def one_hot(tissue_map: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.stack([tissue_map == i for i in range(classes)]).astype(np.float32)


def test_specks_take_the_class_around_them():
    tissue = np.zeros((8, 8), int)
    tissue[:, 4:] = 1
    tissue[1, 1] = 2  # a speck in class 0
    tissue[5, 6] = 0  # a hole in class 1
    cleaned = clean_tissue(one_hot(tissue), min_area_px=4)
    expected = np.zeros((8, 8), int)
    expected[:, 4:] = 1
    assert np.array_equal(cleaned, expected)
    assert np.array_equal(clean_tissue(one_hot(tissue)), tissue)  # nothing is cleaned unless asked


@pytest.mark.parametrize("many", [0, 1000])  # one transform of the whole map, or one of each speck's box
@pytest.mark.parametrize("seed", range(20))
def test_the_class_is_that_of_the_nearest_pixel(seed, many, monkeypatch):
    monkeypatch.setattr(tissue_module, "_MANY_SPECKS", many)
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(
        rng.standard_normal((rng.integers(3, 60), rng.integers(3, 60))), rng.uniform(0.3, 3)
    )
    small = noise > np.quantile(noise, rng.uniform(0.2, 0.9))
    position = np.arange(small.size).reshape(small.shape)  # every pixel a class of its own tells which one was taken
    rows, columns = np.divmod(tissue_module._from_the_nearest(position, small), small.shape[1])
    distance = np.hypot(rows - np.arange(small.shape[0])[:, None], columns - np.arange(small.shape[1]))
    np.testing.assert_allclose(distance, ndimage.distance_transform_edt(small), atol=1e-9)
    assert not small[rows, columns].any()


def test_if_nothing_is_large_enough_all_stays():
    tissue = np.array([[0, 1], [1, 0]])
    assert np.array_equal(clean_tissue(one_hot(tissue), min_area_px=100), tissue)


def test_bad_input():
    with pytest.raises(ValueError, match=r"\(C_t, H, W\)"):
        clean_tissue(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="not finite"):
        clean_tissue(np.full((2, 4, 4), np.nan))


def test_polygons_have_holes_and_areas():
    tissue = np.zeros((6, 6), np.uint8)
    tissue[1:6, 0:5] = 1
    tissue[3, 2] = 2
    background, ring, island = tissue_polygons(tissue)
    assert (background.tissue_id, background.area_px) == (0, 11)
    assert (ring.tissue_id, ring.area_px, len(ring.rings_xy)) == (1, 24, 2)
    assert ring.rings_xy[0].tolist() == [[0, 1], [5, 1], [5, 6], [0, 6]]
    assert (island.tissue_id, island.area_px) == (2, 1)
    assert [r.tissue_id for r in tissue_polygons(tissue, skip_ids=(0,))] == [1, 2]


def test_diagonal_neighbours_are_two_regions():
    assert len(tissue_polygons(np.array([[1, 0], [0, 1]]), skip_ids=(0,))) == 2


def test_what_is_cut_off_across_a_corner_goes_too():
    """Single pixels beside components of two. The upper 3 is nearest to those below it, across a corner, and both of
    its neighbours to others: alone there, it used to stay. Now it becomes what lies beside it."""
    tissue = np.array([[2, 3, 1, 0], [0, 2, 3, 0], [1, 1, 3, 0]])
    cleaned = clean_tissue(one_hot(tissue, 4), min_area_px=2)
    assert cleaned.tolist() == [[1, 0, 0, 0], [1, 1, 3, 0], [1, 1, 3, 0]]
    assert min(region.area_px for region in tissue_polygons(cleaned)) >= 2


def test_of_equally_near_classes_the_lowest():
    tissue = np.array([[2, 2, 3, 1, 1]])
    assert clean_tissue(one_hot(tissue, 4), min_area_px=2).tolist() == [[2, 2, 1, 1, 1]]


@pytest.mark.parametrize("seed", range(8))
def test_no_region_is_smaller_than_asked(seed):
    """Blurred noise has regions of every size and form."""
    rng = np.random.default_rng(seed)
    logits = ndimage.gaussian_filter(rng.normal(size=(3, 120, 90)), (0, 1.5, 1.5)).astype(np.float32)
    cleaned = clean_tissue(logits, min_area_px=40)
    areas = [region.area_px for region in tissue_polygons(cleaned)]
    assert min(areas) >= 40
    assert len(areas) > 5


def test_a_region_has_as_many_pixels_of_the_image():
    assert smallest_region(2000, 1.0) == smallest_region(2000, 0.8) == 2000  # the network's pixels are the wider ones
    assert smallest_region(2000, 2.0) == 8000

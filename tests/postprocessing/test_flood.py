import sys

import cv2
import numpy as np
import pytest
from skimage.segmentation import watershed as reference

from coseg_bundle.postprocessing.flood import flooded, watershed


def test_worked_by_hand():
    """The 1 is two steps from its seed, past a 2; the other seed reaches it over a 3 only."""
    depth = np.array([[0.0, 2.0, 1.0, 3.0, 0.5]])
    seeds = np.array([[7, 0, 0, 0, 9]], np.int32)
    assert flooded(depth, seeds, np.ones((1, 5), bool)).tolist() == [[7, 7, 7, 9, 9]]
    assert flooded(depth, seeds, np.array([[1, 1, 0, 1, 1]], bool)).tolist() == [[7, 7, 0, 9, 9]]


def test_what_no_seed_reaches_stays_empty():
    depth, seeds = np.zeros((2, 3)), np.zeros((2, 3), np.int32)
    assert not flooded(depth, seeds, np.ones((2, 3), bool)).any()


@pytest.mark.parametrize("kind", ["noise", "smooth", "plateaus"])
@pytest.mark.parametrize("seed", range(10))
def test_as_scikit_image(kind, seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(2, 60, 2)
    depth = rng.normal(size=shape)
    if kind == "smooth":
        depth = cv2.GaussianBlur(depth, (3, 3), 0)
    if kind == "plateaus":
        depth = np.round(depth)
    mask = rng.random(shape) < 0.8
    seeds = np.where(mask & (rng.random(shape) < 0.05), rng.integers(1, 9, shape), 0).astype(np.int32)
    depth[seeds > 0] -= np.linspace(2e-8, 0, np.count_nonzero(seeds), endpoint=False)
    assert np.array_equal(flooded(depth, seeds, mask), reference(depth, seeds, mask=mask))


def test_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    grown = watershed(np.array([[0.0, 3.0, 1.0]]), np.array([[1, 0, 2]], np.int32), np.ones((1, 3), bool))
    assert grown.tolist() == [[1, 1, 2]]

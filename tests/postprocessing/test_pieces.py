import numpy as np
import pytest
from skimage.measure import label

from coseg_bundle.postprocessing.pieces import connected_pieces


def test_worked_by_hand():
    pieces, count = connected_pieces(np.array([[1, 1, 2], [0, 2, 2], [1, 0, -1]]))
    assert pieces.tolist() == [[1, 1, 2], [0, 2, 2], [3, 0, 0]]
    assert count == 3


@pytest.mark.parametrize("seed", range(20))
def test_as_scikit_image(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2 + seed % 4, rng.integers(1, 50, 2))
    expected, number = label(labels, background=0, connectivity=1, return_num=True)
    pieces, count = connected_pieces(labels)
    assert np.array_equal(pieces, expected)
    assert count == number

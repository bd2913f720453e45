import numpy as np

from coseg_bundle.postprocessing.resample import resample_nearest


def test_by_hand():
    values = np.array([[1, 2], [3, 4]])
    assert resample_nearest(values, (2, 2)).tolist() == values.tolist()
    assert resample_nearest(values, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert resample_nearest(np.arange(9)[None], (1, 3)).tolist() == [[1, 4, 7]]  # the middles of three thirds
    assert resample_nearest(np.zeros((3, 5, 7)), (10, 1)).shape == (3, 10, 1)

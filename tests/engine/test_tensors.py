"""NumPy's side by hand, and against PyTorch's."""

import numpy as np
import pytest
import torch

from coseg_bundle.engine import tensors

IMAGES = np.random.default_rng(0).random((2, 3, 5, 7), np.float32)


def both(function, *arguments, values=IMAGES):
    """What a function says of arrays and of tensors, as arrays."""
    found, expected = function(values, *arguments), function(torch.from_numpy(values.copy()), *arguments)
    assert isinstance(found, np.ndarray)
    assert isinstance(expected, torch.Tensor)
    assert found.dtype == expected.numpy().dtype
    return found, expected.numpy()


def test_doubled_by_hand():
    assert tensors.doubled(np.array([[[[0, 4]]]], np.float32)).tolist() == [[[[0, 1, 3, 4], [0, 1, 3, 4]]]]


def test_mean_pooled_by_hand():
    assert tensors.mean_pooled(np.array([[[[0, 2, 9], [4, 6, 9]]]], np.float32), 2).tolist() == [[[[3]]]]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (tensors.padded, (1, 2, 3, 4, "reflect")),
        (tensors.padded, (1, 2, 3, 4, "replicate")),
        (tensors.flipped, ((-1,),)),
        (tensors.flipped, ((-2, -1),)),
        (tensors.flipped, ((),)),
        (tensors.mean_pooled, (2,)),
        (tensors.doubled, ()),
        (tensors.floored, ()),
    ],
)
def test_arrays_are_treated_as_tensors(function, arguments):
    found, expected = both(function, *arguments)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_made_is_of_the_same_kind():
    for like in (IMAGES, torch.from_numpy(IMAGES)):
        for made in (tensors.zeros((2, 3), like), tensors.counted(3, like), tensors.moved(IMAGES, like)):
            assert type(made) is type(like)
        assert tensors.counted(3, like).tolist() == [0, 1, 2]
        assert tensors.joined([like, like], 1).shape == (2, 6, 5, 7)
        assert tensors.to_numpy(like, np.float16).dtype == np.float16
        assert tensors.all_finite(like)
        assert not tensors.all_finite(like * float("inf"))

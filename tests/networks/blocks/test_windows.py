import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.networks.blocks.windows import cut, put_together


def test_by_hand():
    """Two rows of three, in windows of two: the last column goes on."""
    maps = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    windows = cut(maps.float(), 2)
    assert windows.tolist() == [[[[1, 2], [4, 5]]], [[[3, 3], [6, 6]]]]
    assert torch.equal(put_together(windows, 1, 2, 3), maps.float())


@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    side=st.integers(1, 5),
)
@settings(deadline=None, max_examples=50)
def test_nothing_is_lost(batch, channels, height, width, side):
    maps = torch.arange(batch * channels * height * width).float().reshape(batch, channels, height, width)
    windows = cut(maps, side)
    assert windows.shape == (batch * -(-height // side) * -(-width // side), channels, side, side)
    assert torch.equal(put_together(windows, batch, height, width), maps)


@pytest.mark.parametrize("side", [1, 2])
def test_an_answer_may_be_finer(side):
    maps = torch.rand(2, 1, 4, 6)
    finer = torch.kron(cut(maps, side), torch.ones(3, 3))
    assert torch.equal(put_together(finer, 2, 12, 18), torch.kron(maps, torch.ones(3, 3)))

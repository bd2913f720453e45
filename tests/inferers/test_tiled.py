import pytest
import torch

from coseg_bundle.inferers.tiled import TiledInferer, mirror_to


def double(tiles: torch.Tensor) -> torch.Tensor:
    """A network that looks at one pixel at a time."""
    assert tiles.shape[-2:] == (64, 64)
    return 2 * tiles[:, :2]


def test_mirrored_by_hand():
    row = torch.tensor([[[[1.0, 2, 3]]]])
    assert mirror_to(row, 1, 5).flatten().tolist() == [1, 2, 3, 2, 1]
    assert mirror_to(row, 1, 8).flatten().tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert mirror_to(row, 2, 3)[0, 0].tolist() == [[1, 2, 3], [1, 2, 3]]  # one row has no mirror image
    assert mirror_to(row, 1, 3) is row


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 64), (64, 64), (65, 200), (131, 97)])
def test_any_size_pixel_by_pixel(size):
    image = torch.rand(1, 3, *size)
    pred = TiledInferer(64, batch_size=3, overlap=0.25)(image, double)
    torch.testing.assert_close(pred, 2 * image[:, :2], atol=1e-5, rtol=0)


def test_a_tile_is_seen_once():
    calls = []
    TiledInferer(64, batch_size=4)(torch.rand(1, 3, 64, 64), lambda tiles: calls.append(tiles.shape) or tiles)
    assert calls == [(1, 3, 64, 64)]


@pytest.mark.parametrize("tile_size", [0, -32, 100])
def test_tile_sizes_that_the_encoder_cannot_take(tile_size):
    with pytest.raises(ValueError, match=f"multiple of 32, got {tile_size}"):
        TiledInferer(tile_size)

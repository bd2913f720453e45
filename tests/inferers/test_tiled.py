import pytest
import torch

from coseg_bundle.inferers.tiled import TiledInferer, mirror_to


def double(tiles: torch.Tensor) -> torch.Tensor:
    """A network that looks at one pixel at a time, and takes sides of a multiple of 32."""
    assert tiles.shape[-2] % 32 == tiles.shape[-1] % 32 == 0
    return 2 * tiles[:, :2]


def sides_seen(size, **options) -> list[tuple[int, int]]:
    """Height and width of each window that an image of a size goes through as."""
    seen = []
    TiledInferer(**options)(
        torch.rand(1, 3, *size), lambda tiles: seen.extend([tiles.shape[-2:]] * len(tiles)) or tiles
    )
    return [tuple(sides) for sides in seen]


def test_mirrored_by_hand():
    row = torch.tensor([[[[1.0, 2, 3]]]])
    assert mirror_to(row, 1, 5).flatten().tolist() == [1, 2, 3, 2, 1]
    assert mirror_to(row, 1, 8).flatten().tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert mirror_to(row, 2, 3)[0, 0].tolist() == [[1, 2, 3], [1, 2, 3]]  # one row has no mirror image
    assert mirror_to(row, 1, 3) is row


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 64), (64, 64), (65, 200), (131, 97), (20, 300)])
def test_any_size_pixel_by_pixel(size, fixed):
    image = torch.rand(2, 3, *size)
    pred = TiledInferer(64, batch_size=3, overlap=0.25, fixed=fixed)(image, double)
    torch.testing.assert_close(pred, 2 * image[:, :2], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("size", "windows"),
    [
        ((1024, 1024), [(1024, 1024)]),
        ((512, 512), [(576, 576)]),  # with its border
        ((250, 300), [(320, 384)]),
        ((1000, 500), [(1024, 512)]),  # no room for a border
        ((2048, 2048), [(736, 736)] * 9),
        ((1025, 500), [(576, 512)] * 2),
        ((2000, 64), [(736, 64)] * 3),
    ],
)
def test_windows_by_hand(size, windows):
    assert sides_seen(size) == windows


def test_a_cpu_takes_one_window_at_a_time():
    seen = []
    image = torch.rand(2, 3, 64, 150)
    TiledInferer(64, batch_size=4, overlap=0.25)(image, lambda tiles: seen.append(len(tiles)) or tiles)
    assert seen == [1] * 6
    seen.clear()
    TiledInferer(64, batch_size=4, overlap=0.25)(image.numpy(), lambda tiles: seen.append(len(tiles)) or tiles)
    assert seen == [4, 2]  # of two images each


def test_fixed_windows_have_one_size():
    assert sides_seen((40, 200), tile_size=64, overlap=0.25, fixed=True) == [(64, 64)] * 4


def test_a_small_image_is_framed_by_its_mirror_image():
    seen = []
    image = torch.rand(1, 3, 64, 96)
    TiledInferer()(image, lambda tiles: seen.append(tiles) or tiles)
    inner = seen[0][..., 32 : 32 + 64, 32 : 32 + 96]
    assert torch.equal(inner, image)
    assert torch.equal(seen[0][..., 32 - 1, 32 : 32 + 96], image[..., 1, :])


def test_where_windows_overlap_the_middle_of_each_counts_more():
    """Two windows that disagree are blended from one to the other, without a step."""
    calls = iter((0.0, 1.0))
    pred = TiledInferer(64, batch_size=1, overlap=0.5)(
        torch.rand(1, 3, 64, 96), lambda tiles: torch.full_like(tiles[:, :1], next(calls))
    )
    row = pred[0, 0, 0]
    assert row[:32].eq(0).all()
    assert row[64:].eq(1).all()
    steps = row.diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.05


@pytest.mark.parametrize("tile_size", [0, -32, 100, 128.0, "128", None])
def test_tile_sizes_that_the_encoder_cannot_take(tile_size):
    with pytest.raises(ValueError, match=f"whole multiple of 32, got {tile_size}"):
        TiledInferer(tile_size)


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_overlaps_out_of_range(overlap):
    with pytest.raises(ValueError, match="overlap from 0 to below 1"):
        TiledInferer(64, overlap=overlap)


def test_an_overlap_of_nearly_all_leaves_a_step():
    """It was rounded to the whole window, and the count of windows ended in a division by zero."""
    image = torch.rand(1, 3, 40, 70)
    pred = TiledInferer(32, overlap=0.99)(image, double)
    torch.testing.assert_close(pred, 2 * image[:, :2], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "setting", [{"batch_size": 0}, {"batch_size": 1.5}, {"batch_size": 2.0}, {"border_px": -1}, {"border_px": 5.0}]
)
def test_settings_out_of_their_range(setting):
    with pytest.raises(ValueError, match=r"^Expected for (tile_batch_size|border_px) a whole number from . on, got"):
        TiledInferer(64, **setting)

import math

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle.inferers import FlipInferer, TiledInferer, TwoScaleInferer
from coseg_bundle.inferers.refinement import CorrectableNetwork
from coseg_bundle.inferers.two_scales import nuclei_width, resolution_known
from coseg_bundle.networks import HeadLayout, load_weights, save_released, start_from

LAYOUT = HeadLayout(2)


def size_network(tiles: torch.Tensor) -> torch.Tensor:
    """Every channel of its answer is the height of the tiles that it got."""
    return torch.full((tiles.shape[0], LAYOUT.channels, *tiles.shape[-2:]), float(tiles.shape[-2]))


def red_network(tiles: torch.Tensor) -> torch.Tensor:
    """Every channel of its answer is the red of the image."""
    return tiles[:, :1].repeat(1, LAYOUT.channels, 1, 1)


def test_tissue_is_the_mean_and_the_rest_is_seen_from_close():
    pred = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True)(torch.rand(2, 3, 128, 64), size_network)
    assert pred.shape == (2, LAYOUT.channels, 128, 64)
    assert (pred[:, :2] == (128 + 64) / 2).all()
    assert (pred[:, 2:] == 128).all()


def test_the_look_from_afar_counts_more_where_the_resolution_is_known():
    inferer = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True, far_weight=3)
    tiles = torch.rand(1, 3, 128, 64)
    with resolution_known():
        assert (inferer(tiles, size_network)[:, :2] == (128 + 3 * 64) / 4).all()
        with resolution_known(False):
            assert (inferer(tiles, size_network)[:, :2] == (128 + 64) / 2).all()
    assert (inferer(tiles, size_network)[:, :2] == (128 + 64) / 2).all()
    assert (inferer(tiles, size_network, resolution_known=True)[:, :2] == (128 + 3 * 64) / 4).all()
    with resolution_known():
        assert (inferer(tiles, size_network, resolution_known=False)[:, :2] == (128 + 64) / 2).all()


def squares(side: int, image: torch.Tensor) -> torch.Tensor:
    """A network's answer to a tile: 25 nuclei, squares of `side` px on a grid of 32 px; tissue is the tile's height."""
    pred = size_network(image)
    parts = LAYOUT.split(pred)
    parts["nuclei_logits"][:] = -9
    parts["hv_map"][:] = 0
    ramp = torch.linspace(-1, 1, side)
    for row in range(4, 164, 32):
        for column in range(4, 164, 32):
            place = np.s_[..., row : row + side, column : column + side]
            parts["nuclei_logits"][place] = 9
            parts["hv_map"][0, 0][place], parts["hv_map"][0, 1][place] = ramp, ramp[:, None]
    return pred


def test_the_width_of_nuclei_by_hand():
    image = torch.rand(1, 3, 192, 192)
    assert nuclei_width(squares(10, image)[0], LAYOUT) == pytest.approx(math.sqrt(400 / math.pi))
    assert nuclei_width(squares(10, image)[0, :, :128], LAYOUT) == pytest.approx(math.sqrt(400 / math.pi))  # 20 of them
    assert nuclei_width(squares(10, image)[0, :, :96], LAYOUT) is None  # 15
    large = torch.full((LAYOUT.channels, 700, 700), -9.0)
    large[:, :192, :192] = squares(10, image)[0]  # six of them in the middle
    assert nuclei_width(large, LAYOUT) == pytest.approx(math.sqrt(400 / math.pi))
    large[:, 300:492, 300:492] = squares(20, image)[0]
    assert nuclei_width(large, LAYOUT) == pytest.approx(math.sqrt(1600 / math.pi))  # those in the middle


@pytest.mark.parametrize(("narrow", "far"), [(2, 0), (1, 0), (7 / 8, 1), (7 / 9, 2), (0.1, 3)])
def test_the_wider_nuclei_are_the_more_the_look_from_afar_counts(narrow, far):
    """Where they are narrow, the one from close counts alone."""
    width = math.sqrt(400 / math.pi)
    image = torch.rand(1, 3, 192, 192)
    looks = []

    def network(tiles):
        looks.append(tiles.shape[-1])
        return squares(10, tiles) if tiles.shape[-1] == 192 else size_network(tiles)

    inferer = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True, narrow_px=narrow * width)
    expected = torch.full((1, 2, 192, 192), (192 + far * 96) / (1 + far))
    torch.testing.assert_close(inferer(image, network)[:, :2], expected)
    assert looks == ([192, 96] if far else [192])
    assert (inferer(image, network, resolution_known=True)[:, :2] == (192 + 3 * 96) / 4).all()


def test_a_correction_does_not_change_how_much_the_look_from_afar_counts():
    image, said = torch.rand(1, 3, 192, 192), torch.full((1, 2, 192, 192), 255.0)

    def network(tiles):  # a correction makes nuclei wide
        if tiles.shape[-1] == 96:
            return size_network(tiles)
        return squares(10 if (tiles[:, 3:] == 255).all() else 20, tiles)

    inferer = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True)
    assert (inferer(torch.cat([image, said], 1), network)[:, :2] == 192).all()
    said[0, 0, 5, 5] = 1
    pred = inferer(torch.cat([image, said], 1), network)
    assert (pred[:, :2] == 192).all()  # from close alone, as before
    assert (LAYOUT.split(pred)["nuclei_logits"] > 0).sum() == 25 * 20 * 20  # and the corrected nuclei


def test_nuclei_that_nobody_taught_tell_nothing():
    image = torch.rand(1, 3, 192, 192)

    def network(tiles):
        return squares(10, tiles) if tiles.shape[-1] == 192 else size_network(tiles)

    inferer = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True, taught_nuclei=False)
    assert (inferer(image, network)[:, :2] == (192 + 96) / 2).all()


def test_with_one_look_a_batch_stays_whole():
    sizes = []

    def network(tiles):
        sizes.append(len(tiles))
        return size_network(tiles)

    TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=False)(torch.rand(4, 3, 64, 64), network)
    assert sizes == [4]


def test_each_image_of_a_batch_has_nuclei_of_its_own():
    images = torch.stack([torch.zeros(3, 192, 192), torch.ones(3, 192, 192)])

    def network(tiles):
        if tiles.shape[-1] == 96:
            return size_network(tiles)
        return torch.cat([squares(20 if tile.mean() > 0 else 10, tile[None]) for tile in tiles])

    pred = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True)(images, network)
    assert pred[:, 0, 0, 0].tolist() == [192, (192 + 3 * 96) / 4]


def test_parts_of_an_image_are_looked_at_alike():
    """The first part with enough nuclei tells for those after it; apart, each tells for itself."""
    few, narrow, wide = (torch.full((1, 3, 192, 192), value) for value in (0.0, 0.5, 1.0))

    def network(tiles):
        if tiles.shape[-1] == 96:
            return size_network(tiles)
        return torch.cat([squares({0.0: 0, 0.5: 10, 1.0: 20}[float(tile.mean())], tile[None]) for tile in tiles])

    inferer = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True)
    alike, close, far = (192 + 96) / 2, 192, (192 + 3 * 96) / 4

    def said(*parts):
        return [float(value) for part in parts for value in inferer(part, network)[:, 0, 0, 0]]

    assert said(few, narrow, wide) == [alike, close, far]
    with resolution_known(False):
        assert said(few, narrow, wide) == [alike, close, close]
    with resolution_known(False):
        assert said(torch.cat([few, wide]), torch.cat([narrow, few])) == [alike, far, far, far]
    assert said(narrow, wide) == [close, far]  # nothing of it is left


def test_nobody_asks_for_nuclei_from_afar(make_network):
    network = make_network(two_scales=True).eval()
    image = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    inferer = TwoScaleInferer(SimpleInferer(), network.layout)
    decoded = []
    network.mp_decoder.nuclei.register_forward_hook(lambda *_: decoded.append(1))
    with torch.no_grad():
        found = inferer(image, network)
        assert len(decoded) == 2 + 1  # from close twice; from afar what tissue is prompted by
        whole = inferer(image, lambda tiles: network(tiles))
    network_said = TwoScaleInferer(SimpleInferer(), network.layout, enabled=True)(image, lambda x: network(x).detach())
    assert not torch.equal(found, whole)  # a plain function says nothing of scales
    torch.testing.assert_close(found, network_said, atol=1e-4, rtol=1e-4)


def test_disabled_is_the_network_itself():
    tiles = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=False)(tiles, red_network), red_network(tiles)
    )


def test_the_weights_say_whether_two_scales_suit_them(make_network, tmp_path):
    tiles = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    suited, other = make_network(two_scales=True).eval(), make_network().eval()
    inferer = TwoScaleInferer(SimpleInferer(), suited.layout)
    save_released(suited, tmp_path / "suited.pt")
    with torch.inference_mode():
        torch.testing.assert_close(inferer(tiles, other), other(tiles))
        load_weights(other, tmp_path / "suited.pt")
        both = inferer(tiles, other)
        asked = TwoScaleInferer(SimpleInferer(), suited.layout, enabled=True)
        torch.testing.assert_close(asked(tiles, other), both)
        torch.testing.assert_close(inferer(tiles, CorrectableNetwork(other)), both)
    assert not torch.equal(both, other(tiles))


def test_a_training_that_starts_from_weights_says_it_anew(make_network, tmp_path):
    save_released(make_network(two_scales=True), tmp_path / "suited.pt")
    network = make_network()
    start_from(network, tmp_path / "suited.pt")
    assert not network.two_scales


def test_both_answers_lie_on_the_same_pixels():
    """A slope is the same from close and from afar: no half pixel is lost on the way there and back."""
    slope = torch.linspace(0, 1, 128).expand(1, 3, 64, 128)
    pred = TwoScaleInferer(SimpleInferer(), LAYOUT, enabled=True)(slope, red_network)
    torch.testing.assert_close(pred[..., 1:-1], red_network(slope)[..., 1:-1], atol=1e-6, rtol=0)


def test_arrays_are_treated_as_tensors():
    """Windows, mirrored copies and two scales, as without PyTorch."""
    image = torch.rand(2, 3, 90, 130, generator=torch.Generator().manual_seed(0))
    scales = TwoScaleInferer(TiledInferer(64, overlap=0.25), LAYOUT, enabled=True, far=TiledInferer(32, border_px=0))
    inferer = FlipInferer(scales, LAYOUT)
    found = inferer(image.numpy(), lambda tiles: np.repeat(tiles[:, :1], LAYOUT.channels, axis=1))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, inferer(image, red_network).numpy(), atol=1e-5)


def test_image_of_any_size_through_tiles():
    image = torch.rand(1, 3, 50, 130)
    pred = TwoScaleInferer(TiledInferer(64, overlap=0.25), LAYOUT, enabled=True)(image, red_network)
    assert pred.shape == (1, LAYOUT.channels, 50, 130)
    torch.testing.assert_close(pred[:, 2:3], image[:, :1])

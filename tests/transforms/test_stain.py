import numpy as np
import pytest
import torch
from skimage.color import hed2rgb, hed_from_rgb, rgb2hed

from coseg_bundle.transforms import RandStainJitterd


@pytest.fixture
def image() -> torch.Tensor:
    stains = np.random.default_rng(0).uniform(0, 0.12, (6, 6, 3))
    stains[..., 2] = 0
    return torch.from_numpy(hed2rgb(stains)).permute(2, 0, 1).float()


def test_no_amount_changes_nothing(image):
    out = RandStainJitterd("image", scale=0, shift=0, prob=1)({"image": image})["image"]
    assert torch.allclose(out, image, atol=1e-5)


def test_stains_are_scaled_apart(image):
    jitter = RandStainJitterd("image", scale=0.3, shift=0, prob=1).set_random_state(1)
    out = jitter({"image": image})["image"]
    before, after = (rgb2hed(x.permute(1, 2, 0).double().numpy())[..., :2] for x in (image, out))
    factors = after.reshape(-1, 2).sum(0) / before.reshape(-1, 2).sum(0)
    assert np.allclose(after, before * factors, atol=2e-3)  # each stain by its own factor
    assert np.all(np.abs(factors - 1) <= 0.3 + 1e-3)
    assert abs(factors[0] - factors[1]) > 0.01


def test_hues_mix(image):
    jitter = RandStainJitterd("image", scale=0, shift=0, prob=1, mix=0.2).set_random_state(1)
    out = jitter({"image": image})["image"]
    before, after = (-np.log(x.permute(1, 2, 0).double().numpy()).reshape(-1, 3) @ hed_from_rgb for x in (image, out))
    amounts = np.linalg.lstsq(before[:, :2], after, rcond=None)[0]  # what became of haematoxylin and of eosin
    assert np.allclose(amounts[[0, 1], [0, 1]], 1, atol=0.02)
    others = amounts[[0, 0, 1, 1], [1, 2, 0, 2]]
    assert np.all(np.abs(others) <= 0.2 + 0.02)
    assert np.abs(others).max() > 0.05


def test_range_and_probability(image):
    always = RandStainJitterd("image", scale=0.9, shift=0.5, prob=1).set_random_state(0)
    for _ in range(10):
        out = always({"image": image})["image"]
        assert out.min() >= 0
        assert out.max() <= 1
    never = RandStainJitterd("image", prob=0)
    assert torch.equal(never({"image": image})["image"], image)


def test_seed_repeats(image):
    first, second = (RandStainJitterd("image", prob=1).set_random_state(7)({"image": image})["image"] for _ in range(2))
    assert torch.equal(first, second)

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.io import imsave

from coseg_bundle.transforms import RandStainTransferd
from coseg_bundle.transforms.stain import optical_density
from coseg_bundle.transforms.stain_transfer import stain_moments, transferred, transport


def tissue(seed: int, colour: tuple[float, float, float]) -> torch.Tensor:
    """An image `(3, 40, 40)` of one stain in varying amounts, a quarter of it glass."""
    amounts = torch.from_numpy(np.random.default_rng(seed).uniform(0.3, 1.5, (40, 40))).float()
    amounts[:10] = 0
    return torch.exp(-amounts * torch.tensor(colour)[:, None, None])


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference.png"
    imsave(path, (tissue(1, (0.9, 0.6, 0.3)) * 255).round().byte().permute(1, 2, 0).numpy())
    return path


def test_transport_by_hand():
    matrix = transport(np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0]))
    assert np.allclose(matrix, np.diag([2, 1, 1 / 3]))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_transport_reaches_the_target(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 3, 3))
    source, target = a @ a.T + 1e-3 * np.eye(3), b @ b.T + 1e-3 * np.eye(3)
    matrix = transport(source, target)
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.allclose(matrix @ source @ matrix, target, rtol=1e-6, atol=1e-8)


def test_moments_leave_glass_out():
    density = torch.zeros(3, 7, 7)
    density[:, :2] = torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    expected = np.outer([1, 0.5, 0], [1, 0.5, 0]) + 1e-4 * np.eye(3)
    assert np.allclose(stain_moments(density), expected)
    assert stain_moments(torch.zeros(3, 7, 7)) is None


def test_at_full_strength_colours_become_the_references(reference):
    (target,) = RandStainTransferd("image", [reference]).moments
    image = tissue(0, (0.3, 0.9, 0.5))
    out = transferred(image, target)
    assert np.allclose(stain_moments(optical_density(out)), target, rtol=0.02, atol=1e-3)
    assert torch.allclose(out[:, :10], image[:, :10], atol=1e-5)  # glass stays glass
    assert torch.allclose(transferred(image, target, 0.0), image, atol=1e-6)


def test_a_share_is_changed_and_a_seed_repeats(reference):
    image = tissue(0, (0.3, 0.9, 0.5))
    never = RandStainTransferd("image", [reference], prob=0)
    assert torch.equal(never({"image": image})["image"], image)
    first, second = (
        RandStainTransferd("image", [reference], prob=1).set_random_state(7)({"image": image})["image"]
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first - image).abs().max() > 0.01


def test_glass_is_left_alone_and_is_no_reference(reference, tmp_path):
    glass = torch.full((3, 20, 20), 0.95)
    transfer = RandStainTransferd("image", [reference], prob=1)
    assert torch.equal(transfer({"image": glass})["image"], glass)
    imsave(tmp_path / "glass.png", np.full((20, 20, 3), 250, np.uint8), check_contrast=False)
    assert len(RandStainTransferd("image", [tmp_path / "glass.png", reference]).moments) == 1
    with pytest.raises(ValueError, match="none of these 1 images shows tissue"):
        RandStainTransferd("image", [tmp_path / "glass.png"])

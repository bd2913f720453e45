import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.postprocessing.fill import REACH_PX, find_fill, may_hold_fill, whitened


def mask_of(kind: str, side: int = 256) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    if kind == "half":
        mask[:, 125:] = True
    elif kind == "frame":
        mask[:] = True
        mask[61:190, 61:190] = False
    else:
        mask[83:150, 83:150] = True
    return mask


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def assert_fill(found: np.ndarray, mask: np.ndarray, most_beside: float) -> None:
    assert found[mask].mean() > 0.995  # corners are softened by JPEG
    assert found[~mask].mean() < most_beside


def test_by_hand():
    rgb = np.random.default_rng(0).integers(90, 250, (64, 64, 3)).astype(np.uint8)
    assert not find_fill(rgb).any()
    rgb[:, 32:] = 30
    fill = find_fill(rgb)
    assert fill[:, 32:].all()
    assert not fill[:, :28].any()
    seen = whitened(rgb, fill)
    assert (seen[:, 32:] == 255).all()
    assert np.array_equal(seen[:, :28], rgb[:, :28])


@pytest.mark.parametrize("kind", ["half", "frame", "block"])
@pytest.mark.parametrize("grey", [0, 20, 45, 80, 128])
@pytest.mark.parametrize("quality", [None, 50, 75, 95])
def test_beside_tissue(kind, grey, quality):
    mask = mask_of(kind)
    rgb = np.where(mask[..., None], np.uint8(grey), synthetic_tissue(256, seed=3).rgb)
    assert_fill(find_fill(rgb if quality is None else jpeg(rgb, quality)), mask, 0.12)


@pytest.mark.parametrize("kind", ["half", "frame", "block"])
@pytest.mark.parametrize("grey", [0, 20, 40, 60, 80])
def test_beside_a_sharp_edge_all_tissue_is_kept(kind, grey):
    """What the network sees is, but for a pixel here and there, what it sees beside white."""
    mask = mask_of(kind)
    rgb = synthetic_tissue(256, seed=3).rgb
    found = find_fill(np.where(mask[..., None], np.uint8(grey), rgb))
    assert (found & ~mask).sum() < 40
    assert not (mask & ~found).any()


@pytest.mark.parametrize("steps", [[0.5], [0.3, 0.7], [0.2, 0.5, 0.8]])
def test_what_is_mixed_of_fill_and_tissue_is_fill(steps):
    tissue = synthetic_tissue(256, seed=3).rgb.astype(float)
    share = np.concatenate([np.zeros(100), steps, np.ones(156 - len(steps))])[None, :, None]  # black, mixed, tissue
    found = find_fill(np.round(tissue * share).astype(np.uint8))
    mixed = 100 + sum(step < 0.75 for step in steps)
    assert found[:, :mixed].mean() > 0.99
    assert found[:, mixed + 1 :].mean() < 0.01


@pytest.mark.parametrize("colour", [(0, 60, 200), (0, 255, 0), (255, 255, 0), (10, 0, 30), (0, 90, 120)])
def test_colours_that_no_stain_has(colour):
    mask = mask_of("half")
    rgb = np.where(mask[..., None], np.array(colour, np.uint8), synthetic_tissue(256, seed=3).rgb)
    assert_fill(find_fill(rgb), mask, 0.1)


@pytest.mark.parametrize("colour", [(255, 255, 255), (243, 240, 245), (235, 128, 140), (250, 150, 200), (90, 20, 120)])
def test_glass_and_flat_stain_are_none(colour):
    rgb = np.where(mask_of("half")[..., None], np.array(colour, np.uint8), synthetic_tissue(256, seed=3).rgb)
    assert not find_fill(rgb).any()


def test_noise_and_soft_edges():
    import cv2

    rng = np.random.default_rng(0)
    mask = mask_of("half")
    rgb = np.where(mask[..., None], np.uint8(15), synthetic_tissue(256, seed=3).rgb)
    blurred = cv2.GaussianBlur(rgb, (0, 0), 1.5).astype(float) + rng.normal(0, 1, rgb.shape)
    assert find_fill(np.clip(blurred, 0, 255).astype(np.uint8))[mask].mean() > 0.99  # the blurred edge is neither


@pytest.mark.parametrize("seed", range(6))
def test_tissue_and_black_pigment_are_none(seed):
    rgb = synthetic_tissue(256, seed).rgb
    assert not find_fill(rgb).any()
    rng = np.random.default_rng(seed)
    pigment = np.clip(rng.normal(50, 3.5, rgb.shape) + np.array([5, -8, 0]), 0, 255).astype(np.uint8)
    assert not find_fill(np.where(mask_of("block")[..., None], pigment, rgb)).any()
    assert not find_fill(rgb[:20, :20]).any()


def test_small_areas_are_none():
    rgb = synthetic_tissue(128, 1).rgb.copy()
    rgb[40:60, 40:60] = 0  # 5 um at 0.25 mpp: a nucleus, a speck of ink
    assert not find_fill(rgb).any()


@given(seed=st.integers(0, 1000), y=st.integers(0, 80), x=st.integers(0, 80))
@settings(max_examples=15, deadline=None)
def test_nothing_counts_but_what_is_near(seed, y, x):
    rng = np.random.default_rng(seed)
    rgb = synthetic_tissue(320, seed % 7).rgb.copy()
    for _ in range(4):
        top, left = rng.integers(0, 300, 2)
        height, width = rng.integers(10, 150, 2)
        rgb[top : top + height, left : left + width] = rng.integers(0, 255)
    whole = find_fill(rgb)
    part = rgb[y : y + 240, x : x + 240]
    inner = find_fill(part)[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    assert np.array_equal(inner, whole[y : y + 240, x : x + 240][REACH_PX:-REACH_PX, REACH_PX:-REACH_PX])
    assert may_hold_fill(rgb) or not whole.any()

"""The geometric part of the training augmentation of configs/train.yaml."""

import math

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser
from monai.transforms import Compose, Rand2DElasticd, RandFlipd, RandRotate90d
from PIL import Image

from coseg_bundle.transforms import LoadHistologyd, RandScaleCropd

MOVES = (RandScaleCropd, Rand2DElasticd, RandFlipd, RandRotate90d)
PLAIN = {"scale_range": [1, 1]}


def augmentation(bundle_root, warp_prob, crop_size=64, **changes):
    parser = ConfigParser()
    parser.read_config(bundle_root / "configs" / "train.yaml")
    parser.update({"warp_prob": warp_prob, "crop_size": crop_size, **changes})
    return parser.get_parsed_content("augmentation")


def moved(pipeline, item, seed=0):
    """The item after the moves alone: no stain, no noise, no targets."""
    moves = Compose([transform for transform in pipeline.transforms if isinstance(transform, MOVES)])
    return moves.set_random_state(seed)(item)


def discs(size=160, **more):
    """Ten nuclei of 15 px, also in the image's first channel; the left half is unlabelled."""
    rows, columns = np.mgrid[:size, :size]
    instances = np.zeros((size, size), np.int32)
    for number, (row, column) in enumerate(np.random.default_rng(0).integers(0, size, (10, 2)), 1):
        instances[(rows - row) ** 2 + (columns - column) ** 2 < 15**2] = number
    image = np.stack([instances > 0, columns < size // 2, rows * 0]).astype(np.float32)
    tissue = (instances > 0).astype(np.int32)
    instances[:, : size // 2], tissue[:, : size // 2] = -1, 255
    item = {"image": image, "instances": instances[None], "tissue": tissue[None], **more}
    return {key: torch.from_numpy(value) for key, value in item.items()}


def away_from_borders(mask, by=3):
    """Pixels of a mask `(H, W)` whose neighbours are all in it and in the crop: two interpolations blur as far."""
    outside = F.pad(1.0 - mask.float()[None, None], [by] * 4, value=1.0)
    return F.max_pool2d(outside, 2 * by + 1, stride=1)[0, 0] == 0


@pytest.mark.parametrize("seed", range(5))
def test_image_and_labels_move_together(bundle_root, seed):
    item = moved(augmentation(bundle_root, warp_prob=1.0), discs(), seed)
    assert {key: tuple(value.shape) for key, value in item.items()} == {
        "image": (3, 64, 64),
        "instances": (1, 64, 64),
        "tissue": (1, 64, 64),
    }
    nuclei, unlabelled = (np.asarray(item["image"][channel]) for channel in (0, 1))
    tissue, instances = (torch.as_tensor(np.asarray(item[key][0])) for key in ("tissue", "instances"))
    seen = 0
    for value in (0, 1):
        inside = away_from_borders(tissue == value).numpy()
        assert np.abs(nuclei[inside] - value).max(initial=0) < 0.01
        assert unlabelled[inside].max(initial=0) < 0.01
        seen += inside.sum()
    inside = away_from_borders(tissue == 255).numpy()
    assert unlabelled[inside].min(initial=1) > 0.99
    assert seen + inside.sum() > 1000  # of 4096
    assert torch.equal(tissue == 255, instances == -1)
    assert torch.equal(tissue == 1, instances > 0)


def test_labels_keep_their_values(bundle_root):
    before, pipeline = discs(), augmentation(bundle_root, warp_prob=1.0)
    values = {"instances": set(), "tissue": set()}
    for seed in range(10):
        item = moved(pipeline, before, seed)
        for key, found in values.items():
            found |= set(np.unique(np.asarray(item[key])).tolist())
    assert values["tissue"] == {0, 1, 255}
    assert {-1, 0} < values["instances"] <= set(before["instances"].unique().tolist())


def test_unlabelled_pixels_reach_the_targets(bundle_root):
    item = augmentation(bundle_root, warp_prob=1.0, crop_size=96).set_random_state(1)(discs())
    assert set(item) == {"image", "instances", "tissue", "nuclei", "hv_map"}
    assert set(item["nuclei"].unique().tolist()) == {0, 1, 255}
    assert torch.equal(item["nuclei"] == 255, item["instances"] == -1)
    assert torch.equal(item["nuclei"] == 255, item["tissue"] == 255)
    assert item["hv_map"].shape == (2, 96, 96)
    assert item["hv_map"].abs().max() <= 1


def test_types_move_too(bundle_root):
    classes = {"nuclei_classes": ["background", "round", "spindle"]}
    item = discs()
    item["types"] = torch.where(item["instances"] < 0, 255, (item["instances"] > 0) + (item["instances"] > 5).int())
    item = moved(augmentation(bundle_root, warp_prob=1.0, **classes), item, seed=2)
    types, instances = item["types"], item["instances"]
    assert types.shape == (1, 64, 64)
    assert torch.equal(types == 255, instances == -1)
    assert torch.equal(types == 1, (instances > 0) & (instances <= 5))
    assert torch.equal(types == 2, instances > 5)


def test_crops_are_rotated_by_any_angle(bundle_root):
    """The gradient of an image that rises to the right, before flips and quarter turns."""
    pipeline = augmentation(bundle_root, warp_prob=1.0, **PLAIN)
    cut_and_warp = Compose([t for t in pipeline.transforms if isinstance(t, RandScaleCropd | Rand2DElasticd)])
    item = discs()
    item["image"][0] = torch.arange(160.0) / 160
    angles = []
    for seed in range(40):
        image = np.asarray(cut_and_warp.set_random_state(seed)(item)["image"][0])[16:-16, 16:-16]
        down, right = (float(np.diff(image, axis=axis).mean()) for axis in (0, 1))
        angles.append(math.degrees(math.atan2(down, right)) % 360)
    counts, _ = np.histogram(angles, bins=4, range=(0, 360))
    assert counts.min() >= 4
    assert np.ptp(np.mod(angles, 90)) > 60


def test_seed_decides(bundle_root):
    pipeline = augmentation(bundle_root, warp_prob=1.0)
    first, again, other = (moved(pipeline, discs(), seed)["image"] for seed in (1, 1, 2))
    assert torch.equal(torch.as_tensor(first), torch.as_tensor(again))
    assert not torch.equal(torch.as_tensor(first), torch.as_tensor(other))


@pytest.mark.parametrize("crop_size", [64, 96])
def test_without_warps_crops_are_cut_at_their_size(bundle_root, crop_size):
    pipeline = augmentation(bundle_root, warp_prob=0.0, crop_size=crop_size)
    assert not any(isinstance(transform, Rand2DElasticd) for transform in pipeline.transforms)
    assert None not in pipeline.transforms
    assert pipeline.transforms[0].size == crop_size
    item = moved(pipeline, discs())
    assert {tuple(value.shape[-2:]) for value in item.values()} == {(crop_size, crop_size)}


@pytest.mark.parametrize("crop_size", [64, 96, 256, 384])
def test_a_rotated_square_finds_its_diagonal(bundle_root, crop_size):
    cut, warp = augmentation(bundle_root, warp_prob=0.5, crop_size=crop_size).transforms[:2]
    assert isinstance(warp, Rand2DElasticd)
    assert crop_size * 2**0.5 <= cut.size + 2 * cut.margin <= crop_size * 2**0.5 + 2


@pytest.mark.parametrize("crop_size", [64, 96, 128, 256, 384])
def test_crops_that_are_not_warped_keep_their_pixels(bundle_root, crop_size):
    """With 0 < warp_prob < 1 the others are cut out of the middle of the larger square, as they are."""
    pipeline = augmentation(bundle_root, warp_prob=1e-9, crop_size=crop_size, **PLAIN)
    noise = torch.rand(3, 600, 600, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(600 * 600, dtype=torch.int32).view(1, 600, 600)
    item = moved(pipeline, {"image": noise, "instances": numbers, "tissue": numbers})
    assert item["image"].shape == (3, crop_size, crop_size)
    index = torch.as_tensor(np.asarray(item["instances"][0])).long()
    assert index.unique().numel() == crop_size**2  # every pixel of the label once
    expected = noise.flatten(1)[:, index]
    torch.testing.assert_close(torch.as_tensor(np.asarray(item["image"])), expected, rtol=0, atol=1e-3)


def test_the_border_of_a_patch_is_seen(bundle_root):
    """A patch as large as the crop: every pixel is in each crop that is not warped, and in some that are."""
    numbers = torch.arange(64 * 64, dtype=torch.int32).view(1, 64, 64)
    patch = {"image": torch.rand(3, 64, 64), "instances": numbers, "tissue": numbers}
    plain = moved(augmentation(bundle_root, warp_prob=1e-9, **PLAIN), patch)
    assert torch.as_tensor(np.asarray(plain["instances"])).unique().numel() == 64 * 64
    warped = augmentation(bundle_root, warp_prob=1.0, **PLAIN)
    seen = [np.unique(np.asarray(moved(warped, patch, seed)["instances"])) for seed in range(8)]
    assert np.unique(np.concatenate(seen)).size > 0.95 * 64 * 64


def test_a_rare_class_is_in_the_crop(bundle_root):
    """`class_balance` holds for the crop, not for the margin around it."""
    classes = {"nuclei_classes": ["background", "common", "rare"], "class_balance": 1.0}
    types = torch.zeros(1, 600, 600, dtype=torch.int32)
    types[0, 300:303, 300:303] = 2
    item = {"image": torch.rand(3, 600, 600), "instances": types, "tissue": types, "types": types}
    pipeline = augmentation(bundle_root, warp_prob=1e-9, **PLAIN, **classes)
    assert all((np.asarray(moved(pipeline, item, seed)["types"]) == 2).any() for seed in range(10))


def test_touching_nuclei_of_high_ids_stay_apart(bundle_root, tmp_path):
    """Two halves of a square whose ids are one number to float32."""
    ids = np.zeros((120, 120), np.int32)
    ids[20:100, 20:60], ids[20:100, 60:100] = 2**24, 2**24 + 1
    tifffile.imwrite(tmp_path / "ids.tif", ids)
    Image.new("RGB", ids.shape).save(tmp_path / "image.png")
    item = LoadHistologyd(2)({"image": str(tmp_path / "image.png"), "instances": str(tmp_path / "ids.tif")})
    crop = moved(augmentation(bundle_root, warp_prob=1.0), item)
    assert np.unique(np.asarray(crop["instances"])).tolist() == [0, 1, 2]

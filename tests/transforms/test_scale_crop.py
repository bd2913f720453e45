import numpy as np
import pytest
import torch

from coseg_bundle.transforms import RandScaleCropd


def item(height=40, width=50, **more):
    """The image says where each pixel was; the label is its number."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    image = torch.from_numpy(np.stack([rows, columns, rows * 0]))
    return {"image": image, "label": torch.arange(height * width).reshape(1, height, width), **more}


def crop(data, size=16, seed=0, **kwargs):
    transform = RandScaleCropd(["image", "label"], size, **kwargs)
    transform.set_random_state(seed)
    return transform(data)


def test_scale_1_is_a_plain_crop():
    out = crop(item(), scale_range=(1, 1))
    assert out["image"].shape == (3, 16, 16)
    assert out["label"].shape == (1, 16, 16)
    rows, columns = out["image"][0], out["image"][1]
    assert torch.equal(out["label"][0], (rows * 50 + columns).long())


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0])
def test_image_and_label_stay_aligned(scale):
    """The label's pixel is the one whose middle the image's pixel shows, to half a pixel."""
    for seed in range(5):
        out = crop(item(), scale_range=(scale, scale), seed=seed)
        row, column = np.divmod(out["label"][0].numpy(), 50)
        inner = np.s_[2:-2, 2:-2]  # at the border there is nothing to interpolate with
        assert np.abs(row - out["image"][0].numpy())[inner].max() <= 0.5
        assert np.abs(column - out["image"][1].numpy())[inner].max() <= 0.5


def test_scales_spread_over_the_range():
    sides = [np.ptp(crop(item(200, 200), scale_range=(0.5, 2.0), seed=s)["image"][0].numpy()) + 1 for s in range(60)]
    assert min(sides) < 16 * 0.7
    assert max(sides) > 16 * 1.6
    assert min(sides) >= 6
    assert max(sides) <= 32


def test_datasets_have_their_own_scales():
    kwargs = {"scale_range": (1, 1), "scale_ranges": {"coarse": (0.25, 0.25)}}
    assert np.ptp(crop(item(dataset="coarse"), **kwargs)["image"][0].numpy()) <= 4
    assert np.ptp(crop(item(dataset="other"), **kwargs)["image"][0].numpy()) == 15


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 100), (16, 16)])
def test_small_images_are_mirrored(height, width):
    out = crop(item(height, width), size=32, scale_range=(1, 1))
    assert out["image"].shape == (3, 32, 32)
    assert out["image"][0].max() <= height - 1
    assert set(out["label"].unique().tolist()) <= set(range(height * width))


def test_seed_decides():
    assert torch.equal(crop(item(), seed=1)["label"], crop(item(), seed=1)["label"])
    assert not torch.equal(crop(item(), seed=1)["label"], crop(item(), seed=2)["label"])


@pytest.mark.parametrize("scale_range", [(0, 1), (2, 1), (-1, 1), (1.2,), (1, 2, 3)])
def test_senseless_range(scale_range):
    with pytest.raises(ValueError, match=r"0 < smallest <= largest for scale_range, such as .* got"):
        RandScaleCropd("image", 8, scale_range)
    with pytest.raises(ValueError, match="0 < smallest <= largest for scale_ranges of a, such as"):
        RandScaleCropd("image", 8, scale_ranges={"a": scale_range})


@pytest.mark.parametrize("share", [-0.1, 2.0])
def test_senseless_share(share):
    with pytest.raises(ValueError, match=rf"class_prob \(class_balance\), a share, from 0 to 1, got {share}"):
        RandScaleCropd("image", 8, class_prob=share)


def test_a_range_for_a_dataset_that_is_not_there():
    RandScaleCropd("image", 8, scale_ranges={"a": (1, 2)}, items=[{"dataset": "a"}, {}])
    with pytest.raises(ValueError, match=r"scale_ranges names unknown datasets \['b'\]; the datalist has \['', 'a'\]"):
        RandScaleCropd("image", 8, scale_ranges={"b": (1, 2)}, items=[{"dataset": "a"}, {}])


def test_rare_classes_are_seen_as_often():
    types = torch.ones((1, 100, 100), dtype=torch.int32)
    types[0, 90:92, 3:5] = 2
    types[0, :50, 50:] = 255
    item = {"image": torch.zeros((3, 100, 100)), "types": types}

    def share(prob):
        crop = RandScaleCropd(("image", "types"), 20, (1, 1), class_key="types", class_prob=prob).set_random_state(0)
        return np.mean([bool((crop(item)["types"] == 2).any()) for _ in range(200)])

    assert share(0) < 0.2
    assert 0.4 < share(1) < 0.7  # half of the crops hold the four pixels of class 2
    plain = {"image": torch.zeros((3, 100, 100))}
    assert RandScaleCropd("image", 20, (1, 1), class_key="types", class_prob=1)(plain)["image"].shape == (3, 20, 20)

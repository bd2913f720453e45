import io

import numpy as np
import pytest
import torch
from PIL import Image

from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.transforms import RandJpegd
from coseg_bundle.transforms.jpeg import as_jpeg

RGB = synthetic_tissue(96, 3).rgb
IMAGE = torch.from_numpy(RGB).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize(("halved", "subsampling"), [(False, 0), (True, 2)])
def test_it_is_what_a_file_holds(halved, subsampling):
    with io.BytesIO() as file:
        Image.fromarray(RGB).save(file, "JPEG", quality=40, subsampling=subsampling)
        expected = np.asarray(Image.open(file))
    found = as_jpeg(IMAGE, 40, halved)
    assert found.shape == IMAGE.shape
    assert found.dtype == torch.float32
    assert np.array_equal((found * 255).round().permute(1, 2, 0).numpy(), expected)


def test_one_colour_stays_it():
    grey = torch.full((3, 32, 32), 128 / 255)
    assert torch.equal(as_jpeg(grey, 30, True), grey)


def test_lower_qualities_lose_more():
    lost = [float((as_jpeg(IMAGE, quality, True) - IMAGE).abs().mean()) for quality in (95, 70, 30)]
    assert 0 < lost[0] < lost[1] < lost[2] < 0.1


def test_share_keys_and_seed():
    transform = RandJpegd("image", prob=0.5)
    transform.set_random_state(0)
    items = [transform({"image": IMAGE, "other": IMAGE}) for _ in range(40)]
    assert all(item["other"] is IMAGE for item in items)
    assert 10 < sum(item["image"] is not IMAGE for item in items) < 30
    transform.set_random_state(0)
    assert all(torch.equal(transform({"image": IMAGE})["image"], item["image"]) for item in items)


@pytest.mark.parametrize("quality", [(0, 50), (60, 50), (50, 101)])
def test_qualities_that_are_none(quality):
    with pytest.raises(ValueError, match="two qualities of JPEG from 1 to 100, the lower one first"):
        RandJpegd("image", quality=quality)

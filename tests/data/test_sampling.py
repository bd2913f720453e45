from collections import Counter

import pytest
import torch

from coseg_bundle.data.sampling import dataset_sampler

ITEMS = [{"dataset": "large"}] * 90 + [{"dataset": "small"}] * 10


def draws(**kwargs) -> Counter:
    torch.manual_seed(0)
    return Counter(ITEMS[i]["dataset"] for i in dataset_sampler(ITEMS, 2000, **kwargs))


def test_datasets_count_alike_whatever_their_size():
    assert draws()["small"] == pytest.approx(1000, abs=80)


def test_weights():
    assert draws(weights={"large": 3})["large"] == pytest.approx(1500, abs=80)
    assert draws(weights={"large": 0})["large"] == 0


def test_unknown_dataset():
    with pytest.raises(ValueError, match=r"unknown datasets \['medium'\]; the datalist has \['large', 'small'\]"):
        dataset_sampler(ITEMS, 10, {"medium": 1})

import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor, get_track_meta
from monai.transforms import Compose, RandFlipd, RandLambda, Transform

from coseg_bundle.data.sampling import DatasetSampler, SeededCacheDataset, start_worker

ITEMS = [{"dataset": "large"}] * 90 + [{"dataset": "small"}] * 10


def draws(**kwargs) -> Counter:
    return Counter(ITEMS[i]["dataset"] for i, _ in DatasetSampler(ITEMS, 2000, **kwargs))


def test_datasets_count_alike_whatever_their_size():
    assert draws()["small"] == pytest.approx(1000, abs=80)


def test_weights():
    assert draws(weights={"large": 3})["large"] == pytest.approx(1500, abs=80)
    assert draws(weights={"large": 0})["large"] == 0


def test_unknown_dataset():
    with pytest.raises(ValueError, match=r"unknown datasets \['medium'\]; the datalist has \['large', 'small'\]"):
        DatasetSampler(ITEMS, 10, {"medium": 1})


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"small": -1}, "sampling_weights of 0 or more, got {'small': -1}"),
        ({"small": float("nan")}, "sampling_weights of 0 or more"),
        ({"small": 0, "large": 0}, "sampling_weights above 0 for one dataset at least, got"),
    ],
)
def test_weights_that_draw_nothing(weights, words):
    with pytest.raises(ValueError, match=words):
        DatasetSampler(ITEMS, 10, weights)


def test_epochs_and_seeds_differ_and_repeat():
    sampler = DatasetSampler(ITEMS, 10)
    first = list(sampler)
    assert first == list(sampler)
    sampler.epoch = 1
    assert list(sampler) != first
    assert list(DatasetSampler(ITEMS, 10, seed=1)) != first


def test_processes_share_the_batches_of_one():
    whole = np.array(list(DatasetSampler(ITEMS, 22, batch_size=4)))  # five batches of four
    halves = [np.array(list(DatasetSampler(ITEMS, 22, batch_size=2, rank=r, processes=2))) for r in (0, 1)]
    together = np.concatenate([half.reshape(5, 2, 2) for half in halves], axis=1)
    assert (together == whole.reshape(5, 4, 2)).all()
    assert len(DatasetSampler(ITEMS, 22, batch_size=2, processes=2)) == 10


def test_an_epoch_without_a_batch_for_everyone():
    with pytest.raises(ValueError, match=r"epoch_length of at least 8.* got 7"):
        DatasetSampler(ITEMS, 7, batch_size=4, processes=2)
    with pytest.raises(ValueError, match="batch_size of 1 or more, got 0"):
        DatasetSampler(ITEMS, 7, batch_size=0)


def test_the_first_steps_of_one_epoch_are_left_out():
    whole = list(DatasetSampler(ITEMS, 12, batch_size=2, processes=2))
    sampler = DatasetSampler(ITEMS, 12, batch_size=2, processes=2)
    sampler.skip(2)
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole  # the next epoch is a whole one
    assert len(sampler) == len(whole) == 6


def test_the_seed_decides_an_item():
    class Add(RandLambda):
        def __call__(self, data):
            return data + self.R.randint(1000)

    dataset = SeededCacheDataset([10, 20, 30], Compose([Add(lambda x: x)]), progress=False)
    first = dataset[(1, 5)]
    assert dataset[(2, 9)] != first
    assert dataset[(1, 5)] == first
    assert dataset[(1, 6)] != first
    assert dataset[1] != dataset[1]  # a plain index: the randomness goes on


def test_an_image_that_cannot_be_read_leaves_no_thread_at_work():
    """MONAI's pool went on with the next images: a thread in the middle of one is what aborts a process that ends."""
    loaded = []

    class Load(Transform):
        def __call__(self, data):
            loaded.append((data, threading.get_ident()))
            if data == 2:
                raise ValueError("image 2 cannot be read")
            return data

    with pytest.raises(RuntimeError, match="applying transform"):
        SeededCacheDataset([1, 2, 3, 4], Compose([Load()]), progress=False)
    time.sleep(0.1)
    assert loaded == [(1, threading.get_ident()), (2, threading.get_ident())]
    assert list(SeededCacheDataset([1, 3, 4], Compose([Load()]), cache_num=2, progress=False)) == [1, 3, 4]


def test_workers_load_the_same_crops_without_metadata():
    items = [{"image": MetaTensor(torch.arange(6.0).view(1, 2, 3) + 10 * number)} for number in range(4)]
    transform = Compose([RandFlipd("image", prob=0.5, spatial_axis=1)])
    dataset = SeededCacheDataset(items, transform, progress=False)
    draws = [(number, seed) for number in range(4) for seed in (1, 2, 3)]
    loader = DataLoader(dataset, batch_size=1, sampler=draws, num_workers=1, worker_init_fn=start_worker)
    loaded = [batch["image"] for batch in loader]
    assert not any(isinstance(image, MetaTensor) for image in loaded)
    assert get_track_meta()  # here it stays on
    for image, draw in zip(loaded, draws, strict=True):
        assert torch.equal(image[0], dataset[draw]["image"].as_tensor())
    assert len({tuple(image.ravel().tolist()) for image in loaded}) > len(items)  # some are mirrored, some are not

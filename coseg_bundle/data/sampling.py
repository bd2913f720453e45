"""Which items an epoch draws, and with what randomness: the same in one process as in several."""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from monai.data import CacheDataset, set_track_meta, worker_init_fn
from torch.utils.data import Sampler

from coseg_bundle import keys
from coseg_bundle.data.datalist import check_datasets

Draw = tuple[int, int]
"""Index of an item, and the seed of its random transforms."""


class DatasetSampler(Sampler[Draw]):
    """Draws `epoch_length` items an epoch, with replacement; the datasets share them by weight.

    Every draw has a seed of its own, so an epoch is the same whoever loads it: resumed, with any number of workers, or
    dealt out to processes. Process `rank` gets every `processes`-th batch, so that together they see, step by step,
    what one process with batches of `processes * batch_size` sees.

    Args:
        items: Items of a datalist.
        epoch_length: Draws an epoch, all processes together.
        weights: Weight of each `dataset`; 1 for those not named, so that all count alike whatever their size.
        seed: Seed of the run.
        batch_size: Items of a batch, in each process.
        rank: Number of this process.
        processes: How many there are.

    Raises:
        ValueError: A weight names no dataset of the items or is negative, all are 0, a batch is empty, or an epoch has
            no whole batch for every process.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        epoch_length: int,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        batch_size: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        weights = weights or {}
        names = [str(item.get(keys.DATASET, "")) for item in items]
        check_datasets("sampling_weights", weights, items)
        if any(not 0 <= weight < math.inf for weight in weights.values()):
            raise ValueError(f"Expected sampling_weights of 0 or more, got {dict(weights)}.")
        if batch_size < 1:
            raise ValueError(f"Expected a batch_size of 1 or more, got {batch_size}.")
        self.steps = epoch_length // (batch_size * processes)
        if not self.steps:
            raise ValueError(
                f"Expected an epoch_length of at least {batch_size * processes}, a batch of {batch_size} for each of "
                f"{processes} processes, got {epoch_length}."
            )
        sizes = Counter(names)
        shares = np.array([weights.get(name, 1.0) / sizes[name] for name in names])
        if not shares.any():
            raise ValueError(f"Expected sampling_weights above 0 for one dataset at least, got {dict(weights)}.")
        self.shares = shares / shares.sum()
        self.seed, self.batch_size, self.rank, self.processes = seed, batch_size, rank, processes
        self.epoch = 0
        self._skipped = 0

    def __len__(self) -> int:
        """Draws of this process."""
        return self.steps * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        """The draws of this process in epoch `self.epoch`, which `EpochSeedHandler` sets."""
        skipped, self._skipped = self._skipped, 0
        generator = np.random.default_rng([self.seed, self.epoch])
        shape = self.steps, self.processes, self.batch_size
        items = generator.choice(len(self.shares), shape, p=self.shares)
        seeds = generator.integers(2**32, size=shape)
        draws = zip(items[:, self.rank].ravel().tolist(), seeds[:, self.rank].ravel().tolist(), strict=True)
        yield from islice(draws, skipped * self.batch_size, None)

    def skip(self, steps: int) -> None:
        """Leaves out the first steps of the next epoch that is drawn, and of that one only: they were taken."""
        self._skipped = steps


class SeededCacheDataset(CacheDataset):
    """MONAI's CacheDataset for the draws of a `DatasetSampler`: the seed decides the random transforms of an item.

    It is filled in the calling thread: MONAI's pool of one thread is no faster, and goes on with the next image where
    one cannot be read, so that a process that ends with this error may be aborted in the middle of it.
    """

    def _fill_cache(self, indices: Iterable[int] | None = None) -> list[Any]:
        return [self._load_cache_item(index) for index in (range(self.cache_num) if indices is None else indices)]

    def __getitem__(self, index: Any) -> Any:
        """Item of a draw (index, seed), or of a plain index, whose randomness goes on from the item before."""
        if isinstance(index, tuple):
            index, seed = index
            self.transform.set_random_state(seed)
        return super().__getitem__(index)


def start_worker(worker: int) -> None:
    """MONAI's own start of a process that loads, but without metadata: a fifth of the time, and nothing reads it.

    Ctrl-C goes to every process of a terminal, and a cluster's SIGTERM to every process of a job: the one that trains
    hears them, finishes its step and ends this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker_init_fn(worker)
    set_track_meta(False)

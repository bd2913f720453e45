import math

import pytest

from coseg_bundle.handlers.schedule import seed_all, validation_interval, warmup_cosine


def test_warmup_by_hand():
    share = warmup_cosine(iterations=10, warmup=0.2)
    assert share(0) == 0.5  # one of two steps
    assert share(5) == 0.5  # half of the cosine
    assert (share(10), share(20)) == (0.0, 0.0)
    assert share(1) == (1 + math.cos(math.pi * 0.1)) / 2


def test_no_warmup_begins_at_the_peak():
    share = warmup_cosine(iterations=10, warmup=0.0)
    assert [share(0), share(5), share(10)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("warmup", [-0.1, 1.5, math.nan])
def test_a_warmup_that_is_no_share(warmup):
    with pytest.raises(ValueError, match="warmup from 0 to 1, a share of the iterations, got"):
        warmup_cosine(10, warmup)


def test_a_short_training_is_validated_at_its_end():
    assert [validation_interval(10, epochs) for epochs in (1, 10, 50)] == [1, 10, 10]


def test_numbers_that_make_no_sense():
    with pytest.raises(ValueError, match="val_interval of 1 epoch or more, got 0"):
        validation_interval(0, 5)
    with pytest.raises(ValueError, match="max_epochs of 1 or more, got 0"):
        validation_interval(1, 0)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed from 0 to 4294967295, got {seed}"):
            seed_all(seed)

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.measures.groups.intervals import EXACT, LEVEL, class_probability, count_intervals


def slowly(p, level):
    """The interval from every possible outcome."""
    mass = np.zeros(len(p) + 1)
    for outcome in product([0, 1], repeat=len(p)):
        mass[sum(outcome)] += np.prod(np.where(outcome, p, 1 - p))
    below, tail = np.cumsum(mass), (1 - level) / 2
    return np.argmax(below >= tail - 1e-12), np.argmax(below >= 1 - tail - 1e-12)


def test_by_hand():
    found = count_intervals(np.array([1.0, 1.0, 0.0, 0.5]), np.array([0, 0, 0, 2]), 3)
    assert found.expected.tolist() == [2, 0, 0.5]
    assert found.low.tolist() == [2, 0, 0]
    assert found.high.tolist() == [2, 0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.sampled_from([0.5, 0.8, 0.95]))
def test_as_the_slow_reference(p, level):
    found = count_intervals(np.array(p), np.zeros(len(p), int), 1, level)
    assert (found.low[0], found.high[0]) == slowly(np.array(p), level)


def test_groups_do_not_mix():
    rng = np.random.default_rng(0)
    group = rng.integers(-1, 40, 900)
    p = rng.uniform(0, 1, 900)
    together = count_intervals(p, group, 40)
    for i in range(40):
        alone = count_intervals(p[group == i], np.zeros((group == i).sum(), int), 1)
        assert (alone.low[0], alone.high[0]) == (together.low[i], together.high[i])
        assert alone.expected[0] == pytest.approx(together.expected[i])


@pytest.mark.parametrize("size", [3, 20, EXACT, EXACT + 1, 2000])
@pytest.mark.parametrize("sharp", [0.5, 8.0])
def test_covers_the_truth_as_often_as_it_says(size, sharp):
    """Nuclei are true with their probabilities; sharp: nearly all are true."""
    rng = np.random.default_rng(size)
    p = rng.beta(sharp, 0.5, (2000, size))
    truth = (rng.uniform(size=p.shape) < p).sum(1)
    found = count_intervals(p.ravel(), np.repeat(np.arange(2000), size), 2000)
    covered = (found.low <= truth) & (truth <= found.high)
    assert covered.mean() > LEVEL - 0.012
    if size > 100:
        assert covered.mean() < LEVEL + 0.035  # and not by being too wide


def test_unknown_is_not_known():
    found = count_intervals(np.array([0.5, np.nan]), np.array([0, 0]), 1)
    assert np.isnan([found.expected[0], found.low[0], found.high[0]]).all()


def test_probability_of_a_class():
    p = class_probability(np.array([0.8, 0.8]), np.array([0.7, 0.7]), np.array([1, 2]), 1, 3)
    np.testing.assert_allclose(p, [0.56, 0.8 * 0.15])
    one = class_probability(np.array([0.8]), np.array([np.nan]), np.array([1]), 1, 1)
    np.testing.assert_allclose(one, [0.8])

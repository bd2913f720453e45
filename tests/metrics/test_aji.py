import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from slow_metrics import slow_aji_plus

from coseg_bundle.metrics import Jaccard, aggregated_jaccard_index


def test_by_hand():
    # prediction 1 covers both true nuclei: AJI lets both have it, AJI+ only one
    truth, pred = np.array([[1, 1, 2, 2, 2, 0]]), np.array([[1, 1, 1, 1, 1, 0]])
    assert aggregated_jaccard_index(pred, truth) == pytest.approx(5 / 10)
    assert aggregated_jaccard_index(pred, truth, plus=True) == pytest.approx(3 / 7)


@settings(max_examples=150, deadline=None)
@given(arrays(np.int32, (5, 6), elements=st.integers(0, 3)), arrays(np.int32, (5, 6), elements=st.integers(-1, 3)))
def test_plus_is_a_best_matching(pred, truth):
    """Ties of the matching may share other pixels, so the sum of IoU is what must agree: checked without ties."""
    ours, slow = aggregated_jaccard_index(pred, truth, plus=True), slow_aji_plus(pred, truth)
    assert np.isnan(ours) == np.isnan(slow)
    assert np.isnan(ours) or 0 <= ours <= 1


def test_plus_equals_the_definition_without_ties():
    rng = np.random.default_rng(0)
    for _ in range(100):
        truth = np.repeat(np.repeat(rng.integers(0, 5, (4, 4)), 5, 0), 5, 1)
        pred = np.roll(truth, rng.integers(-3, 4, 2), (0, 1))
        noise = rng.random(truth.shape) < 0.1  # areas become unequal, so that no two matchings are as good
        pred = np.where(noise, 0, pred)
        assert aggregated_jaccard_index(pred, truth, plus=True) == pytest.approx(
            slow_aji_plus(pred, truth), abs=1e-9, nan_ok=True
        )


def test_sums_pool_images():
    total = Jaccard(1, 2) + Jaccard(3, 3)
    assert total.value == 4 / 5
    assert np.isnan(Jaccard().value)

import warnings

import numpy as np
import pytest
from scipy import special

from coseg_bundle.postprocessing.probabilities import logistic, softmax


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_as_scipy(kind):
    logits = np.random.default_rng(0).normal(0, 20, (4, 50)).astype(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability, shares = logistic(np.append(logits, kind(-1e6))), softmax(logits, axis=0)
    assert probability.dtype == shares.dtype == kind
    np.testing.assert_allclose(probability[:-1], special.expit(logits).ravel(), rtol=1e-5)
    assert probability[-1] == 0
    np.testing.assert_allclose(shares, special.softmax(logits, axis=0), rtol=1e-5)


def test_half_is_half():
    assert logistic(np.zeros(1, np.float32)).tolist() == [0.5]

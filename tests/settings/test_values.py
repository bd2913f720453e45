import math

import numpy as np
import pytest

from coseg_bundle.settings.values import check_number, for_users


def test_numbers_of_a_range():
    for value in (0, 1, 0.5, np.float32(0.5), np.int64(1)):
        check_number("p", value, high=1)
    check_number("n", 10**9)
    check_number("n", 3, 1, kind="whole number")
    check_number("n", np.int32(21), 3, 31, "odd number")


@pytest.mark.parametrize("value", [-0.1, 1.5, 90, math.nan, math.inf, "0.9", True, np.True_, None, [0.5]])
def test_what_is_no_number_of_a_range(value):
    with pytest.raises(ValueError, match=r"^Expected for p a number from 0 to 1, got .*\.$"):
        check_number("p", value, high=1)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("whole number", 2.5), ("whole number", 0), ("odd number", 4), ("whole number", 3.0), ("odd number", 21.0)],
)
def test_what_is_no_number_of_a_kind(kind, value):
    with pytest.raises(ValueError, match=rf"^Expected for n an? {kind} from 1 on, got {value}\.$"):
        check_number("n", value, 1, kind=kind)


def test_the_error_that_is_meant_for_users():
    inner = ValueError("a sentence")
    outer = RuntimeError("Failed to instantiate")
    outer.__cause__ = inner
    assert for_users(outer) is for_users(inner) is inner
    assert for_users(RuntimeError("a fault of ours")) is None

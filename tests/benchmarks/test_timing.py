import numpy as np

from coseg_bundle.benchmarks.timing import in_own_process, row, seconds


def test_actions_take_turns():
    order = []
    times = seconds(lambda: order.append("a"), lambda: order.append("b"), rounds=2)
    assert order == ["a", "b", "a", "b"]
    assert len(times) == 2
    assert min(times) >= 0


def test_row():
    assert row("what", "1 s") == "  what" + " " * 60 + " " * 11 + "1 s"


def allocate(megabytes):
    return {"sum": float(np.ones(megabytes << 17).sum())}


def test_peak_memory_of_a_process():
    few, many = (in_own_process(allocate, megabytes) for megabytes in (1, 200))
    assert many["sum"] == 200 << 17
    assert 150 < many["peak"] - few["peak"] < 250

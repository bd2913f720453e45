from types import SimpleNamespace

import numpy as np
import pytest

from coseg_bundle.writers.summary import BrokenRecordError
from coseg_bundle.wsi.run.journal import WORK, Journal


@pytest.mark.parametrize("content", [b"", b"x", b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((  "])
def test_a_damaged_foreground_is_one_sentence(tmp_path, content):
    """Found by `make fuzz`: NumPy reads headers as Python, with all its errors."""
    (tmp_path / "foreground.npy").write_bytes(content)
    with pytest.raises(BrokenRecordError, match=r"foreground.npy is broken \("):
        Journal.kinds.func(SimpleNamespace(work=tmp_path))


def test_another_foreground_is_one_sentence(tmp_path):
    np.save(tmp_path / "foreground.npy", np.zeros((2, 2), bool))
    with pytest.raises(BrokenRecordError, match=r"foreground.npy is broken \(bool of shape \(2, 2\)\)"):
        Journal.kinds.func(SimpleNamespace(work=tmp_path))


def test_a_foreground_of_another_slide_is_one_sentence(tmp_path):
    (tmp_path / WORK).mkdir()
    np.save(tmp_path / WORK / "foreground.npy", np.zeros((20, 30), np.uint8))
    (tmp_path / WORK / "plan.json").write_text('{"foreground": [20, 30]}')
    run = SimpleNamespace(work=tmp_path / WORK, folder=tmp_path)
    assert Journal.kinds.func(run).shape == (20, 30)
    np.save(tmp_path / WORK / "foreground.npy", np.zeros((30, 20), np.uint8))
    with pytest.raises(
        BrokenRecordError, match=r"foreground.npy has the shape \(30, 20\), and plan.json says \[20, 30\]"
    ):
        Journal.kinds.func(run)

import numpy as np
import pytest

from coseg_bundle.measures.groups import rows
from coseg_bundle.measures.groups.rows import as_text


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_text_by_hand(monkeypatch, at_once):
    monkeypatch.setattr(rows, "_AS_TEXT", at_once)
    table = {
        "name": np.array(["a", "b", "c"], object),
        "nuclei": np.array([3, 0, 12345678]),
        "area_mm2": np.array([1.0, np.nan, 0.12345678]),
        "x_um": np.array([12345678.0, -0.5, np.inf], np.float32),
    }
    assert list(as_text(table)) == [
        ("a", "3", "1", "12345678"),
        ("b", "0", "", "-0.5"),
        ("c", "12345678", "0.123457", ""),
    ]
    assert list(as_text({"name": np.zeros(0, object)})) == []

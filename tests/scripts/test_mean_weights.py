import sys

import pytest
import torch


def test_mean_of_floats_the_first_ones_rest(script, tmp_path, monkeypatch):
    about = torch.tensor([1, 2], dtype=torch.uint8)
    torch.save({"a": torch.tensor([1.0, 3.0]).half(), "about": about}, tmp_path / "a.pt")
    torch.save({"a": torch.tensor([3.0, 4.0]).half(), "about": about + 1}, tmp_path / "b.pt")
    output = tmp_path / "new" / "c.pt"
    monkeypatch.setattr(sys, "argv", ["mean_weights.py", *(str(tmp_path / f"{n}.pt") for n in "ab"), str(output)])
    script.main()
    mean = torch.load(output, weights_only=True)
    assert mean["a"].tolist() == [2.0, 3.5]
    assert mean["a"].dtype == torch.float16
    assert mean["about"].tolist() == [1, 2]


def test_another_network_has_no_mean(script, tmp_path, monkeypatch):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    torch.save({"b": torch.ones(1)}, tmp_path / "b.pt")
    monkeypatch.setattr(sys, "argv", ["mean_weights.py", *(str(tmp_path / f"{n}.pt") for n in "abc")])
    with pytest.raises(KeyError, match="a"):
        script.main()

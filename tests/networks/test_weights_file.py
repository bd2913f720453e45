"""The reader without PyTorch, against files that PyTorch writes."""

import collections
import pickle
import zipfile

import numpy as np
import pytest
import torch

from coseg_bundle.networks.weights_file import CheckpointError, read_arrays

STATE = {
    "half": torch.rand(2, 3).half(),
    "single": torch.rand(4, 2).t(),  # not contiguous
    "bfloat": torch.rand(5).bfloat16(),
    "part": torch.arange(10)[3:6],
    "flag": torch.tensor(True),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    "empty": torch.zeros(0, 3),
}


def test_it_reads_what_torch_writes(tmp_path):
    torch.save(STATE, tmp_path / "model.pt")
    found = read_arrays(tmp_path / "model.pt")
    assert found.keys() == STATE.keys()
    for name, tensor in STATE.items():
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert found[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(found[name], expected.numpy(), strict=True)


def test_ordered_states(tmp_path):
    torch.save(collections.OrderedDict(a=torch.ones(1)), tmp_path / "model.pt")
    assert read_arrays(tmp_path / "model.pt")["a"].tolist() == [1]


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_nothing_is_run(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"without PyTorch \(it holds a \S*print\)"):
        read_arrays(tmp_path / "model.pt")
    assert capsys.readouterr().out == ""


def test_a_tensor_beyond_its_storage(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("data.pkl")]
    changed = members[name].replace(b"K\x03\x85", b"K\x09\x85")  # the shape (3,)
    assert changed != members[name]
    with zipfile.ZipFile(tmp_path / "broken.pt", "w") as archive:
        for other, content in members.items():
            archive.writestr(other, changed if other == name else content)
    with pytest.raises(CheckpointError, match="a tensor reaches beyond its storage"):
        read_arrays(tmp_path / "broken.pt")


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1})])
def test_other_files(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="no weights file that can be read without PyTorch"):
        read_arrays(tmp_path / "model.pt")


def test_other_content(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_arrays(tmp_path / "gone.pt")
    for content in ({}, {"a": 1}, [torch.ones(1)]):
        torch.save(content, tmp_path / "model.pt")
        with pytest.raises(CheckpointError, match="holds no network weights"):
            read_arrays(tmp_path / "model.pt")
    torch.save({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="a has values that are not finite"):
        read_arrays(tmp_path / "model.pt")

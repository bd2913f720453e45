import pytest

from coseg_bundle.service.weights import WeightsFolder


def test_versions_are_numbered_and_kept(tmp_path):
    (tmp_path / "first.pt").write_bytes(b"1")
    weights = WeightsFolder(tmp_path / "weights", tmp_path / "first.pt")
    assert weights.candidates() == [tmp_path / "first.pt"]
    one = weights.publish(tmp_path / "first.pt")
    (weights.folder / "coseg_v011.pt").write_bytes(b"11")
    (weights.folder / "notes.pt").write_bytes(b"not a version")
    last = weights.publish(tmp_path / "first.pt")
    assert [path.name for path in weights.candidates()] == [
        "coseg_v012.pt",
        "coseg_v011.pt",
        "coseg_v001.pt",
        "first.pt",
    ]
    assert one.read_bytes() == last.read_bytes() == b"1"


def test_a_file_alone_has_no_versions(tmp_path):
    weights = WeightsFolder(None, tmp_path / "coseg_v001.pt")
    (tmp_path / "coseg_v002.pt").write_bytes(b"2")
    assert weights.candidates() == [tmp_path / "coseg_v001.pt"]
    with pytest.raises(ValueError, match=r"Expected a folder for new weights, got .*coseg_v001\.pt alone"):
        weights.publish(tmp_path / "coseg_v002.pt")

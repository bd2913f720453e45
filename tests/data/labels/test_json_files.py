import gzip
import json
import tracemalloc
import zlib

import pytest

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels import json_files
from coseg_bundle.data.labels.json_files import is_ours, place_in, read_json


def test_plain_packed_and_with_a_mark(tmp_path):
    text = json.dumps({"a": [1]}).encode()
    (tmp_path / "a.json").write_bytes(text)
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf" + text)
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(text))
    assert all(read_json(path, "x") == {"a": [1]} for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"\xff\xfe"),
        ("a.json.gz", b"no gzip"),
        ("a.json.gz", b""),
        ("a.json.gz", gzip.compress(b"[1]")[:-9]),
        ("a.json.gz", gzip.compress(b"[1]" * 99)[:12] + b"\xff" * 30),
    ],
)
def test_what_is_none(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageFileError, match=f"{name}: expected a list, got something else"):
        read_json(tmp_path / name, "a list")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "_SMALL", 2**16)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "a.json.gz").write_bytes(packer.compress(b" " * 2**22) + packer.flush())
    with pytest.raises(ImageFileError, match=r"more than \d+ MB of text in a packed file of 0.0 MB"):
        read_json(tmp_path / "a.json.gz", "a list")
    monkeypatch.setattr(json_files, "LARGEST", 4)
    (tmp_path / "b.json").write_bytes(b"[1, 2]")
    with pytest.raises(ImageFileError, match="more than 0 MB of text; split it"):
        read_json(tmp_path / "b.json", "a list")


def test_a_small_file_takes_little_memory(tmp_path):
    """A read of up to 4 GiB once asked for as much at once, which a machine with a limit refuses."""
    (tmp_path / "a.json").write_text("[1]")
    tracemalloc.start()
    try:
        assert read_json(tmp_path / "a.json", "a list") == [1]
        assert tracemalloc.get_traced_memory()[1] < 8 * json_files._PART
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"origin": "canvas", "origin_x_px": 0, "origin_y_px": 0}, ("canvas", (0, 0))),
        ({"origin": "bounds", "origin_x_px": 7, "origin_y_px": 9}, ("bounds", (7, 9))),
        ({}, ("bounds", (0, 0))),
        ({"kind": "image"}, None),
        (None, None),
    ],
)
def test_where_our_files_lie(tmp_path, said, place):
    assert place_in({"coseg": said, "features": []}, tmp_path) == place
    assert place_in([], tmp_path) is None
    assert is_ours({"coseg": said}) == (said is not None)
    assert not is_ours([])


@pytest.mark.parametrize("said", [3, "bounds", [], {"origin": "corner"}, {"origin": "bounds", "origin_x_px": "a"}])
def test_a_place_of_others(tmp_path, said):
    with pytest.raises(
        ImageFileError, match=r"expected a member coseg that says where \(0, 0\) lies, bounds or canvas"
    ):
        place_in({"coseg": said}, tmp_path / "a.geojson")

import numpy as np
import pytest
import tifffile

from coseg_bundle.measures.maps import open_map, read_map
from coseg_bundle.writers.folders import ResultsFolderError

IDS = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3


def test_by_hand(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IDS)
    assert np.array_equal(read_map(tmp_path / "a.tif", 3, "x", (3, 4)), IDS)
    with open_map(tmp_path / "a.tif", 3, "x") as (read, shape):
        assert shape == (3, 4)
        assert np.array_equal(read(slice(1, 3), slice(0, 2)), IDS[1:, :2])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (IDS + 1, "a value of 3 among 3 classes"),
        (IDS.astype(np.float32), r"float32 of shape \(3, 4\)"),
        (np.zeros((3, 4, 3), np.uint8), r"uint8 of shape \(3, 4, 3\)"),
        (IDS[:2], r"uint8 of shape \(2, 4\)"),
    ],
)
def test_what_is_no_such_map(tmp_path, array, words):
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(ResultsFolderError, match=rf"a\.tif is broken \({words}\); make the results anew with coseg x"):
        read_map(tmp_path / "a.tif", 3, "coseg x", (3, 4))


@pytest.mark.parametrize("content", [b"", b"text", b"II*\0", b"II*\0\0\0\0\0"])
def test_what_is_no_tiff(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ResultsFolderError, match=r"a\.tif is broken \(.+\); make"):
        read_map(tmp_path / "a.tif", 3, "coseg x")


def test_broken_pixels(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.random.default_rng(0).integers(0, 3, (64, 64), np.uint8), compression="zlib"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        place = file.pages[0].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + 60] = b"\xff" * 60
    (tmp_path / "a.tif").write_bytes(content)
    with open_map(tmp_path / "a.tif", 3, "coseg x") as (read, _), pytest.raises(ResultsFolderError, match="is broken"):
        read(slice(0, 64), slice(0, 64))

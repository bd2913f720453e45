import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from coseg_bundle.data import arrays
from coseg_bundle.data.arrays import as_rgb, read_mat, read_npy
from coseg_bundle.data.images import ImageFileError


def with_header(path, header, rest=b""):
    header = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + rest)
    return path


def test_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    array = read_npy(tmp_path / "a.npy")
    array[0, 0] = 9  # it is our own
    assert array.tolist() == [[9, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 5000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 5), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8'}",
        "(((((",
    ],
)
def test_headers_that_promise_too_much(tmp_path, header):
    with pytest.raises(ImageFileError, match=r"a.npy: not readable as an NPY file"):
        read_npy(with_header(tmp_path / "a.npy", header, b"\0" * 64))


def test_mat_files_that_are_too_new_or_too_large(tmp_path, monkeypatch):
    start = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b" " * 8
    (tmp_path / "a.mat").write_bytes(start + struct.pack("<H", 0x0200) + b"IM" + bytes(400))
    with pytest.raises(ImageFileError, match=r"a.mat: a MAT file of version 7.3 \(HDF5\); save it with -v7"):
        read_mat(tmp_path / "a.mat", "inst_map")
    savemat(tmp_path / "b.mat", {"inst_map": np.zeros((9, 9)), "other": np.zeros(3)}, do_compression=True)
    assert set(read_mat(tmp_path / "b.mat", "inst_map", perhaps="none")) & {"inst_map", "other"} == {"inst_map"}
    with pytest.raises(ImageFileError, match=r"type_map is missing \(it holds inst_map, other\)"):
        read_mat(tmp_path / "b.mat", "inst_map", "type_map")
    monkeypatch.setattr(arrays, "_LARGEST_MAT", 80)
    with pytest.raises(ImageFileError, match=r"its header says that inst_map has shape \(9, 9\)"):
        read_mat(tmp_path / "b.mat", "inst_map")


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (
            "import os; os.abort()",
            r"a.mat: not readable as a MAT file \(it is damaged: who reads it is ended with -?\d+",
        ),
        ("import time; time.sleep(60)", r"a.mat: not readable as a MAT file in 2 s; save it again"),
    ],
)
def test_a_reader_that_crashes_or_hangs_is_one_sentence(tmp_path, monkeypatch, instead, said):
    savemat(tmp_path / "a.mat", {"inst_map": np.eye(3)})
    monkeypatch.setattr(arrays, "_COMMAND", instead)
    monkeypatch.setattr(arrays, "_LIMIT_S", 2.0)
    with pytest.raises(ImageFileError, match=said):
        read_mat(tmp_path / "a.mat", "inst_map")


def test_mat_files_of_other_places_and_kinds(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"inst_map": np.eye(3), "s": {"a": 1}})
    (tmp_path / "numpy.py").write_text("raise SystemExit(5)")  # nothing beside the file is imported
    monkeypatch.chdir(tmp_path)
    assert read_mat(Path("a.mat"), "inst_map")["inst_map"].tolist() == np.eye(3).tolist()
    with pytest.raises(ImageFileError, match=r"a.mat: expected an array of numbers in s; save it as one"):
        read_mat(Path("a.mat"), "s")
    with pytest.raises(ImageFileError, match=r"b.mat does not exist"):
        read_mat(Path("b.mat"), "s")


def test_images_without_pixels():
    with pytest.raises(ImageFileError, match=r"a.npy: the image has no pixels \(shape \(0, 64, 3\)\)"):
        as_rgb(np.zeros((0, 64, 3)), "a.npy")

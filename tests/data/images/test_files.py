from pathlib import Path

import cv2
import pytest

from coseg_bundle.data.images.files import (
    ImageFileError,
    check_pixels,
    is_out_of_memory,
    spellings,
    stem_of,
    suffix_of,
)


def test_names():
    assert [stem_of(p) for p in ("x/a.b.png", "a.nii.gz", "A.TIF")] == ["a.b", "a", "A"]
    assert [suffix_of(p) for p in ("x/a.b.png", "a.nii.gz", "A.TIF", "a")] == [".png", ".nii.gz", ".tif", ""]


def test_a_mac_spells_umlauts_otherwise():
    """Both look alike, and are one name."""
    assert stem_of("Fa\u0308rbung.png") == stem_of("F\u00e4rbung.nii.gz") == "F\u00e4rbung"
    assert spellings("F\u00e4rbung") == ("F\u00e4rbung", "Fa\u0308rbung")
    assert spellings("a") == ("a",)


def test_windows_spells_some_letters_half_composed():
    """One character, three of a Mac's, or two, as the Vietnamese keyboard types it."""
    assert spellings("\u1ebf", "x/\u00ea\u0301.png") == ("\u1ebf", "e\u0302\u0301", "\u00ea\u0301")
    assert spellings("\u1ebf", "x/\u1ebf.nii.gz") == ("\u1ebf", "e\u0302\u0301")
    assert spellings("y_\u1ebf", "x/y/\u00ea\u0301")[2:] == ("y_\u00ea\u0301",)  # as images of one stem are told apart
    assert spellings("\u1ebf-2", "x/\u00ea\u0301.png") == ("\u1ebf-2", "e\u0302\u0301-2")


def test_the_limit():
    check_pixels(Path("a.png"), 40_000, 25_000)
    with pytest.raises(ImageFileError, match=r"a.png: its header says 40000 x 25001 pixels, and at most 1000000000"):
        check_pixels(Path("a.png"), 40_000, 25_001)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (cv2.error("OpenCV(4.9.0) error: (-4:Insufficient memory) Failed to allocate 9 bytes"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("no"), False),
    ],
)
def test_out_of_memory(error, is_one):
    assert is_out_of_memory(error) == is_one

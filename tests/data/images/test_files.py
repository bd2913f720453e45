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

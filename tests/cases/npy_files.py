"""The NPY's door: HoVer-Net's and PanNuke's layouts. As label maps: `labels`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .case import Case
from .geojson_files import WHOLE
from .image_files import RGB
from .imported import imported
from .labels import IDS, npy

FOUR = np.dstack([RGB, IDS])
FIVE = np.dstack([RGB, IDS, IDS % 2 + (IDS > 0)])


def header(text: str, version: bytes = b"\1\0") -> bytes:
    """An NPY file with this header and hardly any data."""
    padded = text.ljust(118 - 1) + "\n"
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded.encode() + bytes(64)


def said(shape: str, descr: str = "'<i4'", order: str = "False") -> bytes:
    """An NPY file that says its shape."""
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")


def hovernet(name: str, content: Any, refused: str = "", **rest: Any) -> Case:
    """A file of HoVer-Net's layout, beside a good one."""
    return imported(
        "npy_files",
        "hovernet",
        name,
        {"a.npy": content},
        {"b.npy": npy(FOUR)},
        refused,
        good_areas=WHOLE,
        image=False,
        **rest,
    )


_BAD = r".*a\.npy: not readable as an NPY file \(.+\); copy it again\."

HOVERNET = [
    hovernet("instances", npy(FOUR), areas=WHOLE),
    hovernet("types too", npy(FIVE), areas=WHOLE, types_a=[1, 2, 2]),
    *(hovernet(f"as {kind}", npy(FOUR.astype(kind)), areas=WHOLE) for kind in ("u1", "u2", "i8", "f4", "f8", ">i4", ">f8")),
    hovernet("in Fortran's order", npy(np.asfortranarray(FOUR)), areas=WHOLE),
    hovernet("no instances", npy(RGB), r".*a\.npy: expected \(H, W, 4 or 5\): RGB, instances, types; got \(48, 64, 3\)\."),
    hovernet("channels first", npy(np.moveaxis(FOUR, 2, 0)), r".*a\.npy: expected \(H, W, 4 or 5\): .+ got \(4, 48, 64\)\."),
    hovernet("one axis", npy(FOUR.ravel()), r".*a\.npy: expected \(H, W, 4 or 5\): .+"),
    hovernet("no axis", npy(np.array(1)), r".*a\.npy: expected \(H, W, 4 or 5\): .+ got \(\)\."),
    hovernet("no pixels", npy(FOUR[:0]), r".*a\.npy: .+"),
    hovernet("fractions in the instances", npy(FOUR / 3), r".*a\.npy: channel 3: expected whole numbers, .+|.*a\.npy: .+"),
    hovernet("colours beyond 255", npy(FOUR * 300), r".*a\.npy: expected colours from 0 to 255; export it as 8-bit RGB\."),
    hovernet("negative colours", npy(np.dstack([RGB.astype("i4") - 300, IDS])), r".*a\.npy: expected colours from 0 to 255; .+"),
    hovernet("NaN", npy(np.where(FOUR == 1, np.nan, FOUR.astype("f4"))), r".*a\.npy: .*expected .+"),
    hovernet("negative ids", npy(np.dstack([RGB.astype("i4"), IDS - 4])), r".*a\.npy: channel 3: expected ids from 0 on, got -4 to -1; relabel it\."),
    hovernet("complex numbers", npy(FOUR.astype("c8")), r".*a\.npy: .*expected .+"),
    hovernet("text", npy(np.full((4, 4, 4), "a")), r".*a\.npy: .*expected .+"),
    hovernet("times", npy(FOUR.astype("M8[s]")), r".*a\.npy: .*expected .+"),
    hovernet("a table", npy(np.zeros((4, 4, 4), [("a", "i4")])), r".*a\.npy: .*expected .+"),
    hovernet("truth values", npy(FOUR > 0), r".*a\.npy: .*expected .+"),
    *(hovernet(what, content, _BAD) for what, content in (
        ("empty", b""),
        ("text in place of a file", "no array"),
        ("the magic word alone", b"\x93NUMPY"),
        ("cut in the header", npy(FOUR)[:40]),
        ("cut in the array", npy(FOUR)[:-1]),
        ("of an unknown version", b"\x93NUMPY\x09\0" + npy(FOUR)[8:]),
        ("objects", npy(np.array([[None]], object), allow_pickle=True)),
        ("36 TiB", said("(3000000, 3000000)")),
        ("more than there are bytes", said("(" + "9" * 18 + ", 4, 4)")),
        ("a shape beyond 64 bits", said("(" + "9" * 30 + ", 4)")),
        ("a negative shape", said("(-4, 4)")),
        ("a shape of text", said("('a', 4)")),
        ("a shape that is a number", said("4")),
        ("a type that does not exist", said("(4, 4)", "'<q9'")),
        ("no dictionary", header("[1, 2]")),
        ("a header that is code", header("__import__('os').getcwd()")),
        ("a header without its keys", header("{'descr': '<i4'}")),
        ("a header that is not closed", header("{'descr': '<i4', ")),
        ("a header of brackets", header("(" * 100)),
    )),
    hovernet("an archive of several", lambda path: _archive(path), r".*a\.npy: (expected one array, got an archive of several; unpack it|not readable as an NPY file .+)\."),
]  # fmt: skip


def _archive(path: Any) -> None:
    with open(path, "wb") as file:
        np.savez(file, a=FOUR)


MASKS = np.zeros((2, 16, 16, 6), "f8")
MASKS[0, 2:6, 2:6, 0], MASKS[0, 8:12, 8:12, 2], MASKS[1, 1:4, 1:4, 4] = 1, 1, 5
IMAGES = np.full((2, 16, 16, 3), 200.0)


def pannuke(name: str, masks: Any, images: Any, refused: str = "", **right: Any) -> Case:
    """A fold of PanNuke's, beside a good one."""
    files = {"x/masks.npy": masks} | ({} if images is None else {"x/images.npy": images})
    good = {"y/masks.npy": npy(MASKS), "y/images.npy": npy(IMAGES)}
    case = imported("npy_files", "pannuke", name, files, good, refused, image=False, **right)
    return case if "stems" in right else replace(case, right={**case.right, "stems": ["y_00000", "y_00001"]})


_BOTH = ["x_00000", "x_00001", "y_00000", "y_00001"]
PANNUKE = [
    pannuke("as published", npy(MASKS), npy(IMAGES), stems=_BOTH, areas_x_00000=[16, 16], types_x_00000=[1, 3], types_x_00001=[5]),
    pannuke("8-bit images", npy(MASKS.astype("i4")), npy(IMAGES.astype("u1")), stems=_BOTH),
    pannuke("no images", npy(MASKS), None, r".*x/masks\.npy: no images\.npy beside it .+"),
    pannuke("another number of images", npy(MASKS), npy(IMAGES[:1]), r".*masks\.npy \(2, 16, 16, 6\) and .*images\.npy \(1, 16, 16, 3\) do not fit each other\."),
    pannuke("images without colours", npy(MASKS), npy(IMAGES[..., 0]), r".* do not fit each other\."),
    pannuke("colours beyond 255", npy(MASKS), npy(IMAGES * 3), r".*images\.npy: image 0: expected colours from 0 to 255; .+"),
    pannuke("fractions", npy(MASKS / 2), npy(IMAGES), r".*masks\.npy: image 0: expected whole numbers, .+"),
    pannuke("masks, cut", npy(MASKS)[:-9], npy(IMAGES), r".*masks\.npy: not readable as an NPY file .+"),
    pannuke("images that are empty", npy(MASKS), b"", r".*images\.npy: not readable as an NPY file .+"),
    pannuke("one axis", npy(np.arange(4)), npy(IMAGES), r".* do not fit each other\."),
]  # fmt: skip

CASES = [*HOVERNET, *PANNUKE]

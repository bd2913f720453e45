"""The MAT's door: CoNSeP's and Lizard's layouts, and HoVer-Net's maps as predictions."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from .case import Case
from .geojson_files import WHOLE
from .imported import imported
from .labels import IDS, label
from .stand_in import CORNERS

TYPES = np.where(IDS > 0, 1 + IDS % 2, 0)


def mat(**arrays: Any) -> bytes:
    """A MAT file."""
    file = BytesIO()
    savemat(file, arrays)
    return file.getvalue()


GOOD_CONSEP = mat(inst_map=IDS, type_map=TYPES)
GOOD_LIZARD = mat(**{"inst_map": IDS, "id": [[1], [2], [3]], "class": [[2], [1], [2]]})


def consep(name: str, content: Any, refused: str = "", **rest: Any) -> Case:
    """A file of CoNSeP's layout, beside a good one."""
    return imported(
        "mat_files", "consep", name, {"a.mat": content}, {"b.mat": GOOD_CONSEP}, refused, good_areas=WHOLE, **rest
    )


def lizard(name: str, content: Any, refused: str = "", **rest: Any) -> Case:
    """A file of Lizard's layout, beside a good one."""
    return imported(
        "mat_files", "lizard", name, {"a.mat": content}, {"b.mat": GOOD_LIZARD}, refused, good_areas=WHOLE, **rest
    )


def predicted(name: str, content: Any, refused: str = "", **right: Any) -> Case:
    """A prediction as HoVer-Net writes it."""
    return replace(label(name, content, refused, file="a.mat", role="pred", **right), door="mat_files")


def huge() -> bytes:
    """A MAT file whose array says that it has 40,000 px in both directions."""
    content = bytearray(mat(inst_map=IDS.astype("u1"), type_map=TYPES.astype("u1")))
    at = bytes(content).index(struct.pack("<II", 5, 8)) + 8  # the dimensions of the first array
    struct.pack_into("<ii", content, at, 60_000, 60_000)
    return bytes(content)


def seven_three(path: Path) -> None:
    """The header of version 7.3."""
    path.write_bytes(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124)
        + b"\x00\x02IM"
        + bytes(384)
        + b"\x89HDF\r\n\x1a\n"
        + bytes(500)
    )


_BAD = r".*a\.mat: not readable as a MAT file \(.+\)\."

CONSEP = [
    consep("as published", GOOD_CONSEP, areas=WHOLE, types_a=[1, 2, 2], mpp_a=0.25),
    *(consep(f"ids as {kind}", mat(inst_map=IDS.astype(kind), type_map=TYPES.astype(kind)), areas=WHOLE) for kind in ("u1", "u2", "i4", "f4", "f8")),
    consep("compressed", lambda path: savemat(path, {"inst_map": IDS, "type_map": TYPES}, do_compression=True), areas=WHOLE),
    consep("of version 4", lambda path: savemat(path, {"inst_map": IDS.astype("f8"), "type_map": TYPES.astype("f8")}, format="4"), areas=WHOLE),
    consep("other arrays beside", mat(inst_map=IDS, type_map=TYPES, centroid=CORNERS, name="x"), areas=WHOLE),
    consep("no type_map", mat(inst_map=IDS), r".*a\.mat: expected inst_map, type_map in it, type_map is missing \(it holds inst_map\)\."),
    consep("nothing in it", mat(), r".*a\.mat: expected inst_map, type_map in it, inst_map, type_map is missing \(it holds nothing\)\."),
    consep("fractions", mat(inst_map=IDS / 2, type_map=TYPES), r".*a\.mat: inst_map: expected whole numbers, got float64 with fractions; save ids\."),
    consep("NaN", mat(inst_map=np.where(IDS, IDS, np.nan), type_map=TYPES), r".*a\.mat: inst_map: expected whole numbers, .+"),
    consep("negative ids", mat(inst_map=IDS - 5, type_map=TYPES), r".*a\.mat: inst_map: expected ids from 0 on, got -5 to -2; relabel it\."),
    consep("text", mat(inst_map="cat", type_map=TYPES), r".*a\.mat: inst_map has shape \(1,\) and its image \(48, 64\); export it at the image's size\."),
    consep("a struct", mat(inst_map={"a": 1}, type_map=TYPES), r".*a\.mat: expected an array of numbers in inst_map; save it as one\."),
    consep("cells", mat(inst_map=np.array([IDS, "x"], object), type_map=TYPES), r".*a\.mat: expected an array of numbers in inst_map; save it as one\."),
    consep("another size", mat(inst_map=IDS[:40], type_map=TYPES), r".*a\.mat: inst_map has shape \(40, 64\) and its image \(48, 64\); .+"),
    consep("on its side", mat(inst_map=IDS.T, type_map=TYPES), r".*a\.mat: inst_map has shape \(64, 48\) .+"),
    consep("complex numbers", mat(inst_map=IDS * 1j, type_map=TYPES), r".*a\.mat: inst_map: expected whole numbers, got complex128.+"),
    consep("of version 7.3", seven_three, r".*a\.mat: a MAT file of version 7\.3 \(HDF5\); save it with -v7\."),
    consep("larger than it is", huge(), r".*a\.mat: (its header says that inst_map has shape \(60000, 60000\); cut regions from it|not readable as a MAT file).*"),
    *(consep(what, content, _BAD) for what, content in (("empty", b""), ("text in place of a file", "no array"), ("zeros", bytes(200)), ("the header alone", GOOD_CONSEP[:128]), ("cut", GOOD_CONSEP[:7000]), ("random bytes", np.random.default_rng(1).bytes(2000)), ("a header, then noise", GOOD_CONSEP[:128] + np.random.default_rng(2).bytes(2000)))),
    imported("mat_files", "consep", "no image", {"c.mat": GOOD_CONSEP}, {"b.mat": GOOD_CONSEP}, r".*c\.mat: no image with the stem c; .+", good_areas=WHOLE),
]  # fmt: skip
CONSEP = [
    case
    if case.name not in ("consep: the header alone", "consep: cut")
    else replace(case, says=r"skipped: .*a\.mat: .+")
    for case in CONSEP
]

LIZARD = [
    lizard("as published", GOOD_LIZARD, areas=WHOLE, types_a=[1, 2, 2], mpp_a=0.5),
    lizard("ids in a row", mat(**{"inst_map": IDS, "id": [1, 2, 3], "class": [2, 1, 2]}), types_a=[1, 2, 2]),
    lizard("a nucleus without a class", mat(**{"inst_map": IDS, "id": [1, 2], "class": [2, 1]}), types_a=[0, 1, 2]),
    lizard("fewer classes than ids", mat(**{"inst_map": IDS, "id": [1, 2, 3], "class": [2, 1]}), r".*a\.mat: 3 ids and 2 classes; expected a class for each id\."),
    lizard("no classes", mat(inst_map=IDS, id=[1, 2, 3]), r".*a\.mat: expected inst_map, id, class in it, class is missing .+"),
    lizard("classes of text", mat(**{"inst_map": IDS, "id": [1, 2, 3], "class": ["a", "b", "c"]}), r".*a\.mat: class: expected whole numbers, got .+"),
    lizard("no nuclei", mat(**{"inst_map": IDS * 0, "id": [], "class": []}), areas=[]),
]  # fmt: skip

PREDICTED = [
    predicted("instances alone", mat(inst_map=IDS)),
    predicted("types beside", mat(inst_map=IDS, inst_type=[[1], [1], [1]])),
    predicted("types of another number", mat(inst_map=IDS, inst_type=[[1]]), notes=lambda notes: "1 classes in inst_type and 3 nuclei in inst_map: the classes are left out" in notes[0]),
    predicted("another array", mat(map=IDS), r"a\.mat: expected inst_map in it, inst_map is missing \(it holds map\)"),
    predicted("another size", mat(inst_map=IDS[:9]), r"a\.mat: inst_map has shape \(9, 64\) and its image"),
    predicted("no MAT file", "cat", r"a\.mat: not readable as a MAT file"),
]  # fmt: skip

CASES = [*CONSEP, *LIZARD, *PREDICTED]

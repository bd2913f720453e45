"""The label's door: `coseg evaluate` of two images, the first with an odd label or an odd prediction."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .case import Case, with_words
from .image_files import RGB, jpeg, nifti, png, png_header, tiff_bytes
from .stand_in import HEIGHT, WIDTH, instances, write

IDS = instances()
MASK = IDS > 0


def look(folder: Path, result: Any) -> dict[str, Any]:
    """The scores of the first image, and of the good one."""
    report = json.loads((folder / "out" / "report.json").read_text())
    odd, good = (report["per_image"].get(name, {}) for name in "ab")
    return {
        "pq": odd.get("nuclei_pq"),
        "dq": odd.get("nuclei_dq"),
        "dice": odd.get("tissue_dice"),
        "good": good.get("nuclei_pq", good.get("tissue_dice")),
        **{name: report[name] for name in ("missing", "extra", "failed", "notes")},
    }


def listed(**odd: str) -> str:
    """A datalist of two images."""
    good = {key: value.replace("a.", "b.", 1) for key, value in odd.items()}
    good = {key: f"truth/b{'_tissue' if key == 'tissue' else ''}.tif" for key in good}
    items = [{"image": f"images/{name}.png", **labels} for name, labels in (("a", odd), ("b", good))]
    return json.dumps({"validation": items})


def tif(array: np.ndarray, **options: Any) -> bytes:
    """A label map as TIFF."""
    return tiff_bytes(array, **{"photometric": "minisblack", **options})


def npy(array: np.ndarray, **options: Any) -> bytes:
    """An array as NPY."""
    file = BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def label(
    name: str,
    content: Any,
    refused: str = "",
    *,
    file: str = "a.tif",
    role: str = "truth",
    kind: str = "instances",
    prediction: Any = None,
    options: str = "",
    code: int | None = None,
    beside: tuple[tuple[str, Any], ...] = (),
    **right: Any,
) -> Case:
    """A case of this door.

    Args:
        name: What is odd.
        content: The label, or the prediction.
        refused: The sentence on it in the report; scored where empty.
        file: Its name.
        role: `truth` or `pred`.
        kind: `instances` or `tissue`.
        prediction: What is predicted, where the label is odd; the same nuclei where not given.
        options: Of the command.
        code: Exit code, where it is another one than usual.
        beside: Further files.
        right: See `look`.
    """
    ending = "_tissue" if kind == "tissue" else ""
    good = tif(MASK.astype("u1") if kind == "tissue" else IDS.astype("u2"))
    truth = file if role == "truth" else f"a{ending}.tif"
    steps = [
        ("images/a.png", png(RGB)),
        ("images/b.png", png(RGB)),
        ("datalist.json", listed(**{kind: f"truth/{truth}"})),
    ]
    steps += [(f"truth/b{ending}.tif", good), (f"pred/b{ending}.tif", good), (f"{role}/{file}", content)]
    if role == "truth":
        steps.append((f"pred/a{ending}.tif", good if prediction is None else prediction))
    else:
        steps.append((f"truth/{truth}", good))
    wanted: dict[str, Any] = {"good": 1.0}
    if refused:
        wanted["failed"] = with_words(rf"^a: .*{refused}")
    elif kind == "instances":
        wanted |= {"pq": 1.0, "failed": []}
    return Case(
        door="labels",
        name=f"{role}, {kind}: {name}",
        make=write(*steps, *beside),
        do=f"evaluate --predictions pred --truth datalist.json -o out --no-plots {options}",
        code=(1 if refused else 0) if code is None else code,
        says=r".*" if refused or code == 1 else "",
        right=wanted | right,
        look=look,
    )


def _png(array: np.ndarray) -> bytes:
    return png(array)


def _palette() -> bytes:
    """As QuPath exports labels: ids with a table of colours."""
    image = Image.frombytes("P", (WIDTH, HEIGHT), IDS.astype("u1").tobytes())
    image.putpalette([255, 255, 255, 200, 0, 0, 0, 160, 0, 0, 0, 220] + [0] * 756)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _colours() -> np.ndarray:
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], "u1")
    return table[IDS]


def _apart(ids: np.ndarray) -> np.ndarray:
    """Many single pixels of few ids: classes."""
    many = np.zeros((HEIGHT, WIDTH), "u1")
    many[::4, ::4] = 1 + np.arange(12 * 16).reshape(12, 16) % 3
    return many


BIG = IDS.astype("i8") + np.where(IDS > 0, 2**31, 0)
TWICE = IDS.repeat(2, 0).repeat(2, 1)
THRICE = IDS.repeat(3, 0).repeat(3, 1)
UNLABELLED = np.where(np.arange(WIDTH)[None] >= 40, -1, IDS)
_CUT = r"a\.(tif|png|npy|nii): not readable as a label map \(.+\)"


def both(name: str, content: Any, refused: str = "", **rest: Any) -> list[Case]:
    """The same file as label and as prediction."""
    return [label(name, content, refused, role=role, **rest) for role in ("truth", "pred")]


INSTANCES = [
    *both("8 bits", tif(IDS.astype("u1"))),
    *both("32 bits", tif(IDS.astype("u4"))),
    *both("64 bits", tif(IDS.astype("i8"))),
    *both("floats that are whole", tif(IDS.astype("f4"))),
    *both("fractions", tif(IDS.astype("f4") / 2), "expected whole numbers as labels, got fractions; save ids, not probabilities"),
    *both("NaN", tif(np.where(IDS, IDS, np.nan).astype("f4")), "expected whole numbers as labels, got fractions"),
    *both("ids with gaps", tif((IDS * 1000).astype("u2"))),
    *both("ids beyond int32", tif(BIG), r"expected labels from -1 \(unlabelled\) to 2147483647, got 0 to 2147483651; relabel"),
    *both("ids beyond int64", npy(BIG.astype("u8") << 32), r"expected labels from -1 \(unlabelled\) to 2147483647", file="a.npy"),
    *both("negative ids", tif((IDS - 5).astype("i4")), r"expected labels from -1 \(unlabelled\) to 2147483647, got -5 to -2"),
    label("unlabelled pixels", tif(UNLABELLED.astype("i4")), pq=1.0),
    label("nothing is labelled", tif(np.full_like(IDS, -1)), pq=None),
    *both("complex numbers", npy(IDS.astype("c8")), "expected whole numbers as labels, got dtype complex64", file="a.npy"),
    *both("a mask of 0 and 1", tif(MASK.astype("u1")), notes=with_words("a mask of 0 and 1; each of its 3 pieces counts as a nucleus")),
    *both("a mask of 0 and 255", tif(MASK.astype("u1") * 255), notes=with_words("a mask of 0 and 255; each of its 3 pieces")),
    *both("a mask of bits", tif(MASK), notes=with_words("each of its 3 pieces counts as a nucleus")),
    *both("classes in place of ids", tif(_apart(IDS)), "expected an id for each nucleus, got 3 ids in 192 separate pieces; these are classes"),
    *both("a mask without background", tif((MASK + 1).astype("u1")), r"expected 0 where no nucleus is, got the id 1 around others on \d+% of the map"),
    *both("ids one too high", tif((IDS + 1).astype("u2")), r"got the id 1 around others on \d+% of the map; save the map with 0 as its background"),
    *both("instances and types", npy(np.dstack([IDS, MASK * 2])), r"got two channels of 3 and 1 ids on the same pixels: instances and types", file="a.npy"),
    *both("png of 8 bits", _png(IDS.astype("u1")), file="a.png"),
    *both("png of 16 bits", _png(IDS.astype("u2")), file="a.png"),
    *both("png with a table of colours", _palette(), file="a.png"),
    *both("png, three channels alike", _png(np.repeat(IDS.astype("u1")[..., None], 3, 2)), file="a.png"),
    *both("png of colours", _png(_colours()), r"expected a label map with one value per pixel, got shape \(48, 64, 3\); it is a picture: save the ids, not colours", file="a.png"),
    *both("png with alpha", _png(np.dstack([IDS.astype("u1")] * 3 + [np.full_like(IDS, 255).astype("u1")])), file="a.png"),
    *both("png cut in the middle", _png(IDS.astype("u1"))[:100], _CUT, file="a.png"),
    *both("a bomb", png_header(90_000, 90_000, 8, 0), "its header says 90000 x 90000 pixels", file="a.png"),
    *both("empty", b"", "the file is empty; copy or export it again"),
    *both("text", "no label", _CUT),
    *both("two images, nuclei and cells", tif(np.stack([IDS, IDS]).astype("u2")), notes=with_words("two channels, nuclei and cells; the cells are left out")),
    *both("many planes", tif(np.stack([IDS] * 5).astype("u2")), r"(expected|got).*"),
    *both("npy of 64 bits", npy(IDS.astype("i8")), file="a.npy"),
    *both("npy in Fortran's order", npy(np.asfortranarray(IDS)), file="a.npy"),
    *both("npy, big endian", npy(IDS.astype(">i4")), file="a.npy"),
    *both("npy with a leading axis", npy(IDS[None]), file="a.npy"),
    *both("npy of objects", npy(np.array([{"masks": IDS}], object), allow_pickle=True), _CUT, file="a.npy"),
    *both("npy of one axis", npy(IDS.ravel()), "expected a label map with one value per pixel", file="a.npy"),
    *both("npy of no axis", npy(np.array(3)), "expected a label map with one value per pixel", file="a.npy"),
    *both("npy of text", npy(np.full((HEIGHT, WIDTH), "a")), "expected whole numbers as labels, got dtype <U1", file="a.npy"),
    *both("npy, cut", npy(IDS)[:-100], _CUT, file="a.npy"),
    *both("npy, an archive", _png(IDS.astype("u1")), _CUT, file="a.npy"),
    *both("NIfTI", nifti(IDS.T.astype("i4")), file="a.nii"),
    *both("NIfTI of whole floats", nifti(IDS.T.astype("f4")), file="a.nii.gz"),
    label("twice as fine", tif(TWICE.astype("u2"))),
    label("three times as fine", tif(THRICE.astype("u2"))),
    label("another size", tif(IDS[:40].astype("u2")), "has 64 x 40 pixels and its image .*a.png has 64 x 48; export the labels at the size of the image, or a whole multiple"),
    label("turned on its side", tif(IDS.T.astype("u2").copy()), "has 48 x 64 pixels and its image"),
    label("another size", tif(IDS[:40].astype("u2")), r"has shape \(40, 64\) and its image \(48, 64\); export the nuclei at the size", role="pred"),
    label("a jpeg", jpeg(IDS.astype("u1")), r"expected a label map \(.+\), got \.jpg; convert it", file="a.jpg"),
    label("no nuclei", tif(np.zeros_like(IDS).astype("u1")), pq=0.0),
    label("no nuclei at all", tif(np.zeros_like(IDS).astype("u1")), prediction=tif(np.zeros_like(IDS).astype("u1")), pq=None),
    label("no nuclei", tif(np.zeros_like(IDS).astype("u1")), role="pred", pq=0.0),
    label("more than 255 nuclei", tif(_apart(IDS).astype(bool).cumsum().reshape(HEIGHT, WIDTH).astype("u4") * (_apart(IDS) > 0)), prediction=tif(_apart(IDS).astype(bool).cumsum().reshape(HEIGHT, WIDTH).astype("u4") * (_apart(IDS) > 0))),
    label("missing", b"", code=1, file="other.tif", role="pred", pq=0.0, missing=["a: nuclei"], extra=["other"], failed=[]),
    label("cellpose's masks", tif(IDS.astype("u2")), file="a_cp_masks.tif", role="pred"),
    label("cellpose's _seg.npy", npy(IDS), "cellpose's _seg.npy is a pickled Python object, which is not opened", file="a_seg.npy", role="pred"),
    label("a folder as coseg predict writes it", tif(IDS.astype("u4")), file="a/instances.tif", role="pred"),
    label("folders of two images of one stem", tif(IDS.astype("u4")), "are results of two images; remove one", file="a.png/instances.tif", role="pred", beside=(("pred/a.jpg/instances.tif", tif(IDS.astype("u4"))),)),
    label("a table without its columns", tif(IDS.astype("u4")), "expected columns instance_id and type", file="a/instances.tif", role="pred", beside=(("pred/a/nuclei.csv", "x,y\n1,2\n"),)),
    label("a table that is no text", tif(IDS.astype("u4")), "expected columns instance_id and type", file="a/instances.tif", role="pred", beside=(("pred/a/nuclei.csv", b"\xff\xfe\0\1"),)),
]  # fmt: skip

TISSUE = [
    *(label(name, content, refused, file="a_tissue.tif", role=role, kind="tissue", dice=1.0 if not refused else None) for role in ("truth", "pred") for name, content, refused in (
        ("0 and 1", tif(MASK.astype("u1")), ""),
        ("16 bits", tif(MASK.astype("u2")), ""),
        ("an id without a name", tif(MASK.astype("u1") * 7), r"has the ids 7 for tissue, and names are given for 0 to 2 \(empty, gland, other_tissue\); name all classes with --tissue-classes"),
        ("fractions", tif(MASK / 2), "expected whole numbers as labels"),
        ("negative", tif(MASK.astype("i2") - 9), "expected labels from -1"),
        ("empty", b"", "the file is empty"),
    )),
    label("unlabelled", tif(np.where(np.arange(WIDTH)[None] > 40, 255, MASK).astype("u1")), file="a_tissue.tif", kind="tissue", dice=1.0),
    label("all unlabelled", tif(np.full(IDS.shape, 255, "u1")), file="a_tissue.tif", kind="tissue", dice=None),
    label("no gland on either side", tif(np.zeros(IDS.shape, "u1")), file="a_tissue.tif", kind="tissue", prediction=tif(np.zeros(IDS.shape, "u1")), dice=None),
    label("another size", tif(MASK[:30].astype("u1")), r"has shape \(30, 64\) and its image", file="a_tissue.tif", role="pred", kind="tissue"),
]  # fmt: skip

CASES = [*INSTANCES, *TISSUE]

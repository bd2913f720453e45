"""The image's door: `coseg predict`, a good file after each odd one, which must come out whatever the first one is."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from .case import Case, upto, with_words
from .image_files import (
    BRIGHT,
    GREY,
    POSTER,
    RGB,
    RGB24,
    XY,
    cleared,
    cmyk_with_profile,
    cut_nifti,
    deep,
    exif,
    filled,
    jpeg,
    nifti,
    nii_bytes,
    picture_file,
    png,
    png_header,
    rgba,
    tiff,
    tiff_bytes,
    turned,
    white_right,
)
from .stand_in import HEIGHT, READ, WIDTH, centres, write

NUCLEI, GOOD = 3, 3


def look(folder: Path, result: Any) -> dict[str, Any]:
    """What became of the first file, and of the good one."""
    folders = sorted(path for path in (folder / "out").iterdir()) if (folder / "out").is_dir() else []
    odd = [path for path in folders if path.name != "good.png"]
    good = [path for path in folders if path.name == "good.png"]
    found: dict[str, Any] = {"folders": [path.name for path in folders]}
    found["good"] = json.loads((good[0] / "summary.json").read_text())["nuclei"] if good else None
    if not odd:
        return found
    try:
        summary = json.loads((odd[0] / "summary.json").read_text())
    except (ValueError, RecursionError):  # the case is about a broken one
        return found
    if not isinstance(summary, dict) or "nuclei" not in summary:
        return found
    features = json.loads((odd[0] / "nuclei.geojson").read_text())["features"]
    rings = [np.array(feature["geometry"]["coordinates"][0]) for feature in features]
    label = tifffile.imread(odd[0] / "instances.tif")
    return {
        **found,
        **{name: summary[name] for name in ("nuclei", "mpp", "mpp_source", "read_as", "unscanned_px")},
        "centres": sorted(tuple(((r.min(0) + r.max(0)) / 2).tolist()) for r in rings),
        "size": label.shape,
        "labelled": int((label > 0).sum()),
        "all": [json.loads((path / "summary.json").read_text())["nuclei"] for path in folders],
        "left_half": int((label[:, : label.shape[1] // 2] > 0).sum()),
    }


def image(
    name: str,
    content: Any,
    refused: str = "",
    *,
    file: str = "a.png",
    like: np.ndarray | None = RGB,
    off: int = 0,
    options: str = "--mpp 0.25",
    says: str = "",
    beside: tuple[tuple[str, Any], ...] = (),
    words: str = "",
    **right: Any,
) -> Case:
    """A case of this door.

    Args:
        name: What is odd.
        content: Bytes, text, or a function that writes a path.
        refused: The sentence on the odd file; read without one where empty.
        file: Its name.
        like: The image that it is; None where that is of no interest.
        off: By how much its colours may be off.
        options: Of the command.
        says: What else is said.
        beside: Files that lie beside it.
        words: How the file is given, where not by its name.
        right: See `look`.
    """
    done = {"good": GOOD, "folders": ["good.png"], **right} if refused else {"good": GOOD, "nuclei": NUCLEI, **right}

    def seen(folder: Path, result: Any) -> dict[str, Any]:
        found = look(folder, result)
        if like is None or refused:
            return found
        read = READ[0].astype(int)
        return {**found, "off": int(abs(read - like).max()) if read.shape == like.shape else f"shape {read.shape}"}

    return Case(
        door="images",
        name=name,
        make=write((file, content), ("good.png", png(RGB)), *beside),
        do=f"predict {words or repr(file)} good.png -o out {options}",
        code=1 if refused else 0,
        says=refused or says,
        right=done if refused or like is None else {"off": upto(off), **done},
        look=seen,
    )


_TRUNCATED = r"not readable as an image \(.+\); it may be truncated or mislabelled\."

PICTURES = [
    image("rgb png", png(RGB), centres=centres(), size=(HEIGHT, WIDTH), mpp=0.25, mpp_source="given"),
    image("no resolution", png(RGB), options="", mpp=None, mpp_source="unknown", says="resolution unknown, taken as 0.25"),
    image("opaque alpha", png(rgba(255))),
    image("half transparent everywhere", png(rgba(128))),
    image("a transparent part", png(rgba(cleared())), like=white_right(), nuclei=2, unscanned_px=48 * 24),
    image("all transparent", png(rgba(0)), r"a\.png: its transparency \(alpha\) is 0 everywhere, .+ without alpha\."),
    image("grey", png(RGB[..., 1]), like=GREY),
    image("grey with alpha", png(np.dstack([RGB[..., 1], cleared()])), like=None, nuclei=2, unscanned_px=48 * 24),
    image("palette", png(POSTER, colours=256), like=POSTER),
    image("16-bit rgb", imagecodecs.png_encode(deep(16)), like=BRIGHT),
    image("12 bits in a 16-bit rgb png", imagecodecs.png_encode(deep(12)), like=BRIGHT, read_as=with_words("12 significant bits")),
    image("16-bit grey", imagecodecs.png_encode(np.ascontiguousarray(deep(16)[..., 1])), like=np.repeat(BRIGHT[..., 1:2], 3, 2)),
    image("16-bit rgba", imagecodecs.png_encode(np.dstack([deep(16), np.full((HEIGHT, WIDTH), 65535, "u2")])), like=BRIGHT),
    image(
        "16 bits that end nowhere",
        imagecodecs.png_encode(RGB.astype("u2") * 100),
        r"a\.png: no tag says how many bits are significant, and its values end at \d+, which is white for no usual number of bits; .+",
    ),
    image("one bit", png((RGB[..., 1] > 120), "1"), like=np.repeat((RGB[..., 1:2] > 120) * 255, 3, 2)),
    image("a colour for transparency", png(white_right(), transparency=(255, 255, 255)), like=white_right(), nuclei=2, unscanned_px=48 * 24),
    image("two frames", lambda path: Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(RGB[::-1])]), r"a\.png: expected one image, got 2 frames; export one of them\."),
    image("jpeg", jpeg(RGB), file="a.jpg", off=8),
    image("upper case suffix", jpeg(RGB), file="A.JPG", off=8),
    image("jpeg, grey", jpeg(RGB[..., 1]), file="a.jpeg", like=GREY, off=8),
    image("jpeg, progressive", jpeg(RGB, progressive=True), file="a.jpg", off=8),
    image("jpeg, cmyk", jpeg(RGB, "CMYK"), file="a.jpg", off=12),
    image("jpeg, cmyk with a profile of another kind", cmyk_with_profile(), r"a\.jpg: its colour profile cannot be used \(.+\); export it as 8-bit RGB\.", file="a.jpg"),
    image("jpeg called png", jpeg(RGB), off=8),
    image("png called jpg", png(RGB), file="a.jpg"),
    image("png called tif", png(RGB), rf"a\.tif: {_TRUNCATED}", file="a.tif"),
    image("bmp called png", picture_file(RGB, "BMP")),
    image("tiff called png", tiff_bytes()),
    image("webp", picture_file(RGB, "WEBP"), r"a\.webp: expected an image \(\.png, .+\), got \.webp; convert it\.", file="a.webp"),
    image("no suffix", png(RGB), r"a: expected an image \(.+\), got no suffix; convert it\.", file="a"),
    *(image(f"jpeg, orientation {n}", jpeg(turned(n), exif=exif(n)), file="a.jpg", off=8, read_as=with_words(rf"turned as its orientation tag \({n}\) says")) for n in range(2, 9)),
    image("jpeg, orientation 9", jpeg(RGB, exif=exif(9)), file="a.jpg", off=8, read_as=[]),
    image("png, orientation 6", png(turned(6), exif=exif(6)), centres=centres()),
    image("empty", b"", r"a\.png: the file is empty; copy or export it again\."),
    image("text", "this is no image", rf"a\.png: {_TRUNCATED}"),
    image("an error page", "<!DOCTYPE html><html><body>404</body></html>", rf"a\.jpg: {_TRUNCATED}", file="a.jpg"),
    image("random bytes", np.random.default_rng(0).bytes(5000), rf"a\.png: {_TRUNCATED}"),
    image("the signature alone", png(RGB)[:8], rf"a\.png: {_TRUNCATED}"),
    image("cut in the header", png(RGB)[:30], rf"a\.png: {_TRUNCATED}"),
    image("cut in the middle", png(RGB)[:4000], rf"a\.png: {_TRUNCATED}"),
    image("jpeg cut in the middle", jpeg(RGB)[:3000], rf"a\.jpg: {_TRUNCATED}", file="a.jpg"),
    image("jpeg without an end", jpeg(RGB)[:-2], rf"a\.jpg: {_TRUNCATED}", file="a.jpg"),
    image("bytes behind the end", png(RGB) + b"\0" * 100),
    image("a wrong sum of a chunk", png(RGB)[:60] + b"\xff\xff" + png(RGB)[62:], rf"a\.png: {_TRUNCATED}"),
    image("a bomb", png_header(100_000, 100_000), r"a\.png: its header says 100000 x 100000 pixels, and at most 1000000000 are read whole; .+"),
    image("a bomb of one row", png_header(2**31 - 1, 1), r"a\.png: its header says 2147483647 x 1 pixels, .+"),
    image("pixels that are not there", png_header(2000, 2000), rf"a\.png: {_TRUNCATED}"),
    image("no width", png_header(0, 9), rf"a\.png: {_TRUNCATED}"),
    image("one pixel", png(RGB[:1, :1]), like=RGB[:1, :1], nuclei=0, size=(1, 1)),
    image("one row", png(RGB[5:6]), like=RGB[5:6], nuclei=1, size=(1, WIDTH)),
    image("one column", png(RGB[:, 8:9]), like=RGB[:, 8:9], nuclei=1, size=(HEIGHT, 1)),
    image("odd sides", png(RGB[:37, :53]), like=RGB[:37, :53], nuclei=3, size=(37, 53)),
    image("nothing but glass", png(np.full((64, 64, 3), 243, np.uint8)), like=None, nuclei=0),
    image("nothing but black", png(np.zeros((64, 64, 3), np.uint8)), like=None, nuclei=0),
]  # fmt: skip


def link(path: Path) -> None:
    path.symlink_to("nowhere.png")


FILES = [
    Case("images", "a folder called as an image", lambda folder: (folder / "a.png").mkdir(), "predict a.png -o out", 1, r"a\.png: no image in this folder; .+"),
    image("a link to nothing", link, r"a\.png: file not found; check the path\."),
    image("a pipe", lambda path: os.mkfifo(path), r"a\.png: file not found; check the path\."),
    image("not there", png(RGB), r"gone\.png: file not found; check the path\.", file="other.png", words="gone.png"),
    image("blanks and umlauts in the name", png(RGB), file="ein  Bild mit Ümläut.png", folders=["ein  Bild mit Ümläut.png", "good.png"]),
    image("a name in other letters", png(RGB), file="组织.png", folders=["good.png", "组织.png"]),
    image("a quote in the name", png(RGB), file="it's.png", words='"it\'s.png"', folders=["good.png", "it's.png"]),
    image("a dash in front", png(RGB), file="-a.png", words="./-a.png", folders=["-a.png", "good.png"]),
    image("two dots for a stem", png(RGB), file="...png", folders=["...png", "good.png"]),
    image("two suffixes", tiff(RGB), file="a.png.tif", folders=["a.png.tif", "good.png"]),
    image("a percent sign", png(RGB), file="50%_{x}.png", folders=["50%_{x}.png", "good.png"]),
    image("the same file twice", png(RGB), words="a.png a.png", folders=["a.png", "good.png"]),
    image("files of one name in two folders", png(RGB), file="x/a.png", words="x/a.png y/a.png", beside=(("y/a.png", png(RGB[:, :40])),), nuclei=lambda n: n in (2, 3), all=lambda n: sorted(n) == [2, 3, 3], folders=lambda names: len(set(names)) == 3 and all(name.startswith(("a.png-", "good")) for name in names)),
    image("names that differ in case alone", png(RGB), words="a.png A.png", beside=(("A.png", png(RGB[:, :40])),), nuclei=lambda n: n in (2, 3), folders=lambda names: len({name.lower() for name in names}) == 3),
    image("one stem, two suffixes", png(RGB), words="a.png a.tif", beside=(("a.tif", tiff(RGB[:, :40])),), all=[3, 2, 3]),
    image("a folder of images and what lies beside them", png(RGB), file="x/a.png", words="x", beside=(("x/._a.png", b"\0\5\x16\7"), ("x/a_mask.png", png(RGB)), ("x/notes.txt", "x"), ("x/__MACOSX/a.png", b"\0")), says=r"left out: 1 hidden, 1 named after another image", folders=["a.png", "good.png"]),
    Case("images", "a folder without images", write(("x/notes.txt", "x")), "predict x -o out", 1, r"x: no image in this folder; expected files ending in .+"),
    Case("images", "a folder of hidden files", write(("x/._a.png", "x")), "predict x -o out", 1, r"x: no image in this folder; .+ \(left out: 1 hidden\)\."),
    Case("images", "the output is a file", write(("a.png", png(RGB)), ("out", "x")), "predict a.png -o out", 1, r"out/a\.png: the results cannot be written there \(.+\)\.", writes=("out",)),
]  # fmt: skip


_BAD_NII = r"a\.nii(\.gz)?: not readable as an image \(.+\); it may be truncated or mislabelled\."


VOLUMES = [
    image("NIfTI, (W, H, 1, 3)", nifti(XY[:, :, None]), file="a.nii", centres=centres()),
    image("NIfTI, (W, H, 3)", nifti(XY), file="a.nii.gz"),
    image("NIfTI, RGB24", nifti(XY.view(RGB24)[..., 0]), file="a.nii"),
    image("NIfTI, grey", nifti(XY[..., 1]), file="a.nii", like=GREY),
    image("NIfTI, floats", nifti(XY.astype("f4") / 255), file="a.nii"),
    image("NIfTI, several slices", nifti(np.stack([XY[..., 0]] * 9, 2)), r"a\.nii: expected one slice, \(W, H, 1\) or \(W, H, 1, 3\), got shape \(64, 48, 9\)\.", file="a.nii"),
    image("NIfTI, one axis", nifti(XY[:, 0, 0]), r"a\.nii: expected one slice, .+|a\.nii: .+", file="a.nii"),
    image("NIfTI, cut in the header", cut_nifti(100), _BAD_NII, file="a.nii"),
    image("NIfTI, cut in the pixels", cut_nifti(4000), _BAD_NII, file="a.nii"),
    image("NIfTI, packed and cut", lambda path: path.write_bytes(gzip.compress(nii_bytes(path.with_name("b.nii")))[:900]), _BAD_NII, file="a.nii.gz", beside=(("b.nii", b""),)),
    image("NIfTI, not packed but called so", lambda path: path.write_bytes(nii_bytes(path.with_name("b.nii"))), _BAD_NII, file="a.nii.gz", beside=(("b.nii", b""),)),
    image("NIfTI that is text", "no volume", _BAD_NII, file="a.nii"),
]  # fmt: skip


def _in_fill(kind: str) -> Callable[[Path, Any], dict[str, Any]]:
    area = (filled(kind, 1) == 1).all(-1)

    def count(folder: Path, result: Any) -> dict[str, Any]:
        label = tifffile.imread(folder / "out" / "a.png" / "instances.tif")
        white = tifffile.imread(folder / "out" / "white.png" / "instances.tif")
        return {"in_fill": int((label[area] > 0).sum()), "as_white": bool(((label > 0) == (white > 0)).all())}

    return count


FILLS = [
    Case("images", f"{kind} of grey {grey}", write(("a.png", png(filled(kind, grey))), ("white.png", png(filled(kind, 255)))), "predict a.png white.png -o out --mpp 0.25", right={"in_fill": 0, "as_white": True}, look=_in_fill(kind))
    for kind in ("half", "frame", "block") for grey in (0, 1, 20, 40, 60, 80, 128)
]  # fmt: skip

CASES = [*PICTURES, *FILES, *VOLUMES, *FILLS]

"""The slide's door: `coseg slide`, a good slide after each odd one; and finished or begun runs that are in the way."""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scn import CORNER, write_scn

from .case import Case, near, with_words
from .image_files import (
    RGB,
    jpeg,
    missing,
    nifti,
    ome,
    pages,
    patched,
    png,
    rgba,
    tiff,
    tiff_bytes,
)
from .stand_in import CORNERS, SIDE, picture, write

LARGE = ((10, 12), (30, 60), (60, 100), (90, 20), (100, 140), (130, 70), (20, 150), (140, 150))
"""Corners of the nuclei of the slides here, which are 176 px square."""

SLIDE = picture(LARGE, 176, 176)
NUCLEI = len(LARGE)
SMALL = "--tile-size 96 --halo 16 --workers 1"


def centres_of(corners: tuple[tuple[int, int], ...], dx: float = 0, dy: float = 0) -> list[tuple[float, float]]:
    """Where the nuclei are, x and y, sorted."""
    return sorted((column + SIDE / 2 + dx, row + SIDE / 2 + dy) for row, column in corners)


def look(folder: Path, result: Any) -> dict[str, Any]:
    """What became of the first slide, and of the good one."""
    out = folder / "out"
    found: dict[str, Any] = {}
    for path in sorted(out.iterdir()) if out.is_dir() else []:
        if not (path / "summary.json").is_file():
            continue
        summary = json.loads((path / "summary.json").read_text())
        if path.name == "good.tif":
            found["good"] = summary["nuclei"]
            continue
        features = json.loads((path / "nuclei.geojson").read_text())["features"]
        rings = [np.array(feature["geometry"]["coordinates"][0]) for feature in features]
        found |= {name: summary.get(name) for name in ("nuclei", "mpp", "read_as", "unscanned", "origin", "slide")}
        found["centres"] = sorted(tuple(((r.min(0) + r.max(0)) / 2).tolist()) for r in rings)
        found["unreadable"] = len(summary["unreadable_tiles"])
    return found | {"names": sorted(path.name for path in out.iterdir() if path.is_dir()) if out.is_dir() else []}


def slide(
    name: str,
    content: Any,
    refused: str = "",
    *,
    file: str = "a.tif",
    options: str = "--mpp 0.25",
    says: str = "",
    code: int | None = None,
    words: str = "",
    **right: Any,
) -> Case:
    """A case of this door; see `images.image`. A good slide follows where one resolution holds for both."""
    both = "--mpp 0.25" in options
    good = "good.tif" if both else ""
    wanted = {"good": 3} if both else {}
    wanted |= right if refused else {"nuclei": NUCLEI, **right}
    return Case(
        door="slides",
        name=name,
        make=write((file, content), ("good.tif", tiff(RGB))),
        do=f"slide {words or repr(file)} {good} -o out {SMALL} {options}",
        code=(1 if refused else 0) if code is None else code,
        says=refused or says,
        right=wanted,
        look=look,
    )


def pyramid(rgb: np.ndarray = SLIDE, **options: Any) -> Callable[[Path], None]:
    """A tiled pyramid of two levels."""

    def make(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            given = {"tile": (64, 64), "photometric": "rgb", "metadata": None, **options}
            file.write(rgb, subifds=1, **given)
            file.write(rgb[::2, ::2], subfiletype=1, **given)

    return make


def without_tiles(*numbers: int, level: int = 0, what: str = "both") -> Callable[[Path], None]:
    """The pyramid without some of its tiles."""

    def make(path: Path) -> None:
        pyramid(compression="deflate")(path)
        with tifffile.TiffFile(path, mode="r+") as file:
            page = file.pages[0] if level == 0 else file.pages[0].pages[0]
            for code, kind in ((324, "offset"), (325, "length")):
                values = list(page.tags[code].value)
                for number in numbers:
                    values[number] = 0 if what in ("both", kind) else values[number]
                page.tags[code].overwrite(values)

    return make


def broken_tiles(*numbers: int) -> Callable[[Path], None]:
    """The pyramid with tiles whose bytes are no deflated ones."""

    def make(path: Path) -> None:
        pyramid(compression="deflate")(path)
        with tifffile.TiffFile(path) as file:
            places = [file.pages[0].dataoffsets[number] for number in numbers]
        content = bytearray(path.read_bytes())
        for place in places:
            content[place : place + 40] = b"\xff" * 40
        path.write_bytes(content)

    return make


def scn(path: Path) -> None:
    """A Leica slide of 256 x 256 px on a larger glass."""
    write_scn(path, picture(LARGE, 256, 256))


def deep_slide(bits: int) -> np.ndarray:
    """The slide in so many of 16 bits, with one white pixel."""
    stretched = SLIDE.copy()
    stretched[0, 0] = 255
    return stretched.astype(np.uint16) << (bits - 8)


_NO_SLIDE = r"a\.svs: no slide that can be read; expected what OpenSlide reads \(.+\)\."
_BAD = r"a\.tif: not readable as (a slide|an image) \(.+\); it may be truncated.*"
_SEEN = {"centres": centres_of(LARGE)}

READ = [
    slide("a pyramid", pyramid(), **_SEEN, mpp=0.25, unreadable=0, names=["a.tif", "good.tif"]),
    slide("one level in strips", tiff(SLIDE), **_SEEN),
    slide("a png", png(SLIDE), file="a.png", **_SEEN),
    slide("a jpeg", jpeg(SLIDE), file="a.jpg"),
    slide("NIfTI", nifti(np.moveaxis(SLIDE, 0, 1)), file="a.nii.gz", **_SEEN),
    slide("OME-TIFF", ome(SLIDE, "YXS", photometric="rgb"), file="a.ome.tif", **_SEEN),
    slide("big tiff, big endian", tiff(SLIDE, bigtiff=True, byteorder=">", tile=(64, 64)), **_SEEN),
    slide("planes apart", tiff(np.moveaxis(SLIDE, 2, 0), planarconfig="separate", tile=(64, 64)), **_SEEN),
    slide("three grey channels", ome(np.moveaxis(SLIDE, 2, 0), "CYX"), file="a.ome.tif", read_as=with_words("red, green and blue"), **_SEEN),
    *(slide(f"{n} grey channels", ome(np.moveaxis(np.dstack([SLIDE] * 3)[..., :n], 2, 0), "CYX"), rf"a\.ome\.tif: expected a grey, RGB or RGBA image, got {n} channels .+", file="a.ome.tif") for n in (2, 4, 7)),
    *(slide(f"{bits} bits of 16", tiff(deep_slide(bits), tile=(64, 64)), **_SEEN) for bits in (8, 10, 12, 14, 16)),
    slide("16 bits that end nowhere", tiff(SLIDE.astype("u2") * 100, tile=(64, 64)), r"a\.tif: no tag says how many bits are significant, .+"),
    slide("floats", tiff((SLIDE / 255).astype("f4"), tile=(64, 64)), **_SEEN),
    slide("grey", tiff(SLIDE[..., 1], photometric="minisblack", tile=(64, 64)), nuclei=lambda n: n >= 0),
    slide("opaque alpha", tiff(np.dstack([SLIDE, np.full((176, 176), 255, "u1")]), extrasamples=["unassalpha"], tile=(64, 64)), **_SEEN),
    slide("a spare channel of zeros", tiff(np.dstack([SLIDE, np.zeros((176, 176), "u1")]), extrasamples=["unspecified"], tile=(64, 64)), read_as=with_words("1 channel beside the colours left out"), **_SEEN),
    slide("all transparent", tiff(rgba(0), extrasamples=["unassalpha"], tile=(16, 16)), r"a\.tif: its transparency \(alpha\) is 0 everywhere, .+"),
    slide("a transparent half", tiff(np.dstack([SLIDE, np.where(np.arange(176) < 88, 255, 0)[None].repeat(176, 0)]).astype("u1"), extrasamples=["unassalpha"], tile=(64, 64)), nuclei=lambda n: n == 4),
    slide("palette", tiff(SLIDE[..., 1], photometric="palette", colormap=np.stack([np.arange(256, dtype="u2") * 257] * 3), tile=(64, 64)), nuclei=lambda n: n >= 0),
    slide("colours that are not read", tiff(SLIDE[..., 1], photometric="cfa", tile=(64, 64)), r"a\.tif: its colours are stored as CFA, which is not read; export it as RGB\."),
    slide("orientation 6", tiff(np.ascontiguousarray(np.rot90(SLIDE)), extratags=[(274, "H", 1, 6, True)], tile=(64, 64)), **_SEEN),
    slide("orientation 3", tiff(np.ascontiguousarray(SLIDE[::-1, ::-1]), extratags=[(274, "H", 1, 3, True)]), **_SEEN),
    slide("two images alike", pages(SLIDE, SLIDE, photometric="rgb", tile=(64, 64)), r"a\.tif: expected one image, got .+; export one of them\."),
    slide("a label behind", pages(SLIDE, SLIDE[:50, :60], photometric="rgb", tile=(64, 64)), read_as=with_words("the first of 2 images"), **_SEEN),
    slide("a stack", ome(np.stack([SLIDE[..., 0]] * 5), "ZYX"), r"a\.ome\.tif: expected one image, got .+", file="a.ome.tif"),
    slide("a Leica slide", scn, file="a.scn", origin="bounds", centres=centres_of(LARGE)),
    slide("a Leica slide on its glass", scn, file="a.scn", options="--mpp 0.25 --origin canvas --tile-size 256 --halo 32", origin="canvas", centres=centres_of(LARGE, *CORNER)),
    slide("no tissue", png(np.full((200, 200, 3), 244, np.uint8)), file="a.png", nuclei=0, says="no tissue was found: glass 100"),
    slide("black", png(np.zeros((200, 200, 3), np.uint8)), file="a.png", nuclei=0, says="no tissue was found"),
    slide("one pixel", png(SLIDE[:1, :1]), file="a.png", nuclei=lambda n: n in (0, 1)),
    slide("one row", png(SLIDE[:1]), file="a.png", nuclei=lambda n: n >= 0),
    slide("blanks and umlauts in the name", pyramid(), file="ein Schnitt ü.tif", names=["ein Schnitt ü.tif", "good.tif"], **_SEEN),
]  # fmt: skip

TILES = [
    slide("a missing tile", without_tiles(0), says="1 tiles are missing from the file and count as not scanned", centres=lambda found: (18.0, 16.0) not in found, nuclei=lambda n: 5 <= n < NUCLEI),
    slide("a tile without an offset", without_tiles(0, what="offset"), says="1 tiles are missing", nuclei=lambda n: 5 <= n < NUCLEI),
    slide("a tile without a length", without_tiles(0, what="length"), says="1 tiles are missing", nuclei=lambda n: 5 <= n < NUCLEI),
    slide("a row of missing tiles", without_tiles(0, 1, 2), says="3 tiles are missing", nuclei=lambda n: 3 <= n <= 6),
    slide("all tiles but one missing", without_tiles(*range(1, 9)), says="8 tiles are missing from the file and count as not scanned", nuclei=lambda n: n < NUCLEI),
    slide("a missing tile of the smaller level", without_tiles(0, level=1), **_SEEN),
    slide("a missing tile, not compressed", lambda path: missing(path, which=0), nuclei=lambda n: n in (2, 3)),
    slide("a broken tile", broken_tiles(0), says=r"4 of 9 tiles could not be read \(summary\.json lists them, .+\)", code=1, nuclei=lambda n: n < NUCLEI, unreadable=lambda n: n > 0),
    slide("broken tiles everywhere", broken_tiles(*range(9)), r"a\.tif: none of its \d+ tiles with tissue can be read \(.+\).*"),
    slide("cut in the pixels", tiff_bytes(SLIDE, tile=(64, 64))[:100_000], code=1, says=r"\d of 9 tiles could not be read \(summary\.json lists them, .+\)", nuclei=lambda n: n < NUCLEI),
]  # fmt: skip

BROKEN = [
    slide("empty", b"", r"a\.tif: .*(empty|not readable|truncated).*"),
    slide("text called svs", "no slide", _NO_SLIDE, file="a.svs"),
    slide("half a scanner's file", tiff_bytes(SLIDE, tile=(64, 64))[:4] + b"\xff\xff\0\0" + bytes(999), r"a\.svs: it begins as a TIFF, and no slide is found in it; it may be truncated: .+", file="a.svs"),
    slide("all tiles missing", without_tiles(*range(9)), r"a\.tif: the file holds none of its 9 tiles, as after a conversion that was stopped; .+"),
    slide("a signature alone", b"II*\0", _BAD),
    slide("cut in the tags", tiff_bytes(SLIDE, tile=(64, 64))[:100], _BAD),
    slide("no pages", b"II*\0\0\0\0\0", _BAD),
    slide("not there", pyramid(), r"gone\.tif: file not found; check the path\.", file="other.tif", words="gone.tif"),
    slide("a text called png", "no image", r"a\.png: not readable as (an image|a slide) .+", file="a.png"),
    slide("an empty png", b"", r"a\.png: the file is empty; copy or export it again\.", file="a.png"),
    slide("webp", b"RIFF\0\0\0\0WEBP", r"a\.webp: no slide that can be read; .+", file="a.webp"),
    slide("no height", patched(tiff_bytes(SLIDE, tile=(64, 64)), 257, 0), r"a\.tif: (the image has no pixels \(.+\); export it again\.|not readable as a slide .+)"),
    slide("a huge tile", patched(patched(tiff_bytes(SLIDE, tile=(64, 64)), 322, 2**20), 323, 2**20), r"a\.tif: .*(1048576 x 1048576|not readable).*"),
    slide("no resolution", pyramid(), r"a\.tif: the file does not say its resolution; give it in microns per pixel with --mpp .+", options=""),
    slide("oblong pixels", pyramid(resolution=(40000, 20000), resolutionunit="CENTIMETER"), r"a\.tif: its pixels are 0\.25 x 0\.5 um and not square \(.+\); .+", options=""),
    slide("a resolution that makes no sense", pyramid(), r"a\.tif: a slide of 900\.0 microns per pixel is out of range: .+", options="--mpp 900"),
    slide("MIRAX without its folder", b"no jpeg", r"a\.mrxs: no slide that can be read; .+", file="a.mrxs"),
    slide("Hamamatsu's index without its files", "[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=a.jpg\n", r"a\.vms: (not readable as a slide|no slide that can be read).+", file="a.vms"),
    slide("DICOM without pixels", bytes(128) + b"DICM" + bytes(100), r"a\.dcm: (not readable as a slide|no slide that can be read).+", file="a.dcm"),
]  # fmt: skip

SIZES = [
    slide("says 0.5 in centimetres", pyramid(resolution=(2e4, 2e4), resolutionunit="CENTIMETER"), options="", mpp=near(0.5), nuclei=lambda n: n > 0),
    slide("says 0.25 in OME's nm", lambda path: ome_slide(path, 'PhysicalSizeX="250" PhysicalSizeXUnit="nm"'), file="a.ome.tif", options="", mpp=near(0.25), **_SEEN),
    slide("says nothing sensible in OME", lambda path: ome_slide(path, 'PhysicalSizeX="-1" PhysicalSizeXUnit="µm"'), r"a\.ome\.tif: the file does not say its resolution \(its OME-XML says -1 um, .+\); give it .+", file="a.ome.tif", options=""),
    slide("says oblong in OME, and is overruled", lambda path: ome_slide(path, 'PhysicalSizeX="0.2" PhysicalSizeY="0.4"'), file="a.ome.tif", **_SEEN),
    slide("says a printing resolution", pyramid(resolution=(72, 72), resolutionunit="INCH"), r"a\.tif: the file does not say its resolution; .+", options=""),
]  # fmt: skip


def ome_slide(path: Path, pixels: str) -> None:
    """An OME-TIFF of the slide with attributes of its own."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="'
        'Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="176" SizeY="176" SizeC="3" SizeZ="1" '
        f'SizeT="1" {pixels}><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, SLIDE, photometric="rgb", tile=(64, 64), description=xml.encode(), metadata=None)


def after(name: str, change: Callable[[Path], None] | None, options: str, code: int, says: str, **right: Any) -> Case:
    """A slide that is segmented, then something changes, and the command runs again."""

    def make(folder: Path) -> None:
        from coseg_bundle.cli import main

        tiff(RGB)(folder / "a.tif")
        assert main(f"slide a.tif -o out {SMALL} --mpp 0.25".split()) == 0
        if change:
            change(folder)

    return Case("slides", f"again: {name}", make, f"slide a.tif -o out {SMALL} {options}", code, says, right, look)


def _other(folder: Path) -> None:
    tiff(RGB[::-1])(folder / "a.tif")


def _gone(name: str) -> Callable[[Path], None]:
    """Removes a file of the results."""
    return lambda folder: (folder / "out" / "a.tif" / name).unlink()


def _emptied(name: str) -> Callable[[Path], None]:
    """Leaves nothing in a file of the results."""
    return lambda folder: (folder / "out" / "a.tif" / name).write_bytes(b"")  # type: ignore[return-value]


def _shortened(name: str) -> Callable[[Path], None]:
    """Cuts the last byte off a file of the results."""
    return lambda folder: _rewrite(folder / "out" / "a.tif" / name, lambda content: content[:-1])


def _lengthened(name: str) -> Callable[[Path], None]:
    """Adds a byte to a file of the results."""
    return lambda folder: _rewrite(folder / "out" / "a.tif" / name, lambda content: content + b"x")


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def record(text: str) -> Callable[[Path], None]:
    """Replaces the record of the results."""
    return lambda folder: (folder / "out" / "a.tif" / "summary.json").write_text(text)  # type: ignore[return-value]


def _plan(text: str) -> Callable[[Path], None]:
    """A run that was begun and whose plan is this."""

    def change(folder: Path) -> None:
        work = folder / "out" / "a.tif" / ".work"
        (folder / "out" / "a.tif" / "summary.json").unlink()
        work.mkdir()
        (work / "plan.json").write_text(text)

    return change


AGAIN = [
    after("the same", None, "--mpp 0.25", 0, "finished before, 3 nuclei in out/a.tif; nothing to do", nuclei=3),
    after("another slide", _other, "--mpp 0.25", 1, r".*out/a\.tif holds finished results of .*, which differ in the content of the file.*; make them anew with --overwrite, or give another --output\.", nuclei=3),
    after("another slide, overwritten", _other, "--mpp 0.25 --overwrite", 0, "", nuclei=3, centres=sorted((x, 48 - y) for x, y in centres_of(CORNERS))),
    *(after(f"{name} is {what}", change(name), "--mpp 0.25", 1, rf".*out/a\.tif holds finished results whose {re.escape(name)} is missing or not whole; make them anew with --overwrite, or give another --output\.", nuclei=3) for name in ("nuclei.parquet", "tissue.ome.tif") for what, change in (("gone", _gone), ("empty", _emptied), ("cut", _shortened), ("longer", _lengthened))),
    after("nuclei.parquet is gone, overwritten", _gone("nuclei.parquet"), "--mpp 0.25 --overwrite", 0, "", nuclei=3, centres=centres_of(CORNERS)),
    after("a picture is gone", _gone("overview.png"), "--mpp 0.25", 0, "nothing to do", nuclei=3),
    after("another mpp", None, "--mpp 0.3", 1, r".*which differ in mpp \(0\.25, now 0\.3\).*"),
    after("another tile", None, "--mpp 0.25 --halo 8", 1, r".*which differ in .*halo_px \(16, now 8\).*"),
    *(after(f"a record of {text[:20]!r}", record(text), "--mpp 0.25", 1, r".*(summary\.json is broken \(.+\); make the results anew with --overwrite|do not say what they were made from; make them anew with --overwrite).*") for text in ("[]", "3", "{}", "", "null", "{", '"a"', '{"made_from": 3}', '{"made_from": {}}', "[" * 5000)),
    after("a record of {}, overwritten", record("{}"), "--mpp 0.25 --overwrite", 0, "", centres=centres_of(CORNERS)),
    after("begun, without --resume", _plan("{}"), "--mpp 0.25", 1, r".*out/a\.tif holds an unfinished run: go on with --resume, or begin anew with --overwrite\."),
    *(after(f"begun, a plan of {text[:12]!r}", _plan(text), "--mpp 0.25 --resume", 1, r".*its unfinished run cannot be read \(.+\); begin anew with --overwrite, or remove the folder\.") for text in ("[]", "{}", "3", "", "{", "null", "[" * 5000)),
    after("begun, a plan of [], overwritten", _plan("[]"), "--mpp 0.25 --overwrite", 0, "", centres=centres_of(CORNERS)),
    Case("slides", "again: in the folder of predict", lambda folder: _predicted(folder), f"slide a.tif -o out {SMALL} --mpp 0.25", 1, r".*out/a\.tif holds results of coseg predict, and this is coseg slide; give another --output\."),
]  # fmt: skip


@functools.cache
def begun_files() -> dict[str, bytes]:
    """A slide, and a run that was stopped before its first result, as files by name."""
    from coseg_bundle.cli import main
    from coseg_bundle.wsi import pipeline

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        tiff(RGB)(Path(name, "a.tif"))
        patch.setattr(pipeline, "write_slide_results", stop)
        assert main(["slide", f"{name}/a.tif", "-o", f"{name}/out", *SMALL.split(), "--mpp", "0.25"]) == 130
        files = [path for path in Path(name).rglob("*") if path.is_file() and path.name != ".lock"]
        return {path.relative_to(name).as_posix(): path.read_bytes() for path in files}


def _predicted(folder: Path) -> None:
    from coseg_bundle.cli import main

    tiff(RGB)(folder / "a.tif")
    assert main(["predict", "a.tif", "-o", "out", "--mpp", "0.25"]) == 0


WORDS = [
    Case("slides", f"option {options!r}", write(("a.tif", pyramid())), f"slide a.tif -o out --workers 1 {options}", code, says)
    for options, code, says in (
        ("--mpp 0", 2, "expected a number above 0"),
        ("--tile-size 0", 2, "expected a multiple of 32 from 32 on"),
        ("--halo 1.5", 2, "expected a whole number above 0"),
        ("--origin glass", 2, "invalid choice"),
        ("--mpp 0.25 --tile-size 64 --halo 32", 1, r".*"),
        ("--mpp 0.25 --address auto", 1, r"--address is for --run-on ray\."),
        ("--mpp 0.25 --device cuda:99", 1, r"Device 'cuda:99' cannot be used .+"),
    )
]  # fmt: skip

CASES = [*READ, *TILES, *BROKEN, *SIZES, *AGAIN, *WORDS]

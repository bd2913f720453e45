"""The XML's door: Aperio's outlines (MoNuSeg's layout) and those that ASAP and QuPath's extension write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .case import Case
from .geojson_files import AREA, WHOLE, ring
from .imported import imported
from .stand_in import CORNERS, write


def regions(*outlines: str) -> str:
    """An Aperio XML."""
    return f"<Annotations><Annotation><Regions>{''.join(outlines)}</Regions></Annotation></Annotations>"


def region(points: Any, x: str = "X", y: str = "Y") -> str:
    """A region of it."""
    return "<Region><Vertices>" + "".join(f'<Vertex {x}="{a}" {y}="{b}"/>' for a, b in points) + "</Vertices></Region>"


OUTLINES = [region(ring(column, row)[:-1]) for row, column in CORNERS]
GOOD = {"b.xml": regions(*OUTLINES)}


def aperio(name: str, content: Any, refused: str = "", **rest: Any) -> Case:
    """A file of MoNuSeg's layout, beside a good one."""
    return imported("xml_files", "monuseg", name, {"a.xml": content}, GOOD, refused, good_areas=WHOLE, **rest)


_NO_XML = r".*a\.xml: not valid XML \(.+\); download it again\."
_BOMB = (
    '<!DOCTYPE a [<!ENTITY x "'
    + "x" * 1000
    + '">'
    + "".join(f'<!ENTITY x{i} "{f"&x{i - 1 if i else str()};" * 20}">' for i in range(9))
    + "]><a>&x8;</a>"
)

APERIO = [
    aperio("as published", regions(*OUTLINES), areas=WHOLE, mpp_a=0.25),
    aperio("a declaration", '<?xml version="1.0" encoding="UTF-8"?>' + regions(*OUTLINES), areas=WHOLE),
    aperio("a byte order mark", b"\xef\xbb\xbf" + regions(*OUTLINES).encode(), areas=WHOLE),
    aperio("in UTF-16", ('<?xml version="1.0" encoding="UTF-16"?>' + regions(*OUTLINES)).encode("utf-16"), areas=WHOLE),
    aperio("in Latin-1", ('<?xml version="1.0" encoding="ISO-8859-1"?><!-- ü -->' + regions(*OUTLINES)).encode("latin-1"), areas=WHOLE),
    aperio("no regions", regions(), areas=[]),
    aperio("a later one covers", regions(*OUTLINES, region(ring(6, 4, 4)[:-1])), areas=[16, AREA - 16, AREA, AREA]),
    aperio("a hole", regions(*OUTLINES[1:], OUTLINES[0], region(ring(CORNERS[0][1] + 2, CORNERS[0][0] + 2, 4)[:-1]).replace("<Region>", '<Region NegativeROA="1">')), areas=[AREA - 16, AREA, AREA]),
    aperio("outside of the image", regions(*OUTLINES, region(ring(900, 4)[:-1])), areas=WHOLE),
    aperio("two points", regions(*OUTLINES, region([(1, 1), (2, 2)])), r".*a\.xml: region 4 has 2 points", stems=["a", "b"], areas=WHOLE),
    aperio("no points", regions(*OUTLINES, region([])), r".*a\.xml: region 4 has 0 points", stems=["a", "b"]),
    *(aperio(f"a coordinate of {value}", regions(*OUTLINES, region([(1, 1), (9, 1), (value, 9)])), r".*a\.xml: region 4 has a point that is no place in an image", stems=["a", "b"], areas=WHOLE) for value in ("nan", "inf", "1e300", "-1e9", "cat")),
    aperio("attributes of another name", regions(*OUTLINES, region([(1, 1), (9, 1), (9, 9)], "x", "y")), r".*a\.xml: region 4 has a point that is no place in an image", stems=["a", "b"]),
    aperio("empty", "", _NO_XML),
    aperio("text", "no xml", _NO_XML),
    aperio("cut", regions(*OUTLINES)[:200], _NO_XML),
    aperio("an encoding that does not exist", '<?xml version="1.0" encoding="cat"?><a/>', _NO_XML),
    aperio("an encoding that is not its own", b'<?xml version="1.0" encoding="UTF-8"?><a>\xff\xfe</a>', _NO_XML),
    aperio("an encoding of several bytes", b'<?xml version="1.0" encoding="big5"?><a/>', _NO_XML),
    aperio("an entity that is not defined", "<a>&cat;</a>", _NO_XML),
    aperio("entities that grow", _BOMB, _NO_XML),
    aperio("an entity that is a file", '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a>&f;</a>', _NO_XML),
    aperio("zeros", bytes(100), _NO_XML),
    imported("xml_files", "monuseg", "no image", {"c.xml": regions(*OUTLINES)}, GOOD, r".*c\.xml: no image with the stem c; .+", good_areas=WHOLE),
]  # fmt: skip


def asap(*annotations: str) -> str:
    """An ASAP XML."""
    return f"<ASAP_Annotations><Annotations>{''.join(annotations)}</Annotations></ASAP_Annotations>"


def annotation(points: Any, name: str = "nucleus") -> str:
    """An annotation of it."""
    inner = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(points))
    return f'<Annotation Name="{name}" Type="Polygon"><Coordinates>{inner}</Coordinates></Annotation>'


def _read(folder: Path) -> Any:
    from coseg_bundle.data.labels.drawn import read_drawn

    return read_drawn(folder / "a.xml")


def _regions(folder: Path, found: Any) -> dict[str, Any]:
    return {
        "names": [region.name for region in found.regions],
        "areas": [region.area_px for region in found.regions],
        "skipped": list(found.skipped),
    }


def drawn(name: str, content: Any, refused: str = "", **right: Any) -> Case:
    """A file of ASAP's, read as the server does."""
    return Case(
        "xml_files", f"asap: {name}", write(("a.xml", content)), _read, 1 if refused else 0, refused, right, _regions
    )


SQUARES = [annotation(ring(column, row)[:-1]) for row, column in CORNERS]
_NO_ASAP = r".*a\.xml: expected the XML of ASAP, got something else \(.+\)\."

ASAP = [
    drawn("as written", asap(*SQUARES), names=["nucleus"] * 3, areas=[AREA] * 3, skipped=[]),
    drawn("decimal commas", asap(annotation([("6,5", "4"), ("18,5", "4"), ("18,5", "16"), ("6,5", "16")])), areas=[AREA]),
    drawn("points in another order", asap(SQUARES[0].replace('Order="1"', 'Order="9"').replace('Order="0"', 'Order="8"')), areas=[AREA]),
    drawn("no name", asap(SQUARES[0].replace('Name="nucleus"', "")), names=[""]),
    drawn("two points", asap(*SQUARES, annotation([(1, 1), (2, 2)])), names=["nucleus"] * 3, skipped=lambda s: len(s) == 1),
    drawn("nothing in it", asap(), names=[]),
    drawn("another document", "<html/>", names=[]),
    *(drawn(what, content, _NO_ASAP) for what, content in (("empty", ""), ("text", "no xml"), ("cut", asap(*SQUARES)[:100]), ("an encoding that does not exist", '<?xml version="1.0" encoding="cat"?><a/>'), ("a coordinate that is text", asap(annotation([("x", 1), (2, 2), (3, 1)]))), ("no coordinate", asap(SQUARES[0].replace('X="6"', ""))), ("an order that is text", asap(SQUARES[0].replace('Order="1"', 'Order="b"'))), ("entities that grow", _BOMB))),
]  # fmt: skip

CASES = [*APERIO, *ASAP]

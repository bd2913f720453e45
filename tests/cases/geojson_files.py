"""The GeoJSON's door, and that of the other JSON with outlines: HoVer-Net, COCO, labelme, PUMA's."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .case import Case, near
from .image_files import RGB, png
from .imported import imported
from .labels import label
from .stand_in import CORNERS, SIDE, write

AREA = SIDE * SIDE


def ring(x: float, y: float, width: float = SIDE, height: float | None = None) -> list[list[float]]:
    """A closed rectangle."""
    far_x, far_y = x + width, y + (width if height is None else height)
    return [[x, y], [far_x, y], [far_x, far_y], [x, far_y], [x, y]]


def polygon(*rings: Any) -> dict[str, Any]:
    """A polygon of rings."""
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, name: Any = None, kind: str = "detection", **more: Any) -> dict[str, Any]:
    """An object as QuPath writes it."""
    properties = {
        "objectType": kind,
        **({"classification": name} if name is not None else {}),
        **more.pop("properties", {}),
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


SQUARES = [polygon(ring(column, row)) for row, column in CORNERS]
NUCLEI = [feature(square) for square in SQUARES]
WHOLE = [AREA] * 3
IMAGE = ring(0, 0, 64, 48)


def collection(*features: Any, **more: Any) -> str:
    """A FeatureCollection as text."""
    return json.dumps({"type": "FeatureCollection", "features": list(features), **more})


GOOD = {"b.geojson": collection(*NUCLEI)}


def qupath(
    name: str,
    content: Any,
    refused: str = "",
    says: str = "",
    *,
    file: str = "a.geojson",
    areas: Any = None,
    **right: Any,
) -> Case:
    """A file of QuPath's, beside a good one."""
    return imported("geojson_files", "qupath", name, {file: content}, GOOD, refused, says, areas, WHOLE, **right)


def _named(name: Any) -> list[dict[str, Any]]:
    return [feature(square, value) for square, value in zip(SQUARES, (name, name, {"name": "Other"}), strict=True)]


_EXPECTED = r".*a\.geojson: expected a GeoJSON FeatureCollection of polygons, got (something else \(.+\)|an? [\w ]+); export it again\."
_FEATURE = r"a\.geojson: feature 4: "
BOW_TIE = polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]])

WELL = [
    qupath("detections", collection(*NUCLEI), areas=WHOLE),
    qupath("annotations", collection(*(feature(s, kind="annotation") for s in SQUARES)), areas=WHOLE),
    qupath("a list of features", json.dumps(NUCLEI), areas=WHOLE),
    qupath("one feature", json.dumps(NUCLEI[0]), areas=[AREA]),
    qupath("a bare geometry", json.dumps(SQUARES[0]), areas=[AREA]),
    qupath("bare geometries in a list", json.dumps(SQUARES), areas=WHOLE),
    qupath("a collection of geometries", json.dumps({"type": "GeometryCollection", "geometries": SQUARES}), areas=WHOLE),
    qupath("packed", lambda path: path.write_bytes(gzip.compress(collection(*NUCLEI).encode())), file="a.geojson.gz", areas=WHOLE),
    qupath("a byte order mark", b"\xef\xbb\xbf" + collection(*NUCLEI).encode(), areas=WHOLE),
    qupath("no properties", json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": s} for s in SQUARES]}), areas=WHOLE),
    qupath("properties that are null", json.dumps([{"type": "Feature", "geometry": s, "properties": None} for s in SQUARES]), areas=WHOLE),
    qupath("a third coordinate", collection(*(feature(polygon([[*p, 0] for p in ring(c, r)])) for r, c in CORNERS)), areas=WHOLE),
    qupath("other members", collection(*NUCLEI, crs={"type": "name"}, bbox=[0, 0, 1, 1]), areas=WHOLE),
    qupath("rings that are not closed", collection(*(feature(polygon(ring(c, r)[:-1])) for r, c in CORNERS)), areas=WHOLE),
    qupath("a hole", collection(*NUCLEI[1:], feature(polygon(ring(6, 4), ring(8, 6, 4)))), areas=[AREA - 16, AREA, AREA]),
    qupath("a bow tie is mended", collection(*NUCLEI[1:], feature(BOW_TIE)), areas=lambda a: len(a) == 3 and 30 <= a[0] <= 70),
    qupath("clockwise", collection(*(feature(polygon(ring(c, r)[::-1])) for r, c in CORNERS)), areas=WHOLE),
    qupath("half outside of the image", collection(*NUCLEI[1:], feature(polygon(ring(-6, 4)))), areas=[AREA // 2, AREA, AREA]),
    qupath("outside of the image", collection(*NUCLEI, feature(polygon(ring(900, 900)))), says="left out: 1 nuclei that lie beside the image", areas=WHOLE),
    qupath("nothing in it", collection(), areas=[]),
    qupath("two on one place", collection(*NUCLEI, NUCLEI[0]), areas=lambda a: sum(a) == 3 * AREA),
    qupath("an id twice counts once", collection(*({**n, "id": str(i)} for i, n in enumerate(NUCLEI)), {**NUCLEI[0], "id": "0"}), areas=WHOLE),
    *(qupath(f"a class as {what}", collection(*_named(value)), areas=WHOLE, says="type ids: 1 Other, 2 Tumor", types_a=[1, 2, 2]) for what, value in (("an object", {"name": "Tumor", "color": [1, 2, 3]}), ("text", "Tumor"), ("names", {"names": ["Tumor"]}))),
    qupath("a derived class", collection(*_named({"names": ["Tumor", "Positive"]})), says="type ids: 1 Other, 2 Tumor: Positive", types_a=[1, 2, 2]),
    qupath("a derived class as before v0.4", collection(*_named({"name": "Positive", "parentClass": {"name": "Tumor"}})), says="2 Tumor: Positive", types_a=[1, 2, 2]),
    qupath("Unclassified", collection(*_named("Unclassified")), areas=WHOLE),
    qupath("one without a class", collection(*[feature(SQUARES[0], "A"), feature(SQUARES[1], "B"), feature(SQUARES[2])]), says="1 nuclei have no class; their type is unlabelled", types_a=[1, 2, 255]),
    qupath("a class that is a number", collection(*_named(3)), areas=WHOLE),
    qupath("a class that is a list", collection(*_named(["Tumor"])), areas=WHOLE),
    qupath("cells with nuclei", collection(*(feature(polygon(ring(c - 2, r - 2, 16)), kind="cell", nucleusGeometry=s) for (r, c), s in zip(CORNERS, SQUARES, strict=True))), areas=WHOLE),
    qupath("a cell without a nucleus", collection(*NUCLEI, feature(SQUARES[0], kind="cell")), says="left out: 1 cell without a nucleus", areas=WHOLE),
    qupath("tiles and cores", collection(*NUCLEI, feature(polygon(IMAGE), kind="tile"), feature(polygon(IMAGE), kind="tmaCore")), says="left out: 1 core, 1 tile", areas=WHOLE),
    qupath("points and lines", collection(*NUCLEI, feature({"type": "Point", "coordinates": [1, 2]}), feature({"type": "LineString", "coordinates": [[0, 0], [9, 9]]})), says="left out: 2 detection without an area", areas=WHOLE),
    qupath("below an annotation", collection(feature(polygon(IMAGE), "Tissue", "annotation", properties={"childObjects": NUCLEI})), says=r"left out: 1 annotation with objects below it \(Tissue\)", areas=WHOLE),
    qupath("below and beside", collection(feature(polygon(IMAGE), "Tissue", "annotation", properties={"childObjects": [{**n, "id": str(i)} for i, n in enumerate(NUCLEI)]}), *({**n, "id": str(i)} for i, n in enumerate(NUCLEI))), areas=WHOLE),
    *(qupath(f"an annotation around them, {where}", collection(*(NUCLEI if where == "last" else []), feature(polygon(IMAGE), kind="annotation"), *([] if where == "last" else NUCLEI)), says="left out: 1 annotation around nuclei", areas=WHOLE) for where in ("first", "last")),
    qupath("Region*", collection(feature(polygon(IMAGE), "Region*", "annotation"), *NUCLEI), says=r"left out: 1 of class Region\*", areas=WHOLE),
    qupath("Ignore*", collection(feature(polygon(ring(30, 30)), "Ignore*", "annotation"), *NUCLEI), says=r"left out: 1 of class Ignore\*", areas=WHOLE),
    qupath("all of a class as one", collection(feature({"type": "MultiPolygon", "coordinates": [s["coordinates"] for s in SQUARES]}, "Tumor", "annotation")), says="1 objects of many parts were taken apart, each part a nucleus", areas=WHOLE),
    qupath("two lobes are one nucleus", collection(feature({"type": "MultiPolygon", "coordinates": [[ring(6, 4)], [ring(19, 4)]]}), *NUCLEI[2:]), areas=lambda a: max(a) == 2 * AREA),
    qupath("a type of v0.2", collection(*({**n, "id": "PathDetectionObject", "properties": {}} for n in NUCLEI)), areas=WHOLE),
]  # fmt: skip

_BESIDE = r"expected nuclei on an image of 64 x 48 pixels, got 3 that all lie beside it; export them in its pixels, counted from its upper left corner"
_MANY = [feature(polygon(ring(2 * (i % 30), 2 * (i // 30), 1.5)), {"name": f"c{i}"}) for i in range(300)]

BROKEN = [
    *(qupath(f"all of them {where}", collection(*(feature(polygon([[x + dx, sign * y] for x, y in ring(c, r)])) for r, c in CORNERS)), rf".*a\.geojson: {_BESIDE}\.") for where, dx, sign in (("elsewhere", 5000, 1), ("above the image", 0, -1))),
    Case("geojson_files", "qupath: a class for each nucleus", write(("set/a.png", png(RGB)), ("set/a.geojson", collection(*_MANY))), "datalist set --layout qupath -o out", 1, r"set: expected at most 126 classes of nuclei, got 300 \(c0, c1, c10, \.\.\.\); give nuclei the name of their class, and not one of their own\."),
    Case("geojson_files", "measure: a class for each nucleus", write(("a.geojson", collection(*_MANY))), "measure a.geojson --mpp 0.25 -o out", 1, r"a\.geojson: expected at most 126 classes of nuclei, got 300 .+"),
    Case("geojson_files", "measure: a feature without a geometry", write(("a.geojson", collection(*NUCLEI, feature(None)))), "measure a.geojson --mpp 0.25 -o out", 1, r"a\.geojson: feature 4: it has no geometry; it is left out\."),
    qupath("a broken feature among good ones", collection(*NUCLEI, feature(polygon([[0, 0], [1, 1]]))), r".*" + _FEATURE + ".+", stems=["a", "b"], areas=WHOLE),
    qupath("no geometry", collection(*NUCLEI, feature(None)), r".*" + _FEATURE + "it has no geometry", stems=["a", "b"]),
    qupath("coordinates that are text", collection(*NUCLEI, feature(polygon([["a", "b"]] * 4))), r".*" + _FEATURE + ".+", stems=["a", "b"]),
    qupath("coordinates that are null", collection(*NUCLEI, feature({"type": "Polygon", "coordinates": None})), r".*" + _FEATURE + ".+", stems=["a", "b"]),
    qupath("an unknown geometry", collection(*NUCLEI, feature({"type": "Circle", "coordinates": [1, 2]})), r".*" + _FEATURE + ".+", stems=["a", "b"]),
    qupath("infinity", collection(*NUCLEI, feature(polygon([[0, 0], [float("inf"), 0], [9, 9], [0, 0]]))), r".*" + _FEATURE + "a coordinate is not finite", stems=["a", "b"]),
    qupath("far away", collection(*NUCLEI, feature(polygon(ring(0, 0, 1e9)))), r".*" + _FEATURE + "a coordinate lies beyond 10000000 px", stems=["a", "b"]),
    qupath("without an area", collection(*NUCLEI, feature(polygon([[0, 0], [9, 0], [0, 0], [0, 0]]))), r".*" + _FEATURE + "a Polygon without area", stems=["a", "b"]),
    qupath("a scribble", collection(*NUCLEI, feature(polygon([[(i * 7919) % 61, (i * 104729) % 47] for i in range(3000)]))), r".*" + _FEATURE + "a scribble of .+ points that crosses itself about .+ times", stems=["a", "b"]),
    qupath("features that are numbers", collection(*NUCLEI, 3), r".*" + _FEATURE + ".+", stems=["a", "b"]),
    qupath("nested coordinates", collection(*NUCLEI, feature({"type": "Polygon", "coordinates": json.loads("[" * 90 + "]" * 90)})), r".*" + _FEATURE + ".+", stems=["a", "b"]),
    *(qupath(f"{content[:14]!r}", content, r".*a\.geojson: expected a GeoJSON FeatureCollection of polygons, got (something else \(.+\)|an? [\w ]+); export it again\.") for content in ("", "{", "cat", '{"features": [', "{}", "3", "null", '"a"', "true", '{"features": 3}', '{"features": null}', '{"type": "FeatureCollection"}', "[" * 100_000, '{"a":' * 5000)),
    qupath("in UTF-16", collection(*NUCLEI).encode("utf-16"), _EXPECTED),
    qupath("packed and cut", lambda path: path.write_bytes(gzip.compress(collection(*NUCLEI).encode())[:60]), r".*a\.geojson\.gz: expected a GeoJSON .+ got something else \(.+\); .+", file="a.geojson.gz"),
    qupath("not packed but called so", lambda path: path.write_text(collection(*NUCLEI)), r".*a\.geojson\.gz: expected a GeoJSON .+", file="a.geojson.gz"),
    qupath("a bomb", lambda path: path.write_bytes(gzip.compress(b"[" + b" " * (70 * 2**20) + b"]", 9)), r".*a\.geojson\.gz: expected .+, got more than 64 MB of text in a packed file of 0\.1 MB; split it\.", file="a.geojson.gz"),
    qupath("only what is no nucleus", collection(feature(polygon(IMAGE), "Region*", "annotation")), r".*a\.geojson: expected nuclei, and none is left \(left out: 1 of class Region\*\); export the nuclei\."),
    imported("geojson_files", "qupath", "no image of its name", {"c.geojson": collection(*NUCLEI)}, GOOD, r".*c\.geojson: no image with the stem c; copy it beside the labels\.", good_areas=WHOLE),
]  # fmt: skip


def outlines(name: str, content: Any, refused: str = "", *, file: str = "a.json", pq: Any = 1.0, **rest: Any) -> Case:
    """Nuclei as another program's JSON, scored by `coseg evaluate`."""
    text = content if isinstance(content, str | bytes) or callable(content) else json.dumps(content)
    right = {} if refused else {"pq": pq}
    return replace(label(name, text, refused, file=file, role="pred", **rest, **right), door="geojson_files")


def _contour(row: int, column: int) -> list[list[int]]:
    """As OpenCV draws it, through the outermost pixels' middles."""
    return [[column, row], [column + SIDE - 1, row], [column + SIDE - 1, row + SIDE - 1], [column, row + SIDE - 1]]


def coco(**changes: Any) -> dict[str, Any]:
    annotations = [
        {"image_id": 7, "category_id": 1, "segmentation": [[v for point in ring(c, r)[:-1] for v in point]]}
        for r, c in CORNERS
    ]
    return {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "nucleus"}],
        "annotations": annotations,
        **changes,
    }


def labelme(**changes: Any) -> dict[str, Any]:
    shapes = [{"label": "nucleus", "points": ring(c, r)[:-1], "shape_type": "polygon", **changes} for r, c in CORNERS]
    return {"imagePath": "a.png", "shapes": shapes}


HOVERNET = {
    "mag": 40,
    "nuc": {str(i): {"contour": _contour(*corner), "type": 1} for i, corner in enumerate(CORNERS, 1)},
}
_ODD = r"a\.json: {} that is not as it should be \(.*\); export it again"

OTHERS = [
    outlines("GeoJSON of another place", collection(*(feature(polygon(ring(c + 5000, r))) for r, c in CORNERS)), _BESIDE, file="a.geojson"),
    outlines("GeoJSON as a prediction", collection(*NUCLEI), file="a.geojson"),
    outlines("GeoJSON called json", collection(*NUCLEI)),
    outlines("GeoJSON with a broken feature", collection(*NUCLEI, feature(None)), "got 1 features that are none .+; export it again", file="a.geojson"),
    outlines("HoVer-Net", HOVERNET),
    outlines("HoVer-Net without types", {"nuc": {"1": {"contour": _contour(*CORNERS[0])}}}, pq=near(0.5)),
    outlines("HoVer-Net, empty", {"nuc": {}}, pq=0.0),
    outlines("HoVer-Net, a nucleus that is a list", {"nuc": {"1": []}}, _ODD.format("HoVer-Net's JSON")),
    outlines("HoVer-Net, no contour", {"nuc": {"1": {"type": 1}}}, _ODD.format("HoVer-Net's JSON")),
    outlines("HoVer-Net, a contour of text", {"nuc": {"1": {"contour": [["a", "b"]]}}}, _ODD.format("HoVer-Net's JSON")),
    outlines("HoVer-Net, a contour of three numbers", {"nuc": {"1": {"contour": [1, 2, 3]}}}, _ODD.format("HoVer-Net's JSON")),
    outlines("HoVer-Net, far away", {"nuc": {"1": {"contour": [[0, 0], [1e12, 0], [0, 1e12]]}}}, _ODD.format("HoVer-Net's JSON")),
    outlines("HoVer-Net, a type that is text", {"nuc": {"1": {"contour": _contour(*CORNERS[0]), "type": "x"}}}, _ODD.format("HoVer-Net's JSON")),
    outlines("COCO", coco()),
    outlines("COCO of another size", coco(images=[{"id": 7, "file_name": "a.png", "height": 9, "width": 9}]), "its outlines are on an image of 9 x 9 pixels, and its image has 64 x 48; export them at the size of the image"),
    outlines("labelme of another size", labelme() | {"imageHeight": 9, "imageWidth": 9}, "its outlines are on an image of 9 x 9 pixels"),
    outlines("COCO of other images too", coco(images=[{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "c.png"}])),
    outlines("COCO of other images alone", coco(images=[{"id": 8, "file_name": "c.png"}, {"id": 9, "file_name": "d.png"}]), "COCO with 2 images, 0 of them called a"),
    outlines("COCO, run lengths", coco(annotations=[{"image_id": 7, "category_id": 1, "segmentation": {"counts": "x", "size": [1, 1]}}]), "COCO with 1 run-length mask that are not read; export the nuclei as polygons"),
    outlines("COCO, boxes", coco(annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}]), "COCO with 1 box without an outline that are not read"),
    outlines("COCO, annotations that are a number", coco(annotations=3), _ODD.format("COCO")),
    outlines("COCO, an image without an id", coco(images=[{"file_name": "a.png"}]), _ODD.format("COCO")),
    outlines("COCO, an odd number of coordinates", coco(annotations=[{"image_id": 7, "segmentation": [[1, 2, 3]]}]), _ODD.format("COCO")),
    outlines("labelme", labelme()),
    outlines("labelme, rectangles", {"imagePath": "a.png", "shapes": [{"label": "nucleus", "points": [[c, r], [c + SIDE, r + SIDE]], "shape_type": "rectangle"} for r, c in CORNERS]}),
    outlines("labelme, points", labelme(shape_type="point"), "expected polygons, got labelme with 3 point; draw polygons"),
    outlines("labelme, no points", {"imagePath": "a.png", "shapes": [{"label": "x"}]}, _ODD.format("labelme")),
    outlines("labelme, shapes that are null", {"imagePath": "a.png", "shapes": None}, _ODD.format("labelme")),
    outlines("a challenge's file", {"type": "Multiple polygons", "polygons": []}, r"got a grand-challenge file \(score it with `coseg puma score`\)"),
    outlines("CellViT's cells", {"cells": []}, r"got CellViT's cells\.json \(take its GeoJSON\)"),
    outlines("a document of the DSA", {"annotation": {"elements": []}}, "got a document of the Digital Slide Archive"),
    outlines("any object", {"what": 1, "ever": 2}, "got an object of what, ever; export it as one of them"),
    outlines("an empty object", {}, "got an object of nothing; export it as one of them"),
    outlines("a number", "3", "got a int; export it as one of them"),
    outlines("a list of numbers", [1, 2], "got a list of int; export it as one of them"),
    outlines("no JSON", "cat", r"expected nuclei as GeoJSON, HoVer-Net's JSON, COCO or labelme, got something else \(.+\); export it again"),
    outlines("deep", "[" * 100_000, r"expected nuclei as GeoJSON, .+ got something else"),
    outlines("no text", b"\xff\xfe\0\1\2", r"expected nuclei as GeoJSON, .+ got something else"),
    outlines("packed", lambda path: path.write_bytes(gzip.compress(json.dumps(HOVERNET).encode())), file="a.json.gz"),
]  # fmt: skip


def prepared(name: str, drawn: Any, code: int = 0, says: str = "", **right: Any) -> Case:
    """A region of PUMA's with odd nuclei, beside a good one."""
    good = collection(*(feature(s, {"name": "nuclei_tumor"}, "annotation") for s in SQUARES))
    files = (
        ("set/a.png", png(RGB)),
        ("set/b.png", png(RGB)),
        ("set/b_nuclei.geojson", good),
        ("set/a_nuclei.geojson", drawn),
    )

    def seen(folder: Path, result: Any) -> dict[str, Any]:
        report = json.loads((folder / "out" / "report.json").read_text())
        items = json.loads((folder / "out" / "datalist.json").read_text())["training"]
        return {**report, "stems": sorted(Path(i["image"]).stem for i in items)}

    return Case(
        "geojson_files", f"puma: {name}", write(*files), "puma prepare set out --workers 1", code, says, right, seen
    )


def _puma(*names: str) -> str:
    return collection(*(feature(s, {"name": n}, "annotation") for s, n in zip(SQUARES, names, strict=False)))


PUMA = [
    prepared("as published", _puma("nuclei_tumor", "nuclei_stroma", "nuclei_tumor"), stems=["a", "b"], regions=2, nuclei=lambda n: sum(n.values()) == 6, hidden=0),
    prepared("an unknown class", _puma("nuclei_tumor", "cat", "nuclei_tumor"), says="skipped: a: a_nuclei.geojson: unknown class 'cat'", stems=["a", "b"]),
    prepared("no class", collection(*NUCLEI), says="unknown class ''", stems=["a", "b"]),
    prepared("no nuclei", collection(), stems=["a", "b"]),
    *(prepared(f"{content[:12]!r}", content, 1, r"skipped: a: all of it: .+ expected a GeoJSON FeatureCollection of polygons, got (something else|an? [\w ]+).+", stems=["b"]) for content in ("", "{", "3", "{}", "[" * 100_000)),
    Case("geojson_files", "puma: an empty folder", write(("set/x.txt", "")), "puma prepare set out", 1, r"No NAME_nuclei\.geojson or NAME_tissue\.geojson below set; expected PUMA's folders\."),
    Case("geojson_files", "puma: two files for one place", write(("set/x/a_nuclei.geojson", collection()), ("set/y/a_nuclei.geojson", collection())), "puma prepare set out", 1, r".* are both the nuclei of a; keep one of them\."),
    *(Case("geojson_files", f"puma: {n} times as fine", write(("set/a.png", png(RGB)), ("set/a_nuclei.geojson", collection())), f"puma prepare set out --workers 1 --oversample {n}", 1, words) for n, words in ((2, r"Expected an odd number of label pixels per pixel of the image .+"), (0, r"Expected an odd number .+"), (999, r"Labels 999 times as fine as 1024 x 1024 pixels would have .+"))),
]  # fmt: skip

CASES = [*WELL, *BROKEN, *OTHERS, *PUMA]

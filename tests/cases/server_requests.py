"""The server's door: requests as Python takes them, before and behind MONAI Label's endpoints."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from colour_network import encode, gland_map, touching_pairs, write_bundle

from .case import Case
from .geojson_files import collection, feature, polygon, ring
from .image_files import RGB, png
from .labels import tif
from .stand_in import write

ROOT = Path(__file__).parents[2]
TRUTH = touching_pairs(120, 140)
IMAGE = encode(TRUTH, gland_map(120, 140))


@functools.cache
def _service() -> Any:
    from coseg_bundle.service.segmentation import SegmentationService
    from coseg_bundle.service.weights import WeightsFolder

    folder = Path(tempfile.mkdtemp())
    bundle = write_bundle(folder / "bundle", ROOT)
    return SegmentationService(bundle, WeightsFolder(folder / "weights", bundle / "models" / "model.pt"), "cpu")


def _asked(request: dict[str, Any]) -> Any:
    def ask(folder: Path) -> Any:
        from coseg_bundle.service.query import Query

        name = request.get("image", "a.png")
        given = {
            key: str(folder / value) if key == "label" and isinstance(value, str) else value
            for key, value in request.items()
        }
        return _service().segment(folder / name, Query.of(given))

    return ask


def answered(folder: Path, answer: Any) -> dict[str, Any]:
    """What is told."""
    return {"counts": answer.counts(), "box": answer.box, "mpp": answer.mpp}


def request(
    name: str,
    fields: dict[str, Any],
    refused: str = "",
    *,
    image: Any = None,
    beside: tuple[tuple[str, Any], ...] = (),
    **right: Any,
) -> Case:
    """A request for a region."""
    files = (("a.png", png(IMAGE) if image is None else image), *beside)
    return Case(
        "server_requests",
        f"infer: {name}",
        write(*files),
        _asked(fields),
        1 if refused else 0,
        refused,
        right,
        answered,
    )


_WHOLE = (0, 0, 140, 120)
_NUMBERS = r"Expected {} to be {}, got .+\."

INFER = [
    request("nothing asked", {}, box=_WHOLE, counts={"nucleus": int(TRUTH.max()), "gland": 1}),
    request("a size of 0", {"size": [0, 0]}, box=_WHOLE),
    request("floats", {"location": [10.0, 20.0], "size": [30.0, 40.0]}, box=(10, 20, 30, 40)),
    request("over the border", {"location": [-10, 100], "size": [50, 50]}, box=(0, 100, 40, 20)),
    request("null", {"location": None, "size": None, "level": None, "mpp": None, "format": None, "classes": None, "label": None, "correction": None}, box=_WHOLE),
    request("an mpp as text", {"mpp": "0.25"}, mpp=0.25),
    request("unknown fields", {"tile_size": [1, 1], "what": {"ever": []}}, box=_WHOLE),
    *(request(f"location {value!r}", {"location": value}, _NUMBERS.format("location", "2 whole numbers")) for value in ([1], [1, 2, 3], "cat", 3, [], ["a", "b"], [None, 1], {"x": 1}, [float("nan"), 0], [float("inf"), 0], "12")),
    *(request(f"size {value!r}", {"size": value}, r"Expected (size to be 2 whole numbers|a size of positive numbers .+), got .+\.") for value in ([1], [-5, 5], [0, 5], [5, 0], "ab", [1e400, 1], [[1], [2]])),
    *(request(f"level {value!r}", {"level": value}, r"(Expected (level to be 1 whole number|a level of 0 or more), got .+|The image has the levels 0 to 0, got level \d+)\.") for value in (-1, 1, 99, "a", [1, 2], float("inf"), [[]])),
    *(request(f"mpp {value!r}", {"mpp": value}, r"Expected mpp in microns per pixel, above 0, got .+\.") for value in (-1, "cat", float("nan"), float("inf"), [0.25], {"x": 1})),
    request("an mpp far off", {"mpp": 900}, r".*900.*out of range.*|.*resampled.*|.*mpp.*"),
    *(request(f"format {value!r}", {"format": value}, r"Unknown format .+: expected one of geojson, asap, dsa, json\.") for value in ("cat", 3, [1], "../x", True)),
    *(request(f"origin {value!r}", {"origin": value}, r"Unknown origin .+: expected bounds or canvas\.") for value in ("glass", 3, [1])),
    *(request(f"classes {value!r}", {"classes": value}, r"Unknown classes \[.+\]: expected some of \['gland', 'nucleus'\]\.|Expected classes .+") for value in ("cat", ["cat"], [3], 3, {"cat": 1}, True)),
    *(request(f"correction {value!r}", {"correction": value}, r"Expected correction to be a GeoJSON FeatureCollection, got \w+\.") for value in ([1], "a", 3, True)),
    request("a correction for a network without prompts", {"correction": {"type": "FeatureCollection", "features": []}}, r"The network that is served has no prompts, so that corrections cannot go into it\."),
    *(request(f"outside: {location}", {"location": location, "size": [30, 30]}, r"The region at .+ lies outside the image, which is \[140, 120\] px\.") for location in ([140, 0], [0, 120], [-30, 0], [10**12, 0], [-(10**12), 5])),
    request("an image that is not there", {"image": "gone.png"}, r"Image not found: gone\.png; upload it, or give the id of an image of the datastore\."),
    request("a folder", {"image": "."}, r"Image not found: .*; upload it, .+"),
    request("an image that is text", {}, r".*a\.png: not readable as an image \(.+\); .+", image="text"),
    request("an image that is empty", {}, r".*a\.png: the file is empty; .+", image=b""),
    request("an image of one pixel", {}, image=png(RGB[:1, :1]), box=(0, 0, 1, 1)),
]  # fmt: skip


def _named(value: Any) -> Any:
    def check(folder: Path) -> Any:
        from coseg_bundle.web.access import plain_name

        return plain_name(value, "image")

    return check


def _fields(value: Any) -> Any:
    def check(folder: Path) -> Any:
        from coseg_bundle.web.access import check_names

        return check_names(value)

    return check


def _nothing(folder: Path) -> None:
    pass


def _returned(folder: Path, result: Any) -> dict[str, Any]:
    return {"result": result}


_NAME = r"Expected \w+ to be a name of the datastore: 1 to 200 bytes, without a folder, no dot in front\."
NAMES = [
    *(Case("server_requests", f"name {value!r}", _nothing, _named(value), right={"result": value}, look=_returned) for value in ("a", "ein Bild", "a.b", "组织", "a" * 200, "-a", "it's", "50%")),
    *(Case("server_requests", f"name {value!r}"[:60], _nothing, _named(value), 1, _NAME) for value in ("", " a", "a ", ".", "..", ".lock", "../a", "a/b", "a\\b", "/etc/passwd", "C:a", "a\0b", "a\nb", "a\x7fb", "NUL", "con.png", "com1", "a*", "a?", "a|b", "<a>", '"a"', "é" * 101, "\ud800", 3, None, [], {})),
    *(Case("server_requests", f"fields {value!r}", _nothing, _fields(value), 1, words) for value, words in (({"image": "../a"}, _NAME), ({"params": {"image": "../a"}}, _NAME), ({"images": ["a", "../b"]}, _NAME), ({"images": "../a"}, _NAME), ({"label_tag": ""}, _NAME), ({"id": 3}, _NAME), ({"bundle_path": "x"}, r"A request cannot choose the bundle; .+"), ({"params": {"bundle_path": 1}}, r"A request cannot choose the bundle; .+"))),
    *(Case("server_requests", f"fields {value!r}", _nothing, _fields(value), right={"result": None}, look=_returned) for value in ({}, {"image": "a"}, {"images": "all"}, {"images": ["a", "b"]}, {"x": {"y": [1]}}, 3, None)),
]  # fmt: skip


def _refusal(host: str, origin: str | None = None, local: str = "127.0.0.1", **conf: str) -> Any:
    def check(folder: Path) -> Any:
        from coseg_bundle.web.access import Access

        return Access.of(conf).refusal(host, origin, local, "http")

    return check


def _token(**conf: str) -> Any:
    def check(folder: Path) -> Any:
        from coseg_bundle.web.access import Access

        return [Access.of(conf).knows(given) for given in ("", "correct-horse", "correct-horsf", "correct-horse ")]

    return check


def asked(name: str, check: Any, refused: bool) -> Case:
    """Who asks."""
    return Case(
        "server_requests",
        f"who: {name}",
        _nothing,
        check,
        right={"result": (lambda text: text is not None) if refused else (lambda text: text is None)},
        look=_returned,
    )


ACCESS = [
    *(asked(f"{host!r} {origin!r}", _refusal(host, origin), refused) for host, origin, refused in (("127.0.0.1:8000", None, False), ("localhost:8000", None, False), ("[::1]:8000", None, False), ("localhost:8000", "http://localhost:8000", False), ("example.org", None, True), ("", None, True), ("127.0.0.1.example.org", None, True), ("localhost@example.org", None, True), ("localhost/", None, True), ("[::1", None, True), ("a b", None, True), ("localhost:8000", "http://example.org", True), ("localhost:8000", "null", True), ("localhost:8000", "https://localhost:8000", True), ("localhost:8000", "", True))),
    asked("the loopback's name from outside", _refusal("localhost", None, "10.0.0.5"), True),
    asked("a name that is allowed", _refusal("slides.example.org:80", None, "10.0.0.5", allowed_hosts="slides.example.org"), False),
    asked("any name", _refusal("x.example.org", None, "10.0.0.5", allowed_hosts="*"), False),
    asked("a page that is allowed", _refusal("localhost", "https://viewer.example.org", allowed_origins="https://viewer.example.org/"), False),
    Case("server_requests", "who: a token", _nothing, _token(token="correct-horse"), right={"result": [False, True, False, False]}, look=_returned),
    Case("server_requests", "who: no token is needed", _nothing, _token(), right={"result": [True] * 4}, look=_returned),
    *(Case("server_requests", f"who: the token {token!r}", _nothing, _token(token=token), 1, r"Expected a token of 8 or more letters, digits, or any of \. _ ~ -; it goes into URLs\.") for token in ("", "short", "with blank", "with/slash", "ümläute-ü")),
]  # fmt: skip


def _trained(info: Any, label: str = "l.geojson") -> Any:
    def prepare(folder: Path) -> Any:
        from coseg_bundle.classes import ClassMap
        from coseg_bundle.service.training_data import Labelled, prepare

        classes = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
        return prepare([Labelled("a", folder / "a.png", folder / label, info)], folder / "out", *classes, 0.25)

    return prepare


def saved(name: str, content: Any, refused: str = "", *, info: Any = None, label: str = "l.geojson") -> Case:
    """A label that a client saved, made into training data."""
    right = {} if refused else {"result": lambda data: data.training >= 1}
    return Case(
        "server_requests",
        f"train: {name}",
        write(("a.png", png(IMAGE)), (label, content)),
        _trained(info or {}, label),
        1 if refused else 0,
        refused and rf"There is nothing to train on; a: {refused}",
        right,
        _returned,
    )


NUCLEUS = feature(polygon(ring(20, 20)), {"name": "nucleus"})
LABELS = [
    saved("a nucleus", collection(NUCLEUS)),
    saved("a region around it", collection(NUCLEUS, feature(polygon(ring(10, 10, 60)), {"name": "Region*"}, "annotation"))),
    saved("a region that the client gave", collection(NUCLEUS), info={"region": [0, 0, 64, 64]}),
    saved("an unknown class", collection(feature(polygon(ring(20, 20)), {"name": "cat"})), r"l\.geojson has unknown classes \['cat'\]; expected some of .+"),
    saved("nothing drawn", collection(), r"the label has no polygons\.?"),
    saved("drawn outside", collection(feature(polygon(ring(900, 900)), {"name": "nucleus"})), r"what was drawn lies outside the image\.?"),
    *(saved(f"{text[:10]!r}", text, r".*(l\.geojson: expected .+)\.?") for text in ("", "{", "3", "[" * 100_000)),
    *(saved(f"a region that is {value!r}", collection(NUCLEUS), r".+", info={"region": value}) for value in ([1], "cat", [1, 2, 3], [0, 0, "a", 4], [900, 900, 5, 5], [0, 0, 0, 0], [0, 0, float("nan"), 5])),
    saved("a map of tissue", tif(gland_map(120, 140)), label="l.tif"),
    saved("a map of nuclei", tif(TRUTH.astype("u2")), label="l.tif", info={"task": "nuclei"}),
    saved("a map of another size", tif(TRUTH[:50].astype("u2")), r"l\.tif has 140 x 50 px and its image 140 x 120; save the label at the size of the image\.", label="l.tif"),
    saved("a map of another task", tif(TRUTH.astype("u2")), r"l\.tif: expected task tissue or nuclei in the label's params, got 'cat'\.", label="l.tif", info={"task": "cat"}),
    saved("a map that is text", "cat", r".*l\.tif: not readable as a label map .+", label="l.tif"),
    saved("a document of the DSA", json.dumps({"annotation": {"elements": [{"type": "polyline", "points": [[*p, 0] for p in ring(20, 20)], "label": {"value": "nucleus"}}]}}), label="l.json"),
    saved("a document of the DSA without points", json.dumps({"elements": [{"type": "polyline"}]}), r".+", label="l.json"),
]  # fmt: skip

CASES = [*INFER, *NAMES, *ACCESS, *LABELS]

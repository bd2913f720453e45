"""The datalist's door: what `coseg datalist` makes of folders, and what is read of datalists that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .case import Case
from .image_files import RGB, png
from .labels import IDS, tif
from .stand_in import write

LABEL = tif(IDS.astype("u1"))
SET = (("set/images/a.png", png(RGB)), ("set/nuclei/a.tif", LABEL))


def look(folder: Path, result: Any) -> dict[str, Any]:
    """The items of the datalist that was written."""
    written = json.loads((folder / "out" / "list.json").read_text())
    items = [item for section in ("training", "validation") for item in written[section]]
    return {
        "images": sorted(item["image"] for item in items),
        "labels": sorted(item.get("instances", "") for item in items),
        "pairs": sorted(
            (item["image"].rsplit("../", 1)[-1], item.get("instances", "").rsplit("../", 1)[-1]) for item in items
        ),
        "number": len(items),
        "datasets": sorted(item.get("dataset", "") for item in items),
    }


def folder(name: str, *files: tuple[str, Any], options: str = "", code: int = 0, says: str = "", **right: Any) -> Case:
    """What is made of a folder."""
    return Case("datalists", name, write(*files), f"datalist set -o out/list.json {options}", code, says, right, look)


def _numbered(place: str, *names: str) -> list[tuple[str, Any]]:
    return [
        step
        for name in names
        for step in ((f"set/{place}images/{name}.png", png(RGB)), (f"set/{place}nuclei/{name}.tif", LABEL))
    ]


FOLDERS = [
    folder("one image and its label", *SET, number=1, pairs=[("set/images/a.png", "set/nuclei/a.tif")]),
    folder("what a Mac leaves", *SET, ("set/images/._a.png", b"\0\5"), ("set/nuclei/._a.tif", b"\0\5"), ("set/__MACOSX/images/._a.png", b"\0"), says="left out: 1 hidden", number=1),
    folder("the same stem in two folders", *_numbered("x/", "a"), *_numbered("y/", "a"), number=2, pairs=[("set/x/images/a.png", "set/x/nuclei/a.tif"), ("set/y/images/a.png", "set/y/nuclei/a.tif")], datasets=["x", "y"]),
    folder("folders of one name", *_numbered("p/x/", "a"), *_numbered("q/x/", "a"), number=2, datasets=["p/x", "q/x"]),
    folder("an image without a label", *SET, ("set/images/b.png", png(RGB)), says=r"1 images without a label: b\.png", number=1),
    folder("a label without an image", *SET, ("set/nuclei/b.tif", LABEL), says=r"1 labels without an image: b\.tif", number=1),
    folder("two images of one stem", *SET, ("set/images/b.png", png(RGB)), ("set/images/b.jpg", b"x"), ("set/nuclei/b.tif", LABEL), says="another image has its stem, and a label can be that of one; rename one of them", number=1),
    folder("two labels of one stem", *SET, ("set/nuclei/a.png", png(IDS.astype("u1"))), says="is the label of the same image; keep one of them", number=1),
    folder("GeoJSON among the label maps", *SET, ("set/nuclei/b.geojson", "{}"), says=r"1 files that are no label maps: b\.geojson; convert them with --layout labels", number=1),
    folder("results of coseg among the folders", *SET, ("set/run/images/a.png", png(RGB)), ("set/run/nuclei/a.tif", LABEL), ("set/run/summary.json", "{}"), ("set/run/instances.tif", b""), number=1),
    folder("a mask beside the images", *SET, ("set/images/a_mask.png", png(RGB)), number=1),
    folder("upper case suffixes", ("set/images/a.PNG", png(RGB)), ("set/nuclei/a.TIF", LABEL), number=1),
    folder("_inst behind the stem", ("set/images/a.png", png(RGB)), ("set/nuclei/a_inst.tif", LABEL), number=1, pairs=[("set/images/a.png", "set/nuclei/a_inst.tif")]),
    folder("a stem with dots", ("set/images/a.b.c.png", png(RGB)), ("set/nuclei/a.b.c.tif", LABEL), number=1),
    folder("nothing in it", ("set/x.txt", ""), code=1, says=r"No labelled image below .+; expected images/ beside nuclei, types, tissue with the same file stems\."),
    folder("images alone", ("set/images/a.png", png(RGB)), code=1, says=r"No labelled image below .+ 1 images without a label: a\.png\."),
    folder("labels alone", ("set/nuclei/a.tif", LABEL), ("set/images/x.txt", ""), code=1, says=r"No labelled image below .+ 1 labels without an image: a\.tif\."),
    Case("datalists", "no folder", write(("x", "")), "datalist gone -o out/list.json", 1, r".*gone is not a folder; expected one that holds images/ and label folders\."),
    Case("datalists", "a file in place of a folder", write(("set", "")), "datalist set -o out/list.json", 1, r".*set is not a folder; .+"),
    folder("a name to hold out that no image has", *SET, options="--holdout z", code=1, says=r"Names to hold out that no image has: z\."),
    folder("a data set that is not there", *SET, options="--datasets z", code=1, says=r".* has no sub-folder with images/ named z\."),
    *(folder(f"a share of {share}", *SET, options=f"--validation {share}", code=1, says=rf"Expected a validation share from 0 to below 1, got {share}\.") for share in ("1.0", "-0.5", "nan", "inf")),
    folder("a share that is no number", *SET, options="--validation half", code=2, says="invalid float value"),
    folder("another list that is not there", *SET, options="--also gone.json", code=1, says=r"Datalist not found: .*gone\.json; .+"),
    folder("another list with the same image", *SET, ("other.json", json.dumps({"training": [{"image": "set/images/a.png"}]})), options="--also other.json", code=1, says=r"other\.json: 1 images are listed already \(first: .+\); list each once\."),
    folder("one name of a class", *SET, options="--nuclei-classes nucleus", code=1, says=r".*(background|nuclei_classes).*"),
    folder("a name of a class twice", *SET, options="--nuclei-classes background x x", code=1, says=r".*x.*"),
    *(Case("datalists", f"layout {layout} of an empty folder", write(("set/x.txt", "")), f"datalist set --layout {layout} -o out/set", 1, rf"No {what} below set; check the folder and the layout\..*") for layout, what in (("monuseg", "Aperio XML files"), ("glas", r"NAME_anno\.bmp files"), ("consep", "MAT files"), ("lizard", "MAT files"), ("pannuke", r"masks\.npy beside images\.npy"), ("qupath", "GeoJSON files"), ("hovernet", "NPY files"), ("points", "CSV files of points in points/"), ("labels", r"label files \(.*\)"))),
    Case("datalists", "a layout without an output", write(*SET), "datalist set --layout qupath", 1, r"--layout qupath writes label maps: name a folder for them with --output\."),
    Case("datalists", "a layout that does not exist", write(*SET), "datalist set --layout x", 2, "invalid choice"),
]  # fmt: skip

FILES = (
    ("a.png", png(RGB)),
    ("b.png", png(RGB)),
    ("a.tif", LABEL),
    ("b.tif", LABEL),
    ("pred/a.tif", LABEL),
    ("pred/b.tif", LABEL),
)
GOOD = {"image": "b.png", "instances": "b.tif"}


def scored(folder: Path, result: Any) -> dict[str, Any]:
    """The report of an evaluation."""
    report = json.loads((folder / "out" / "report.json").read_text())
    return {"images": sorted(report["per_image"]), "pq": report["mean"]["nuclei_pq"]}


def text(name: str, content: Any, code: int = 1, says: str = "", **right: Any) -> Case:
    """A datalist as text or as what JSON makes of it, read by `coseg evaluate`."""
    written = content if isinstance(content, str | bytes) else json.dumps(content)
    return Case(
        "datalists",
        f"list: {name}",
        write(*FILES, ("list.json", written)),
        "evaluate --predictions pred --truth list.json -o out --no-plots",
        code,
        says,
        right,
        scored,
    )


def item(name: str, of_item: Any, says: str, code: int = 1, **right: Any) -> Case:
    """A datalist with one odd item and a good one."""
    return text(name, {"validation": [of_item, GOOD]}, code, says, **right)


_NO_JSON = r".*list\.json is not valid JSON \(.+\); expected lists training, validation, testing\."
_NO_ITEMS = r".*list\.json has no items under 'validation'; expected a list of \{'image': \.\.\., labels\}: write some there, .+"

LISTS = [
    text("a good one", {"validation": [GOOD]}, 0, images=["b"], pq=1.0),
    text("a byte order mark", b"\xef\xbb\xbf" + json.dumps({"validation": [GOOD]}).encode(), 0, images=["b"]),
    *(text(f"{content[:12]!r}", content, 1, _NO_JSON) for content in ("", "{", "[", "cat", "{'validation': []}", '{"validation": [}', "[" * 100_000)),
    *(text(f"{content!r}", content, 1, r".*list\.json: expected an object with lists training, validation, testing, got .+") for content in ("[]", "3", "null", '"a"', "true", "[[]]")),
    text("in UTF-16", json.dumps({"validation": [GOOD]}).encode("utf-16"), 1, _NO_JSON),
    text("{}", {}, 1, _NO_ITEMS),
    text("an empty section", {"validation": []}, 1, _NO_ITEMS),
    text("another section", {"training": [GOOD]}, 1, _NO_ITEMS),
    text("a section that is null", {"validation": None}, 1, _NO_ITEMS),
    *(text(f"a section that is {value!r}", {"validation": value}, 1, r".*list\.json: expected a list under 'validation', got .+") for value in (3, "a", {"image": "b.png"}, True)),
    *(item(f"an item that is {value!r}", value, r".*validation item 0: expected an object with a path under 'image', got .+") for value in (3, None, [], "a.png", {}, {"image": 3}, {"image": None}, {"image": ["a.png"]})),
    item("unknown keys", {"image": "a.png", "label": "a.tif"}, r".*validation item 0: unknown keys \['label'\]; expected image, instances, types, tissue, mpp, dataset\."),
    *(item(f"a label that is {value!r}", {"image": "a.png", "instances": value}, r".*validation item 0: expected the path of a file under 'instances', got .+; leave instances out where there is none\.") for value in ("", 3, ["a.tif"], {})),
    *(item(f"mpp {value!r}", {"image": "a.png", "instances": "a.tif", "mpp": value}, r".*validation item 0: expected microns per pixel above 0 under 'mpp', got .+") for value in (0, -1, "0.25", True, float("nan"), float("inf"), [0.25])),
    item("a data set that is a number", {"image": "a.png", "dataset": 3}, r".*validation item 0: expected a name under 'dataset', got 3\."),
    item("an image that is missing", {"image": "gone.png", "instances": "a.tif"}, r".*1 files of section 'validation' are missing \(first: .*gone\.png\); mend the paths, which are relative to the datalist\."),
    item("a label that is missing", {"image": "a.png", "instances": "gone.tif"}, r".*1 files of section 'validation' are missing \(first: .*gone\.tif\); .+"),
    item("a folder in place of a label", {"image": "a.png", "instances": "pred"}, r".*1 files of section 'validation' are missing \(first: .*pred\); .+"),
    item("a name too long", {"image": "x" * 300 + ".png"}, r".*(missing|File name too long).*"),
    item("a zero in a name", {"image": "a\0.png"}, r".*(null|missing).*"),
    item("the same image twice", GOOD, r".*b\.png is in the datalist twice; remove one of the two items\."),
    item("an image without labels", {"image": "a.png"}, "", 0, images=["a", "b"]),
    item("an image that is broken", {"image": "a.tif", "instances": "a.tif"}, "", 0, images=["a", "b"]),
    item("null for a label", {"image": "a.png", "instances": None}, "", 0, images=["a", "b"]),
    item("null for mpp", {"image": "a.png", "instances": "a.tif", "mpp": None}, "", 0, images=["a", "b"], pq=1.0),
    item("a path through its parent", {"image": "pred/../a.png", "instances": "pred/../a.tif"}, "", 0, images=["a", "b"], pq=1.0),
    *(Case("datalists", f"{command}: {content!r}", write(("list.json", content)), f"{command.split()[0]} {' '.join(command.split()[1:])} list.json{' -o out' if command == 'train' else ''}", 1, r".*list\.json(: expected| has no items| is not valid JSON|, training item 0: expected).+") for command in ("train", "puma split") for content in ("[]", "{", "3", '{"training": 3}', '{"training": [3]}')),
    Case("datalists", "train: class names that are a list", write(("a.png", png(RGB)), ("a.tif", LABEL), ("list.json", json.dumps({"training": [{"image": "a.png", "instances": "a.tif"}], "validation": [{"image": "a.png", "instances": "a.tif"}], "nuclei_classes": ["a"]}))), "puma split list.json -o out.json", 1, r'.*list\.json: expected nuclei_classes as \{"1": "tumour", \.\.\.\}, a name for each label id\.'),
    Case("datalists", "evaluate: predictions that are a file", write(*FILES, ("list.json", json.dumps({"validation": [GOOD]}))), "evaluate --predictions a.png --truth list.json -o out", 1, r"a\.png is no folder; give the folder of predictions\."),
    Case("datalists", "evaluate: no list", write(*FILES), "evaluate --predictions pred --truth gone.json -o out", 1, r"Datalist not found: .*gone\.json; `coseg datalist FOLDER` makes one\."),
]  # fmt: skip

CASES = [*FOLDERS, *LISTS]

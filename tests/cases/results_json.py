"""The door of JSON that results are read back from: summaries, reports, splits, submissions."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import Case, near
from .image_files import RGB, png, tiff
from .images import look as predicted
from .stand_in import write

ODD = ("", "{", "[]", "3", "null", '"a"', "{}", "[" * 100_000)


@functools.cache
def _finished() -> dict[str, bytes]:
    """Results of a slide, as files by name, made once."""
    from coseg_bundle.cli import main

    with tempfile.TemporaryDirectory() as name:
        tiff(RGB)(Path(name, "a.tif"))
        options = "--mpp 0.25 --tile-size 96 --halo 16 --workers 1".split()
        assert main(["slide", f"{name}/a.tif", "-o", f"{name}/out", *options]) == 0
        return {path.name: _content(path) for path in Path(name, "out", "a.tif").iterdir() if path.is_file()}


@functools.cache
def predicted_files() -> dict[str, bytes]:
    """Results of an image in `out/a.png`, as files by name, made once."""
    from coseg_bundle.cli import main

    with tempfile.TemporaryDirectory() as name:
        Path(name, "a.png").write_bytes(png(RGB))
        assert main(["predict", f"{name}/a.png", "-o", f"{name}/out", "--mpp", "0.25"]) == 0
        return {f"out/a.png/{path.name}": _content(path) for path in Path(name, "out", "a.png").iterdir()}


def _content(path: Path) -> bytes:
    """What is in a file; a summary as former versions wrote it, without sizes, so that changed files are looked into."""
    if path.name != "summary.json":
        return path.read_bytes()
    summary = json.loads(path.read_text())
    return json.dumps(summary | {"files": list(summary["files"])}).encode()


def _sized(name: str) -> Callable[[Path], None]:
    """Results of a slide, one file of which has another size than it had."""

    def make(folder: Path) -> None:
        results()(folder)
        summary = json.loads((folder / "out/s/summary.json").read_text())
        (folder / "out/s/summary.json").write_text(json.dumps(summary | {"files": {name: 9}}))

    return make


def results(**changes: Any) -> Callable[[Path], None]:
    """Results of a slide in `out/s`, with other content of some of the files; None removes one."""

    def make(folder: Path) -> None:
        files = {
            **_finished(),
            **{
                name.replace("_json", ".json").replace("_parquet", ".parquet").replace("_tif", ".tif"): v
                for name, v in changes.items()
            },
        }
        (folder / "out" / "s").mkdir(parents=True)
        for name, content in files.items():
            if content is not None:
                (folder / "out" / "s" / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def summary(**changes: Any) -> Callable[[Path], None]:
    """Results whose summary has other entries; `...` leaves one out."""

    def make(folder: Path) -> None:
        content = {**json.loads(_finished()["summary.json"]), **changes}
        content = {name: value for name, value in content.items() if value is not ...}
        results(summary_json=json.dumps(content))(folder)

    return make


def converted(folder: Path, result: Any) -> dict[str, Any]:
    """Which files of conversions there are."""
    return {"made": sorted(path.name for path in (folder / "out" / "s").iterdir() if path.suffix in (".dcm", ".zarr"))}


def convert(name: str, make: Callable[[Path], None], says: str) -> Case:
    """Results that are not converted."""
    return Case("results_json", f"convert: {name}", make, "convert out/s --to dicom", 1, says, {"made": []}, converted)


_BROKEN = r"out/s: .*summary\.json is broken \(.+\); make the results anew with coseg slide --overwrite\."
_NO_USE = r"out/s: .*summary\.json is broken \(no usable {}\); make the results anew with coseg slide --overwrite\."

CONVERT = [
    Case("results_json", "convert: finished results", results(), "convert out/s --to dicom", right={"made": ["nuclei.dcm", "tissue.dcm"]}, look=converted),
    *(convert(f"a summary of {text[:10]!r}", results(summary_json=text), _BROKEN) for text in ODD),
    *(convert(f"{key} is {value!r}", summary(**{key: value}), _NO_USE.format(key)) for key, value in (("slide", 3), ("slide", ...), ("mpp", 0), ("mpp", "0.25"), ("mpp", None), ("mpp", True), ("network_mpp", -1), ("tissue_map_mpp", ...), ("width_px", 0), ("width_px", 1.5), ("height_px", "9"), ("nuclei", -1), ("nuclei", "3"), ("nuclei_by_class", []), ("nuclei_by_class", {}), ("nuclei_by_class", {"nucleus": "x"}), ("nuclei_by_tissue", None), ("weights", 3), ("untrained", 3), ("untrained", None), ("untrained", [3]))),
    convert("another number of nuclei", summary(nuclei=7), r"out/s: .*nuclei\.parquet has 3 nuclei, and summary\.json says 7; .+"),
    convert("no summary", results(summary_json=None), r"out/s: no finished slide \(summary\.json is missing\); finish it with coseg slide --resume\."),
    convert("no table", results(nuclei_parquet=None), r"out/s: no finished slide \(nuclei\.parquet is missing\); .+"),
    convert("a table that is none", results(nuclei_parquet="x"), r"out/s: .*nuclei\.parquet is broken \(.+\); .+"),
    *(
        Case("results_json", f"{command}: a {name} of other results", _sized(name), f"{command} out/s{more}", 1, rf".*out/s/{name} was changed, or is of other results: expected the 9 bytes that summary\.json says, got \d+ bytes; put it back, or .+")
        for command, more, names in (("measure", "", ("nuclei.parquet", "tissue.ome.tif", "foreground.tif")), ("report", "", ("tissue.ome.tif",)), ("convert", " --to dicom", ("nuclei.parquet", "tissue.ome.tif")), ("view", " --export page", ("tissue.ome.tif", "tissue.geojson")))
        for name in names
    ),
    Case("results_json", "convert: no folder", write(("x", "")), "convert gone --to dicom", 1, r"gone: no finished slide \(summary\.json is missing\); .+"),
    Case("results_json", "convert: of predict", write(("a.png", png(RGB)), ("out/s/summary.json", '{"made_from": {"kind": "predict"}}')), "convert out/s --to dicom", 1, r"out/s holds results of coseg predict; give a folder that coseg slide wrote\."),
    Case("results_json", "convert: two folders and one slide", results(), "convert out/s out/s --to dicom --slide x.dcm", 1, r"--slide is for one folder of results, and --to dicom\."),
    Case("results_json", "convert: a slide that is no DICOM", lambda folder: (results()(folder), write(("x.dcm", "x"))(folder))[0], "convert out/s --to dicom --slide x.dcm", 1, r".*x\.dcm.*"),
]  # fmt: skip


def again(name: str, text: str | None, code: int, says: str, options: str = "--skip-existing", **right: Any) -> Case:
    """An image that was segmented, whose record then is another one."""

    def make(folder: Path) -> None:
        from coseg_bundle.cli import main

        write(("a.png", png(RGB)), ("good.png", png(RGB)))(folder)
        assert main("predict a.png -o out --mpp 0.25".split()) == 0
        if text is not None:
            (folder / "out" / "a.png" / "summary.json").write_text(text)

    return Case(
        "results_json",
        f"predict again: {name}",
        make,
        f"predict a.png good.png -o out --mpp 0.25 {options}",
        code,
        says,
        {"good": 3, **right},
        predicted,
    )


_ANEW = r"out/a\.png(/summary\.json is broken \(.+\); make the results anew with --overwrite, or remove the folder| holds finished results that do not say what they were made from; make them anew with --overwrite, or give another --output)\."
AGAIN = [
    again("the same", None, 0, "results are in out/a.png already"),
    *(again(f"a record of {text[:20]!r}", text, 1, _ANEW) for text in (*ODD, '{"made_from": []}', '{"made_from": {}}')),
    *(again(f"a record of {text[:20]!r}, overwritten", text, 0, "3 nuclei", "--skip-existing --overwrite", nuclei=3) for text in ("", "[]", "{}")),
    again("a record of [], without --skip-existing", "[]", 0, "3 nuclei", "", nuclei=3),
]  # fmt: skip


def report(**images: Any) -> str:
    """A report of `coseg evaluate`."""
    return json.dumps({"per_image": images})


REPORT = report(a={"nuclei_pq": 0.5}, b={"nuclei_pq": 0.25})


def compare(name: str, text: Any, says: str, code: int = 1) -> Case:
    """Two reports, the second one odd."""
    return Case(
        "results_json",
        f"compare: {name}",
        write(("a/report.json", REPORT), ("b/report.json", text)),
        "compare a b",
        code,
        says,
    )


_NO_REPORT = r"b/report\.json is no report of `coseg evaluate` \(.+\)\."
COMPARE = [
    compare("the same", REPORT, r"nuclei_pq +2 +0\.3750 +0\.3750 +\+0\.0000", 0),
    compare("half of the images", report(b={"nuclei_pq": 0.5}), r"nuclei_pq +1 +0\.2500 +0\.5000 +\+0\.2500", 0),
    compare("null is in no difference, and is said", report(a={"nuclei_pq": None}, b={"nuclei_pq": 0.5}), r"nuclei_pq +1\* +0\.2500(?s:.*)\* 1 images only in A, mean 0\.5000, in no number above: nuclei_pq\.", 0),
    *(compare(f"{text[:24]!r}", text, _NO_REPORT) for text in (*ODD, '{"per_image": 3}', '{"per_image": []}', '{"per_image": {"a": 3}}', '{"per_image": {"a": []}}')),
    *(compare(f"a score that is {value!r}", report(a={"nuclei_pq": value}), _NO_REPORT) for value in ("0.5", True, [0.5], {})),
    compare("a number of 400 digits", '{"per_image": {"a": {"nuclei_pq": 1' + "0" * 400 + "}}}", _NO_REPORT),
    *(compare(f"a score that is {value}", f'{{"per_image": {{"a": {{"nuclei_pq": {value}}}}}}}', r"b/report\.json holds scores that are no finite numbers \(1, first a: nuclei_pq\); expected null .+") for value in ("NaN", "Infinity", "1e999")),
    compare("other images", report(z={"nuclei_pq": 1}), r"a/report\.json and b/report\.json share no image; compare reports on the same datalist\."),
    compare("no images", report(), r"a/report\.json and b/report\.json share no image; .+"),
    Case("results_json", "compare: no report", write(("a/report.json", REPORT)), "compare a gone", 1, r"gone not found; `coseg evaluate` writes report\.json\."),
]  # fmt: skip

LIST = json.dumps({"training": [{"image": "a_primary.png"}, {"image": "b_metastatic.png"}]})
_SPLIT = r'Expected a split \{"train": \[\.\.\.\], "valid": \[\.\.\.\], "test": \[\.\.\.\]\} of lists of names\.'


def split(name: str, text: str, says: str, code: int = 1, **right: Any) -> Case:
    """A split of PUMA's by names."""

    def sections(folder: Path, result: Any) -> dict[str, Any]:
        content = json.loads((folder / "out" / "list.json").read_text())
        return {section: [Path(item["image"]).stem for item in content[section]] for section in content}

    return Case(
        "results_json",
        f"split: {name}",
        write(("list.json", LIST), ("names.json", text)),
        "puma split list.json --names names.json -o out/list.json",
        code,
        says,
        right,
        sections,
    )


SPLIT = [
    split("each name once", '{"train": ["a_primary"], "test": ["b_metastatic"]}', "training: 1, validation: 0, testing: 1", 0, training=["a_primary"], testing=["b_metastatic"], validation=[]),
    *(split(f"{text!r}", text, _SPLIT) for text in ("[]", "3", "null", '"a"', '{"train": 3}', '{"train": "a_primary"}', '{"train": {}}', '{"train": [3]}', '{"train": null}', '{"train": [["a"]]}')),
    split("{}", "{}", r"a_primary is in no part of the split; add it, or split by seed\."),
    split("another part", '{"training": []}', r"Expected a split with train, valid and test, got \['training'\]\."),
    split("a name twice", '{"train": ["a_primary"], "test": ["a_primary"]}', r"1 regions are in two parts of the split \(first: a_primary\); keep each once\."),
    split("a name is missing", '{"train": ["a_primary"]}', r"b_metastatic is in no part of the split; .+"),
    *(split(f"{text[:10]!r}", text, r"names\.json: expected a split .+, got something else \(.+\); export it again\.") for text in ("", "{", "cat", "[" * 100_000)),
]  # fmt: skip

NUCLEI = "melanoma-10-class-nuclei-segmentation.json"
MASK = "images/melanoma-tissue-mask-segmentation/a.tif"
POLYGON = {
    "name": "nuclei_tumor",
    "seed_point": [1, 1, 0.5],
    "path_points": [[0, 0, 0.5], [9, 0, 0.5], [9, 9, 0.5]],
    "sub_type": "",
    "groups": [],
    "probability": 0.5,
    "score": 0.5,
}


def submission(**changes: Any) -> str:
    """A submission's nuclei."""
    return json.dumps(
        {"type": "Multiple polygons", "polygons": [{**POLYGON, **changes}], "version": {"major": 1, "minor": 0}}
    )


def validate(name: str, text: str, says: str) -> Case:
    """A submission with a fault."""
    return Case("results_json", f"validate: {name}", write((f"s/{NUCLEI}", text)), "puma validate s", 1, says)


VALIDATE = [
    *(validate(f"{text[:10]!r}", text, rf"s/{NUCLEI}: .+") for text in ODD),
    validate("polygons that are null", '{"type": "Multiple polygons", "polygons": null, "version": {"major": 1, "minor": 0}}', rf"s/{NUCLEI}: .+"),
    validate("polygons that are numbers", '{"type": "Multiple polygons", "polygons": [3], "version": {"major": 1, "minor": 0}}', rf"s/{NUCLEI}: .+"),
    *(validate(f"{key} is {value!r}", submission(**{key: value}), rf"s/{NUCLEI}: .*{words}.*") for key, value, words in (("name", "cat", "cat"), ("name", 3, ""), ("name", [], ""), ("path_points", None, "points"), ("path_points", 3, "points"), ("path_points", [[0, 0]], "points"), ("path_points", [["a", 0, 0]] * 3, "points"), ("path_points", [[1e12, 0, 0]] * 3, "points"), ("seed_point", None, "points"), ("probability", 2, "probability"), ("probability", None, "probability"), ("score", "1", "score"), ("score", float("nan"), "score"))),
    Case("results_json", "validate: an empty folder", write(("s/x", "")), "puma validate s", 1, rf"s: expected one of .*{NUCLEI}, found 0\."),
    Case("results_json", "validate: a mask that is none", write((f"s/{MASK}", "x"), (f"s/{NUCLEI}", submission())), "puma validate s", 1, r"s/images/.+/a\.tif: not readable as a TIFF \(.+\)\."),
]  # fmt: skip


def score(name: str, text: str, code: int, says: str, **right: Any) -> Case:
    """A challenge's file as a prediction."""

    def scored(folder: Path, result: Any) -> dict[str, Any]:
        return {"f1": json.loads((folder / "out.json").read_text())["nuclei"]["summed_macro_f1"]}

    return Case(
        "results_json",
        f"score: {name}",
        write(("t/a.json", submission()), ("p/a.json", text)),
        "puma score --predictions p --truth t -o out.json",
        code,
        says,
        right,
        scored,
        ("out.json",),
    )


_CHALLENGE = (
    r"No file of t can be scored\. First: p/a\.json: expected a challenge file of polygons, got something else \(.*\)\."
)
SCORE = [
    score("the same", submission(), 0, "", f1=near(1.0)),
    score("another class", submission(name="nuclei_stroma"), 0, "", f1=0.0),
    score("no polygons", '{"polygons": []}', 0, "", f1=0.0),
    *(score(f"{text[:10]!r}", text, 1, _CHALLENGE) for text in (*ODD, '{"polygons": {}}') if text != "[]"),
    score("a list of no nuclei", "[]", 0, "", f1=0.0),
    *(score(f"{key} is {value!r}", submission(**{key: value}), 1, _CHALLENGE) for key, value in (("path_points", None), ("path_points", [["a", 0, 0]] * 3), ("path_points", [1, 2, 3]), ("score", None), ("score", "x"), ("score", []))),
    Case("results_json", "score: no truth", write(("t/x", ""), ("p/a.json", submission())), "puma score --predictions p --truth t -o out.json", 1, r"t: no nuclei \(JSON, GeoJSON\) and no tissue \(TIFF\) to score against\."),
    Case("results_json", "score: a prediction is missing", write(("t/a.json", submission()), ("p/x", "")), "puma score --predictions p --truth t -o out.json", 1, r"missing prediction: nuclei: a", writes=("out.json",)),
]  # fmt: skip


def measure_of_predicted(name: str, content: str, says: str, file: str = "nuclei.geojson") -> Case:
    """Results of an image with another file among them, measured."""

    def make(folder: Path) -> None:
        write(*{**predicted_files(), f"out/a.png/{file}": content}.items())(folder)

    return Case("results_json", f"measure: {name}", make, "measure out/a.png", 1, says)


MEASURE = [
    *(Case("results_json", f"measure: {file} is {text!r}", results(**{file: text}), "measure out/s", 1, rf".*out/s/{file.replace('_tif', '.tif')} is broken \(.+\); make the results anew with coseg slide --overwrite\.") for file in ("tissue.ome_tif", "foreground_tif") for text in ("", "no tiff", "II*\0")),
    *(measure_of_predicted(f"outlines {text!r}", text, r".*out/a\.png: nuclei\.csv and nuclei\.geojson do not fit \(.+\); run coseg predict again\.") for text in ("{}", "[]", "3", '{"features": 3}', '{"features": [{}]}')),
    measure_of_predicted("an empty table", "", r".*out/a\.png/nuclei\.csv has 0 nuclei, and summary\.json says 3; run coseg predict again\.", "nuclei.csv"),
]  # fmt: skip

CASES = [*MEASURE, *CONVERT, *AGAIN, *COMPARE, *SPLIT, *VALIDATE, *SCORE]

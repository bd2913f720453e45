import csv
import json
import re
import shutil
from pathlib import Path
from unicodedata import normalize

import nibabel
import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from coseg_bundle.classes import ClassMap
from coseg_bundle.cli import main
from coseg_bundle.data.datalist import load_datalist, write_datalist
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.evaluation.compare import compare, read_report
from coseg_bundle.evaluation.plots import write_plots
from coseg_bundle.evaluation.report import Report, check_report, evaluate, write_report
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.writers.folders import result_folders
from coseg_bundle.writers.geojson import nuclei_features, write_features

TISSUE, NUCLEI = ("background", "gland"), ("background", "a", "b")
TYPES = ClassMap(("background", "a"))


@pytest.fixture
def truth(tmp_path):
    """Two images of 20 x 30 with two nuclei of 25 px and a gland; the second image has nuclei only."""
    instances = np.zeros((20, 30), np.uint16)
    instances[2:7, 2:7], instances[10:15, 10:15] = 1, 2
    tissue = np.zeros((20, 30), np.uint8)
    tissue[:10] = 1
    items = []
    for name in ("one", "two"):
        Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"{name}_nuclei.tif", instances)
        items.append({"image": str(tmp_path / f"{name}.png"), "instances": str(tmp_path / f"{name}_nuclei.tif")})
    Image.fromarray(tissue).save(tmp_path / "tissue.png")
    items[0]["tissue"] = str(tmp_path / "tissue.png")
    write_datalist(tmp_path / "truth.json", {"validation": items})
    return load_datalist(tmp_path / "truth.json", "validation"), instances, tissue


def last(items, folder):
    *_, report = evaluate(items, folder, TISSUE, NUCLEI)
    return report


def assert_failed(items, folder, words):
    """The first image is listed with a sentence, the other one is scored."""
    report = last(items, folder)
    assert list(report.per_image) == ["two"]
    (sentence,) = report.failed
    assert re.search(f"^one: .*{words}", sentence)


def save(folder, name, array, kind):
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "npy":
        np.save(folder / f"{name}.npy", array)
    elif kind == "mat":
        scipy.io.savemat(folder / f"{name}.mat", {"inst_map": array, "inst_type": np.array([[1], [2]])})
    elif kind == "geojson":
        write_features(folder / f"{name}.geojson", nuclei_features(instance_table(array), TYPES, TYPES))
    else:
        tifffile.imwrite(folder / f"{name}.{kind}", array)


@pytest.mark.parametrize("kind", ["npy", "mat", "tif", "geojson"])
@pytest.mark.parametrize("place", ["nuclei/{}", "{}", "{}_inst", "{}/instances"])
def test_a_perfect_prediction_in_any_layout(truth, tmp_path, kind, place):
    items, instances, tissue = truth
    folder = tmp_path / "pred"
    for name in ("one", "two"):
        path = folder / place.format(name)
        save(path.parent, path.name, instances.astype(np.uint32), kind)
    save(folder / "tissue", "one", tissue, "tif")
    report = last(items, folder)
    assert report.missing == []
    assert report.extra == []
    for scores in (report.mean, report.pooled):
        assert scores["nuclei_pq"] == scores["nuclei_aji"] == scores["tissue_dice"] == scores["tissue_pq"] == 1
        assert scores["tissue_hd"] == 0
    assert "tissue_dice" not in report.per_image["two"]


def test_finer_truth_counts_at_the_size_of_the_image(truth, tmp_path):
    items, instances, tissue = truth
    save(tmp_path / "pred" / "nuclei", "one", instances, "tif")
    save(tmp_path / "pred" / "tissue", "one", tissue, "tif")
    save(tmp_path, "fine", np.kron(instances, np.ones((3, 3), np.uint16)), "tif")
    item = {**items[0], "instances": str(tmp_path / "fine.tif")}
    report = last([item], tmp_path / "pred")
    assert report.mean["nuclei_pq"] == report.mean["tissue_dice"] == 1
    assert write_plots(report, [item], tmp_path / "pred", tmp_path, TISSUE, NUCLEI)
    save(tmp_path, "wide", np.zeros((20, 60), np.uint16), "tif")
    with pytest.raises(ImageFileError, match=r"wide.tif has 60 x 20 pixels and its image .*one.png has 30 x 20"):
        last([{**item, "instances": str(tmp_path / "wide.tif")}], tmp_path / "pred")


@pytest.mark.parametrize("place", ["nuclei/{}", "{}", "{}_inst", "{}/instances", "{}_tissue", "tissue/{}"])
def test_extra_predictions_are_reported_wherever_they_lie(truth, tmp_path, place):
    items, instances, tissue = truth
    for name in ("one", "two", "three"):
        path = tmp_path / "pred" / place.format(name)
        save(path.parent, path.name, tissue if "tissue" in place else instances, "tif")
    assert last(items, tmp_path / "pred").extra == ["three"]


def test_means_and_pools_by_hand(truth, tmp_path):
    """One image is perfect, the other lacks one of its two nuclei; the tissue is not predicted at all."""
    items, instances, _ = truth
    save(tmp_path / "pred" / "nuclei", "one", instances, "tif")
    save(tmp_path / "pred" / "nuclei", "two", np.where(instances == 1, 1, 0), "tif")
    save(tmp_path / "pred" / "nuclei", "three", instances, "tif")
    report = last(items, tmp_path / "pred")
    assert report.missing == ["one: tissue"]
    assert report.extra == ["three"]
    assert report.per_image["two"]["nuclei_pq"] == pytest.approx(2 / 3)
    assert report.mean["nuclei_pq"] == pytest.approx((1 + 2 / 3) / 2)
    assert report.pooled["nuclei_pq"] == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert report.mean["tissue_dice"] == 0
    assert np.isnan(report.mean["tissue_hd"])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5), np.uint16), r"one.npy has shape \(5, 5\) and its image \(20, 30\)"),
        (np.full((20, 30), 0.5), "got fractions"),
        (np.full((20, 30), -3), "got -3 to -3"),
        (np.full((20, 30), -1), "negative"),
    ],
)
def test_bad_predictions(truth, tmp_path, array, words):
    save(tmp_path / "pred", "one", array, "npy")
    assert_failed(truth[0], tmp_path / "pred", words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not readable as a MAT file"),
        ({"other": np.zeros((20, 30))}, "inst_map is missing"),
        ({"inst_map": np.zeros((5, 5))}, r"shape \(5, 5\) and its image \(20, 30\)"),
        ({"inst_map": np.full((20, 30), 0.5)}, "fractions"),
        ({"inst_map": np.full((20, 30), -1)}, "ids from 0"),
    ],
)
def test_bad_mat(truth, tmp_path, content, words):
    (tmp_path / "pred").mkdir()
    path = tmp_path / "pred" / "one.mat"
    path.write_text("no MAT") if content is None else scipy.io.savemat(path, content)
    assert_failed(truth[0], tmp_path / "pred", f"one.mat.*{words}")


def test_a_mat_with_classes(truth, tmp_path):
    """Ids with gaps keep their classes, in rising order of the ids."""
    items, instances, _ = truth
    tifffile.imwrite(tmp_path / "types.tif", instances.astype(np.uint8))
    (tmp_path / "pred").mkdir()
    scipy.io.savemat(tmp_path / "pred" / "one.mat", {"inst_map": instances * 7, "inst_type": [[1], [2]]})
    report = last([{**items[0], "types": str(tmp_path / "types.tif")}], tmp_path / "pred")
    assert report.per_image["one"]["nuclei_pq_a"] == report.per_image["one"]["nuclei_pq_b"] == 1


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("place", ["{}_inst", "nuclei/{}", "{}/instances", "{}.png/instances"])
def test_predictions_that_a_mac_named(truth, tmp_path, place, forms):
    of_image, of_prediction = (normalize(form, "Färbung") for form in forms)
    image = shutil.copy(truth[0][0]["image"], tmp_path / f"{of_image}.png")
    file = tmp_path / "pred" / f"{place.format(of_prediction)}.tif"
    save(file.parent, file.stem, truth[1], "tif")
    report = last([{"image": str(image), "instances": truth[0][0]["instances"]}], tmp_path / "pred")
    assert report.per_image["Färbung"]["nuclei_pq"] == 1
    assert (report.missing, report.extra) == ([], [])


@pytest.mark.parametrize("place", ["{}", "nuclei/{}", "{}/instances", "{}.png/instances"])
@pytest.mark.parametrize("above", [[], ["x", "y"]])
def test_predictions_spelt_as_their_image(truth, tmp_path, place, above):
    """Neither composed nor decomposed, as Windows' Vietnamese keyboard types it; two of one stem are told apart."""
    typed = "b\u00ea\u0301u"
    items = []
    for folder in above or [""]:
        (tmp_path / folder).mkdir(exist_ok=True)
        image = shutil.copy(truth[0][0]["image"], tmp_path / folder / f"{typed}.png")
        items.append({"image": str(image), "instances": truth[0][0]["instances"]})
        file = tmp_path / "pred" / f"{place.format('_'.join([folder, typed] if above else [typed]))}.tif"
        save(file.parent, file.stem, truth[1], "tif")
    report = last(items, tmp_path / "pred")
    assert [row["nuclei_pq"] for row in report.per_image.values()] == [1] * len(items)
    assert (report.missing, report.extra) == ([], [])


@pytest.mark.parametrize("place", ["{}_inst.tif", "{}.png"])
def test_a_file_that_is_found_by_two_spellings_is_one(truth, tmp_path, place):
    """A Mac opens a file by either; here a link does."""
    composed, decomposed = (normalize(form, "F\u00e4rbung") for form in ("NFC", "NFD"))
    image = shutil.copy(truth[0][0]["image"], tmp_path / f"{composed}.png")
    pred = tmp_path / "pred"
    if place.endswith(".tif"):
        save(pred, place.format(composed).removesuffix(".tif"), truth[1], "tif")
    else:
        save(pred / place.format(composed), "instances", truth[1], "tif")
    (pred / place.format(decomposed)).symlink_to(pred / place.format(composed))
    report = last([{"image": str(image), "instances": truth[0][0]["instances"]}], pred)
    assert (report.per_image[composed]["nuclei_pq"], report.failed, report.extra) == (1, [], [])
    assert not [note for note in report.notes if "not read" in note]


@pytest.mark.parametrize("of_two", [0, 1])
def test_nuclei_of_type_0_count_in_no_class(truth, tmp_path, of_two):
    """A prediction that is right was blamed for them; with all nuclei of type 0, no class is scored."""
    items, instances, _ = truth
    tifffile.imwrite(tmp_path / "types.tif", np.array([0, 0, of_two], np.uint8)[instances])
    save(tmp_path / "pred", "one_inst", instances, "tif")
    save(tmp_path / "pred", "one_type", np.array([0, 1, 1], np.uint8)[instances], "tif")
    report = last([{**items[0], "types": str(tmp_path / "types.tif")}], tmp_path / "pred")
    assert report.per_image["one"]["nuclei_pq"] == 1
    assert report.per_image["one"]["nuclei_pq_a"] == pytest.approx(1 if of_two else np.nan, nan_ok=True)
    sentence = f"Classes of nuclei: {2 - of_two} nuclei of the labels have none, and count in no class."
    assert report.notes.count(sentence) == 1


def test_a_broken_table_of_nuclei(truth, tmp_path):
    save(tmp_path / "pred" / "one", "instances", truth[1], "tif")
    (tmp_path / "pred" / "one" / "nuclei.csv").write_text("instance_id,type\nx,a\n")
    assert_failed(truth[0], tmp_path / "pred", r"nuclei.csv: expected columns instance_id and type")


def test_a_broken_geojson_is_one_sentence(truth, tmp_path):
    (tmp_path / "pred").mkdir()
    (tmp_path / "pred" / "one.geojson").write_text('{"features": [{"geometry": null}]}')
    assert_failed(truth[0], tmp_path / "pred", r"one.geojson: .* it has no geometry")


@pytest.mark.parametrize("fill", [0, 1], ids=["empty", "full"])
def test_truth_that_is_empty_or_fills_the_image(tmp_path, fill):
    """Undefined scores are null in the report and leave the mean; what is perfect is 1."""
    instances = np.full((8, 8), fill, np.uint16)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    item = {"image": str(tmp_path / "a.png")}
    for key in ("instances", "tissue"):
        item[key] = str(tmp_path / f"{key}.tif")
        tifffile.imwrite(item[key], instances.astype(np.uint8))
    save(tmp_path / "pred" / "a", "instances", instances, "tif")
    save(tmp_path / "pred" / "a", "tissue", instances, "tif")
    report = last([item], tmp_path / "pred")
    expected = {"nuclei_pq": 1, "nuclei_aji": 1, "tissue_dice": 1, "tissue_pq": 1, "tissue_hd": 0}
    scores = {name: report.mean[name] for name in expected}
    assert scores == pytest.approx(expected if fill else dict.fromkeys(expected, float("nan")), nan_ok=True)
    write_report(report, tmp_path / "out", "t")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["mean"]["nuclei_pq"] == (1 if fill else None)
    assert ("| 100.00 |" in (tmp_path / "out" / "report.md").read_text()) == bool(fill)


def test_more_instances_than_16_bits_hold(tmp_path):
    many = np.arange(1, 300 * 300 + 1, dtype=np.uint32).reshape(300, 300)
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "truth.tif", many)
    save(tmp_path / "pred", "a", many, "tif")
    report = last([{"image": str(tmp_path / "a.png"), "instances": str(tmp_path / "truth.tif")}], tmp_path / "pred")
    assert report.pooled["nuclei_pq"] == 1


def test_the_same_image_twice(truth, tmp_path):
    with pytest.raises(ValueError, match=r"one.png is in the datalist twice; remove one of the two items"):
        last([truth[0][0], truth[0][0]], tmp_path)


def test_images_of_one_name_in_two_folders(truth, tmp_path):
    """Predictions are called with the folder in front, as `coseg datalist` does, or results say whose they are."""
    (first, _), instances, _ = truth
    items = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        image = tmp_path / folder / "a.png"
        image.write_bytes(Path(first["image"]).read_bytes())
        items.append({"image": str(image), "instances": first["instances"]})
    save(tmp_path / "named", "x_a", instances, "tif")
    save(tmp_path / "named", "y_a", np.roll(instances, 3, 1), "tif")
    for number, folder in enumerate(result_folders([Path(item["image"]) for item in items], tmp_path / "ours")):
        save(folder, "instances", np.roll(instances, 3 * number, 1), "tif")
        made_from = {"kind": "predict", "file": str(Path(items[number]["image"]).resolve())}
        (folder / "summary.json").write_text(json.dumps({"made_from": made_from}))
    for place in ("named", "ours"):
        report = last(items, tmp_path / place)
        assert list(report.per_image) == ["x_a", "y_a"]
        assert report.per_image["x_a"]["nuclei_pq"] == 1
        assert report.per_image["y_a"]["nuclei_pq"] < 0.5
        assert (report.missing, report.failed, report.extra) == ([], [], [])
        assert write_plots(report, items, tmp_path / place, tmp_path, TISSUE, NUCLEI)


def test_command(truth, tmp_path, bundle_root, capsys):
    _, instances, tissue = truth
    for name, shift in (("a", 0), ("b", 1)):
        for stem in ("one", "two"):
            save(tmp_path / name / stem, "instances", np.roll(instances, shift, 1).astype(np.uint32), "tif")
        save(tmp_path / name / "one", "tissue", tissue, "tif")
        arguments = ["--predictions", str(tmp_path / name), "--truth", str(tmp_path / "truth.json")]
        output = tmp_path / f"report_{name}"
        assert main(["evaluate", *arguments, "--output", str(output), "--bundle", str(bundle_root)]) == 0
    written = {path.name for path in output.iterdir()}
    assert {"report.json", "per_image.csv", "report.md", "scores.png", "worst_nuclei.png", "best_tissue.png"} <= written
    report = json.loads((output / "report.json").read_text())
    assert report["mean"]["nuclei_aji"] == pytest.approx(20 / 30)
    rows = list(csv.DictReader((output / "per_image.csv").open()))
    assert rows[1]["tissue_dice"] == ""
    text = (output / "report.md").read_text()
    assert "| | Dice | mIoU | HD | HD95 |" in text
    assert "| mean over images | 100.00 | 100.00 | 0.0 | 0.0 |" in text
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "report_a"), str(output)]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("nuclei_aji "))
    assert "-0.3333" in line
    assert "labels" not in said  # both know that they are the same


def test_compare_by_hand(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.random(40)
    for name, values in (("a", base), ("b", base + 0.1), ("c", base + rng.normal(0, 0.1, 40))):
        rows = {str(i): {"score": value, "odd": None} for i, value in enumerate(values)}
        (tmp_path / name).write_text(json.dumps({"per_image": rows}))
    a = read_report(tmp_path / "a")
    (better,) = compare(a, read_report(tmp_path / "b"))
    assert better.difference == pytest.approx(0.1)
    assert better.low == pytest.approx(0.1)
    assert better.p_value < 1e-6
    (noise,) = compare(a, read_report(tmp_path / "c"))
    assert noise.low < 0 < noise.high
    assert noise.p_value > 0.05
    (tmp_path / "d").write_text("{}")
    with pytest.raises(ValueError, match="is no report"):
        compare(a, read_report(tmp_path / "d"))
    (tmp_path / "e").write_text(json.dumps({"per_image": {"other": {}}}))
    with pytest.raises(ValueError, match="share no image"):
        compare(a, read_report(tmp_path / "e"))
    with pytest.raises(ValueError, match="not found"):
        compare(a, read_report(tmp_path / "f"))


def test_one_bad_label_does_not_stop_the_others(truth, tmp_path, capsys, bundle_root):
    items, instances, _ = truth
    for name in ("one", "two"):
        save(tmp_path / "pred", name, instances, "tif")
    tifffile.imwrite(tmp_path / "one_nuclei.tif", np.full((20, 30), 2**31, np.uint32))
    report = last(items, tmp_path / "pred")
    assert list(report.per_image) == ["two"]
    assert re.search("one: .*one_nuclei.tif: expected labels .* relabel the map", report.failed[0])
    arguments = ["--predictions", str(tmp_path / "pred"), "--truth", str(tmp_path / "truth.json"), "--no-plots"]
    output = tmp_path / "report"
    assert main(["evaluate", *arguments, "--output", str(output), "--bundle", str(bundle_root)]) == 1
    assert "## Not scored" in capsys.readouterr().out
    assert json.loads((output / "report.json").read_text())["failed"] == report.failed
    (tmp_path / "two.png").write_bytes(b"no image")
    with pytest.raises(ImageFileError, match=r"None of the 2 images can be scored. First: one: "):
        last(items, tmp_path / "pred")


def test_masks_are_scored_by_their_pieces_and_it_is_said(truth, tmp_path):
    items, instances, _ = truth
    save(tmp_path / "pred", "one", np.where(instances > 0, 255, 0).astype(np.uint8), "tif")
    tifffile.imwrite(tmp_path / "one_nuclei.tif", (instances > 0).astype(np.uint8))
    report = last([{key: items[0][key] for key in ("image", "instances")}], tmp_path / "pred")
    assert report.mean["nuclei_pq"] == 1
    assert sum("its 2 pieces" in note for note in report.notes) == 2


def test_ids_without_a_name_are_not_scored(truth, tmp_path):
    items, instances, tissue = truth
    save(tmp_path / "pred" / "nuclei", "two", instances, "tif")
    save(tmp_path / "pred" / "nuclei", "one", instances, "tif")
    save(tmp_path / "pred" / "tissue", "one", np.where(tissue == 1, 255, 0).astype(np.uint8), "tif")
    assert (
        "the prediction has the ids 255 for tissue, and names are given for 0 to 1"
        in last(items, tmp_path / "pred").failed[0]
    )
    save(tmp_path / "pred" / "tissue", "one", tissue, "tif")
    Image.fromarray(tissue * 7).save(tmp_path / "tissue.png")
    assert re.search(
        "the label .*tissue.png has the ids 7 for tissue.*--tissue-classes", last(items, tmp_path / "pred").failed[0]
    )
    Image.fromarray(tissue).save(tmp_path / "tissue.png")
    tifffile.imwrite(tmp_path / "types.tif", np.where(instances == 2, 5, instances).astype(np.uint8))
    typed = [{**items[0], "types": str(tmp_path / "types.tif")}, items[1]]
    assert re.search(
        "the label .*types.tif has the ids 5 for types.*--nuclei-classes", last(typed, tmp_path / "pred").failed[0]
    )


def test_classes_that_are_unknown_derived_or_missing(truth, tmp_path):
    items, instances, _ = truth
    tifffile.imwrite(tmp_path / "types.tif", (instances > 0).astype(np.uint8))
    typed = [{**items[0], "types": str(tmp_path / "types.tif")}]
    typed[0].pop("tissue")
    table = instance_table(instances.astype(np.int32))
    (tmp_path / "pred").mkdir()

    def scored(name):
        write_features(tmp_path / "pred" / "one.geojson", nuclei_features(table, ClassMap(("background", name)), TYPES))
        return last(typed, tmp_path / "pred")

    assert scored("a: Positive").per_image["one"]["nuclei_pq_a"] == 1
    report = scored("Neoplastic")
    assert report.per_image["one"]["nuclei_pq"] == 1
    assert "nuclei_pq_a" not in report.per_image["one"]
    assert re.search(
        "one: classes of nuclei: .*unknown classes Neoplastic, expected some of background, a, b", report.failed[0]
    )
    (tmp_path / "pred" / "one.geojson").unlink()
    save(tmp_path / "pred", "one", instances, "tif")
    assert last(typed, tmp_path / "pred").notes == ["one: classes of nuclei are not scored, the prediction has none"]
    *_, binary = evaluate(typed, tmp_path / "pred", TISSUE, ("background", "nucleus"))
    assert "the class names only one: none is scored" in binary.notes[0]


def typed_pair(truth, tmp_path):
    """Both images, of a nucleus `a` and a nucleus `b` each."""
    items, instances, _ = truth
    tifffile.imwrite(tmp_path / "types.tif", instances.astype(np.uint8))
    return [{**item, "types": str(tmp_path / "types.tif")} for item in items], instances


@pytest.mark.parametrize("second", ["no file", "no nucleus", "no nucleus, and a file of types", "an empty GeoJSON"])
def test_where_nothing_was_found_all_classes_were_missed(truth, tmp_path, second):
    """One image is perfect, on the other nothing was found: half of everything. Classes were perfect."""
    items, instances = typed_pair(truth, tmp_path)
    pred, nothing = tmp_path / "pred", np.zeros_like(instances)
    save(pred, "one_inst", instances, "tif")
    save(pred, "one_type", instances.astype(np.uint8), "tif")
    if second.startswith("no nucleus"):
        save(pred, "two_inst", nothing, "tif")
    if "types" in second:
        save(pred, "two_type", nothing.astype(np.uint8), "tif")
    if "GeoJSON" in second:
        save(pred, "two", nothing.astype(np.int32), "geojson")
    report = last(items, pred)
    names = ["nuclei_pq", "nuclei_mpq", "nuclei_pq_a", "nuclei_f1_b"]
    assert [report.mean[name] for name in names] == [0.5] * 4
    assert [report.pooled[name] for name in names] == pytest.approx([2 / 3] * 4)
    assert [report.per_image["two"][name] for name in names] == [0] * 4
    assert report.notes == []


@pytest.mark.parametrize("network", ["nothing said", "unknown classes", "untrained"])
def test_images_without_a_nucleus_do_not_score_classes_that_no_prediction_has(truth, tmp_path, network):
    """They would be all that classes are scored on, with 0."""
    items, instances = typed_pair(truth, tmp_path)
    pred = tmp_path / "pred"
    if network == "untrained":
        save(pred / "one.png", "instances", instances, "tif")
        save(pred / "one.png", "types", instances.astype(np.uint8), "tif")
        (pred / "one.png" / "summary.json").write_text(json.dumps({"untrained": ["types"]}))
    elif network == "nothing said":
        save(pred, "one_inst", instances, "tif")
    else:
        table = instance_table(instances.astype(np.int32))
        pred.mkdir()
        write_features(pred / "one.geojson", nuclei_features(table, ClassMap(("background", "Neoplastic")), TYPES))
    report = last(items, pred)
    assert report.mean["nuclei_pq"] == 0.5
    for scores in (report.mean, report.pooled, *report.per_image.values()):
        assert not [name for name in scores if name.startswith(("nuclei_pq_", "nuclei_f1_", "nuclei_mpq"))]


def test_predictions_beside_the_images(truth, tmp_path):
    """The image is no prediction of itself; hidden files are none; a file about all images is named."""
    items, instances, _ = truth
    for name in ("one", "two"):
        save(tmp_path, f"{name}_cp_masks", instances, "tif")
        (tmp_path / f"._{name}.tif").write_bytes(b"\0\5")
    items[0].pop("tissue")
    report = last(items, tmp_path)
    assert report.mean["nuclei_pq"] == 1
    assert not any(stem.startswith(".") for stem in report.extra)
    for path in tmp_path.glob("*_cp_masks.tif"):
        path.unlink()
    for path in tmp_path.glob("*_nuclei.tif"):
        items = [{**item, "instances": item["instances"].replace("_nuclei.tif", "_t.tif")} for item in items]
        path.rename(path.with_name(path.name.replace("_nuclei", "_t")))
    (tmp_path / "all.json").write_text(json.dumps({"images": [], "annotations": []}))
    report = last(items, tmp_path)
    assert report.missing == ["one: nuclei", "two: nuclei"]
    assert (
        "all.json is called as no image is; it holds COCO; save a file for each image, called as the image is"
        in report.notes
    )


def test_an_image_that_its_tag_turns_is_said(truth, tmp_path):
    items, instances, _ = truth
    save(tmp_path / "pred", "one", instances, "tif")
    exif = Image.Exif()
    exif[274] = 3
    Image.open(tmp_path / "one.png").save(tmp_path / "one.png", exif=exif)
    report = last([{key: items[0][key] for key in ("image", "instances")}], tmp_path / "pred")
    said = f"{tmp_path / 'one.png'}: turned as its orientation tag (3) says; labels of the unturned pixels do not fit"
    assert report.notes == [said]


@pytest.mark.parametrize("turned", ["nuclei", "tissue", "types"])
def test_a_prediction_that_lies_the_other_way_round(truth, tmp_path, turned):
    """All of it NIfTI, whose affines say how pixels lie."""
    (item, _), instances, tissue = truth
    affine = np.diag([-0.001, -0.001, 1, 1])
    nibabel.save(nibabel.Nifti1Image(np.zeros((30, 20, 1, 3), np.uint8), affine), tmp_path / "one.nii")
    item = {**item, "image": str(tmp_path / "one.nii"), "types": item["instances"]}
    maps = {"nuclei": instances, "types": instances, "tissue": tissue}

    def predict(kind, affine):
        (tmp_path / "pred" / kind).mkdir(parents=True, exist_ok=True)
        volume = nibabel.Nifti1Image(maps[kind].T[..., None].astype(np.uint8), affine)
        nibabel.save(volume, tmp_path / "pred" / kind / "one.nii")

    for kind in maps:
        predict(kind, affine)
    assert last([item], tmp_path / "pred").mean["nuclei_mpq"] == 1
    predict(turned, np.diag([0.001, 0.001, 1, 1]))
    with pytest.raises(ImageFileError, match=rf"{turned}/one\.nii: by its affine x and y lead to R and A"):
        last([item], tmp_path / "pred")


@pytest.mark.parametrize("name", ["tissue.tif", "nuclei.csv"])
def test_a_prediction_of_other_results_is_listed(truth, tmp_path, name):
    """A folder of `coseg predict` says how large its files are."""
    items, instances, tissue = truth
    for item in ("one", "two"):
        folder = tmp_path / "predicted" / f"{item}.png"
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / "instances.tif", instances)
        tifffile.imwrite(folder / "tissue.tif", tissue)
        (folder / "nuclei.csv").write_text("instance_id,type\n1,a\n2,b\n")
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        (folder / "summary.json").write_text(json.dumps({"image": f"{item}.png", "files": sizes}))
    assert last(items, tmp_path / "predicted").failed == []
    with (tmp_path / "predicted" / "one.png" / name).open("a") as file:
        file.write("\n")
    assert_failed(items, tmp_path / "predicted", rf"{name} was changed, or is of other results: expected the \d+ bytes")


NETWORK = ["empty", "gland", "other_tissue"]


def written_by_predict(truth, folder, classes):
    """The true nuclei, and tissue that is gland where it is and `other_tissue` elsewhere, or the second class there."""
    items, instances, tissue = truth
    results = folder / "one.png"
    results.mkdir(parents=True)
    tifffile.imwrite(results / "instances.tif", instances)
    tifffile.imwrite(results / "tissue.tif", np.where(tissue == 1, 1, len(classes) - 1).astype(np.uint8))
    made_from = {"kind": "predict", "file": items[0]["image"], "tissue_classes": classes}
    (results / "summary.json").write_text(json.dumps({"image": items[0]["image"], "made_from": made_from}))
    return items[:1]


def test_tissue_of_predict_is_told_by_the_names_that_it_wrote_down(truth, tmp_path):
    items = written_by_predict(truth, tmp_path / "pred", NETWORK)
    *_, report = evaluate(items, tmp_path / "pred", TISSUE, NUCLEI, tissue_by_name=True)
    assert report.mean["tissue_dice_gland"] == report.mean["tissue_dice"] == 1
    classes = ["background", "other_tissue", "Gland"]  # another order, and another spelling
    Image.fromarray(np.where(truth[2] == 1, 2, 1).astype(np.uint8)).save(items[0]["tissue"])
    *_, report = evaluate(items, tmp_path / "pred", classes, NUCLEI, tissue_by_name=True)
    assert (report.mean["tissue_dice_Gland"], report.mean["tissue_dice_other_tissue"]) == (1, 1)


def test_tissue_of_other_classes_is_not_scored(truth, tmp_path):
    items = written_by_predict(truth, tmp_path / "pred", NETWORK)
    *_, report = evaluate(items, tmp_path / "pred", ("background", "tumour"), NUCLEI, tissue_by_name=True)
    [sentence] = report.failed
    assert "it has the classes empty, gland, other_tissue, and the labels background, tumour" in sentence
    assert not [name for name in report.mean if name.startswith("tissue")]
    assert report.mean["nuclei_pq"] == 1


def test_masks_of_0_and_255_say_nothing_of_a_class(truth, tmp_path):
    items = written_by_predict(truth, tmp_path / "pred", ["background", "gland"])
    Image.fromarray(truth[2] * 255).save(items[0]["tissue"])
    *_, report = evaluate(items, tmp_path / "pred", TISSUE, NUCLEI)
    [note] = report.notes
    assert note.startswith("Tissue: no label has anything but 0 and 255, which means unlabelled; save masks as 0 and")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            ["background", "b", "a"],
            "names the nuclei_classes background, a, b, and the command background, b, a: leave",
        ),
        (["background", "a", "b"], None),
        (["background", "A", "B"], None),
        (["background", "nucleus"], None),
    ],
)
def test_names_that_contradict_the_datalist_are_refused(truth, tmp_path, capsys, bundle_root, option, words):
    items = written_by_predict(truth, tmp_path / "pred", ["background", "gland"])
    write_datalist(tmp_path / "list.json", {"validation": items}, {"nuclei_classes": {"1": "a", "2": "b"}})
    command = ["evaluate", str(tmp_path / "list.json"), "--predictions", str(tmp_path / "pred"), "--no-plots"]
    command += ["--output", str(tmp_path / "report"), "--bundle", str(bundle_root), "--nuclei-classes", *option]
    code = main(command)
    said = capsys.readouterr()
    assert (code == 0) == (words is None)
    assert words is None or words in said.err
    assert words or "the datalist names no classes of tissue: ids count as 0 empty, 1 gland" in said.out


def test_ids_that_no_name_has_are_not_filled_in(truth, tmp_path):
    items = written_by_predict(truth, tmp_path / "pred", NETWORK)
    tissue = tifffile.imread(tmp_path / "pred" / "one.png" / "tissue.tif")
    tissue[-1, -1] = 7
    tifffile.imwrite(tmp_path / "pred" / "one.png" / "tissue.tif", tissue)
    with pytest.raises(ImageFileError, match="the prediction has the ids 7 for tissue"):
        last_by_name(items, tmp_path / "pred", TISSUE)


def test_background_and_empty_are_not_told_apart(truth, tmp_path):
    items = written_by_predict(truth, tmp_path / "pred", NETWORK)
    report = last_by_name(items, tmp_path / "pred", ("background", *NETWORK))
    assert "it has the classes empty, gland, other_tissue" in report.failed[0]


def last_by_name(items, folder, classes):
    *_, report = evaluate(items, folder, classes, NUCLEI, tissue_by_name=True)
    return report


@pytest.mark.parametrize(
    ("network", "scored"), [(["background", "A", "b", "spindle"], True), (["background", "A", "spindle"], False)]
)
def test_nuclei_of_predict_whose_labels_know_fewer_classes(truth, tmp_path, network, scored):
    items, instances, _ = truth
    results = tmp_path / "pred" / "one.png"
    results.mkdir(parents=True)
    tifffile.imwrite(results / "instances.tif", instances)
    (results / "nuclei.csv").write_text("instance_id,type\n1,A\n2,spindle\n")
    tifffile.imwrite(tmp_path / "types.tif", np.where(instances > 0, 1, 0).astype(np.uint8))
    made_from = {"kind": "predict", "file": items[0]["image"], "nuclei_classes": network}
    (results / "summary.json").write_text(json.dumps({"image": items[0]["image"], "made_from": made_from}))
    item = {key: items[0][key] for key in ("image", "instances")} | {"types": str(tmp_path / "types.tif")}
    *_, report = evaluate([item], tmp_path / "pred", TISSUE, NUCLEI)
    if scored:
        assert report.mean["nuclei_f1_a"] == pytest.approx(2 / 3)  # one right, one missed
        [note] = report.notes
        assert "the labels have no spindle, so that counts as none of their classes" in note
    else:
        assert "unknown classes spindle, expected some of background, a, b" in report.failed[0]


def test_distances_of_images_of_two_resolutions_are_said(truth, tmp_path):
    items, _, tissue = truth
    for name in ("one", "two"):
        save(tmp_path / "pred" / "tissue", name, tissue, "tif")
    items = [
        {"image": item["image"], "tissue": items[0]["tissue"], "mpp": mpp}
        for item, mpp in zip(items, (0.25, 0.5), strict=True)
    ]
    [note] = last(items, tmp_path / "pred").notes
    assert note.startswith("Tissue: the images' pixels are 0.25 to 0.5 um, so distances (HD, HD95) in pixels mean")


@pytest.mark.parametrize("name", ["report.json", "per_image.csv", "report.md", "scores.png", "worst_nuclei.png"])
def test_files_of_others_are_no_report(name, tmp_path, capsys):
    """They were replaced."""
    path = tmp_path / "out" / name
    path.parent.mkdir()
    path.write_text("[]")
    with pytest.raises(ValueError, match=f"{name} was not written by coseg evaluate, which writes a file of that name"):
        write_report(Report(), path.parent, "Scores")
    assert main(["evaluate", "gone.json", "--predictions", "gone", "--output", str(path.parent)]) == 1
    assert "was not written by coseg evaluate" in capsys.readouterr().err
    assert [item.read_text() for item in path.parent.iterdir()] == ["[]"]


def test_a_report_has_no_pictures_of_the_one_before(truth, tmp_path, bundle_root):
    """With --no-plots they stayed beside other scores, and where a network was scored."""
    _, instances, tissue = truth
    for stem in ("one", "two"):
        save(tmp_path / "pred" / stem, "instances", instances.astype(np.uint32), "tif")
    save(tmp_path / "pred" / "one", "tissue", tissue, "tif")
    output = tmp_path / "report"
    arguments = ["--predictions", str(tmp_path / "pred"), "--output", str(output), "--bundle", str(bundle_root)]
    assert main(["evaluate", str(tmp_path / "truth.json"), *arguments]) == 0
    names = {"scores.png", "worst_nuclei.png", "best_nuclei.png", "worst_tissue.png", "best_tissue.png"}
    assert {file.name for file in output.glob("*.png")} == names
    assert main(["evaluate", str(tmp_path / "truth.json"), *arguments, "--no-plots"]) == 0
    assert list(output.glob("*.png")) == []


def test_a_report_is_written_anew(tmp_path):
    write_report(Report(), tmp_path, "First")
    check_report(tmp_path)
    write_report(Report(), tmp_path, "Second")
    assert (tmp_path / "report.md").read_text().startswith("# Second")

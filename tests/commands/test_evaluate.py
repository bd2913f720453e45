import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from coseg_bundle.cli import main
from coseg_bundle.data.datalist import load_datalist, write_datalist
from coseg_bundle.data.synthetic import write_dataset
from coseg_bundle.inferers import two_scales
from coseg_bundle.networks import About, HeadLayout, save_released


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, count=2, size=96, seed=3)
    return folder / "datalist.json"


@pytest.fixture(scope="module")
def weights(make_network, tmp_path_factory):
    """A fresh network of other classes than the bundle's, which nobody taught tissue."""
    network = make_network(HeadLayout(3, 2), subpixel=2).eval()
    said = {"tissue_classes": ("x", "y", "z"), "nuclei_classes": ("background", "round", "spindle"), "mpp": 0.25}
    path = tmp_path_factory.mktemp("weights") / "mine.pt"
    save_released(network, path, About.of(network, **said, untrained=("tissue",)).to_tensor())
    return path


def test_a_network_of_other_classes(datalist, weights, tmp_path, capsys):
    arguments = [str(datalist), "--weights", str(weights), "--output", str(tmp_path / "scores"), "--device", "cpu"]
    assert main(["evaluate", *arguments]) == 0
    said = capsys.readouterr().out
    assert "monai.bundle run evaluating --config_file" in said
    assert "Tissue: not scored, the weights were trained without labels for it." in said
    report = json.loads((tmp_path / "scores" / "report.json").read_text())
    assert "tissue_dice" not in report["mean"]
    assert "nuclei_pq" in report["mean"]


def test_reports_say_which_labels_they_are_of(datalist, weights, tmp_path):
    """Those that were scored, alike for weights and for files, until a label is corrected."""
    (image,) = load_datalist(datalist, "validation")
    name = Path(image["image"]).stem
    given = {"weights": ["--weights", str(weights), "--device", "cpu"], "files": ["--predictions", str(tmp_path)]}

    def labels(way):
        main(["evaluate", str(tmp_path / "datalist.json"), *given[way], "--output", str(tmp_path / "scores" / way)])
        return json.loads((tmp_path / "scores" / way / "report.json").read_text())["labels"][name]

    label = tmp_path / "label.tif"
    label.write_bytes(Path(image["instances"]).read_bytes())
    write_datalist(tmp_path / "datalist.json", {"validation": [image | {"instances": str(label)}]})
    before = labels("files")
    assert labels("weights") == {kind: before[kind] for kind in before if kind != "tissue"}  # which nobody taught them
    tifffile.imwrite(label, np.fliplr(tifffile.imread(label)))
    after = labels("files")
    assert after["instances"] != before["instances"]
    assert after["tissue"] == before["tissue"]


def test_glands_count_more_from_afar_where_the_datalist_gives_the_resolution(
    datalist, bundle_root, tmp_path, monkeypatch
):
    """As `coseg predict --mpp` has them."""
    content = json.loads(datalist.read_text())
    items = [
        {key: str(datalist.parent / item[key]) for key in ("image", "instances")}
        for item in content["training"] + content["validation"]
    ][:2]
    items[1]["mpp"] = 0.25
    (tmp_path / "datalist.json").write_text(json.dumps({"validation": items}))
    counted = []

    def recorded(pred, far, layout, weight):
        counted.append(weight)
        return pred

    monkeypatch.setattr(two_scales, "with_tissue_from_afar", recorded)
    monkeypatch.setattr(two_scales, "nuclei_width", lambda *_: 16.0)  # of the one without
    given = ["--weights", str(bundle_root / "models" / "model.pt"), "--output", str(tmp_path), "--device", "cpu"]
    assert main(["evaluate", str(tmp_path / "datalist.json"), *given]) == 0
    assert counted == [pytest.approx(1), 3]


def test_one_broken_image_does_not_stop_the_others(datalist, weights, tmp_path, capsys):
    items = json.loads(datalist.read_text())["training"][:1]
    items = [{key: str(datalist.parent / item[key]) for key in ("image", "instances")} for item in items]
    whole = Path(items[0]["image"]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    items += [{**items[0], "image": str(tmp_path / "cut.png")}]
    (tmp_path / "datalist.json").write_text(json.dumps({"validation": items}))
    given = ["--weights", str(weights), "--output", str(tmp_path / "scores"), "--device", "cpu"]
    assert main(["evaluate", str(tmp_path / "datalist.json"), *given]) == 1
    report = json.loads((tmp_path / "scores" / "report.json").read_text())
    assert len(report["per_image"]) == 1
    [sentence] = report["failed"]
    assert "cut.png" in sentence
    assert sentence in capsys.readouterr().out


def test_names_by_id_of_predictions(datalist, tmp_path, capsys):
    """A name is that of its id, as in `coseg train`: none of the classes moves to another's place."""
    given = ["--predictions", str(datalist.parent), "--output", str(tmp_path / "scores"), "--no-plots"]  # the labels
    assert main(["evaluate", str(datalist), *given, "--nuclei-classes", "2=spindle", "1=round"]) == 0
    scores = json.loads((tmp_path / "scores" / "report.json").read_text())["mean"]
    assert {name for name in scores if "nuclei_f1_" in name} == {"nuclei_f1_round", "nuclei_f1_spindle"}
    assert main(["evaluate", str(datalist), *given, "--nuclei-classes", "round", "spindle"]) == 1
    assert "must be background" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "WEIGHTS"], "Expected one DATALIST"),
        (["DATALIST", "--truth", "DATALIST", "--weights", "WEIGHTS"], "Expected one DATALIST"),
        (["DATALIST", "--weights", "WEIGHTS", "--no-plots"], "--no-plots: only for --predictions."),
        (["DATALIST", "--predictions", ".", "--device", "cpu"], "--device: only for --weights."),
        (["DATALIST", "--weights", "none.pt"], "none.pt"),
        (["DATALIST", "--weights", "model.onnx"], "model.onnx: an ONNX file cannot be scored; give the model.pt"),
        (["DATALIST", "--predictions", "nowhere"], "nowhere is no folder; give the folder of predictions."),
    ],
)
def test_wrong_arguments(datalist, weights, tmp_path, capsys, arguments, message):
    named = {"DATALIST": str(datalist), "WEIGHTS": str(weights)}
    given = [named.get(argument, argument) for argument in arguments]
    assert main(["evaluate", *given, "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
from full_disk import file_size_limit
from monai.bundle import ConfigParser
from PIL import Image

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.cli import main
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.networks import About, save_released
from coseg_bundle.precision import resolve


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that fit the configuration; what they find is of no interest."""
    parser = ConfigParser()
    parser.read_config(find_bundle_root() / "configs" / "inference.yaml")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    network = parser.get_parsed_content("network_def")
    classes = {name: tuple(parser.get_parsed_content(name)) for name in ("tissue_classes", "nuclei_classes")}
    save_released(network, path, About.of(network, mpp=0.25, **classes).to_tensor())
    return path


def test_generate_then_datalist(tmp_path, capsys):
    assert main(["generate", str(tmp_path / "set"), "--count", "4", "--size", "32"]) == 0
    assert len(load_datalist(tmp_path / "set" / "datalist.json", "training")) == 3
    assert (
        main(["datalist", str(tmp_path / "set"), "--output", str(tmp_path / "list.json"), "--validation", "0.5"]) == 0
    )
    assert "training: 2 images (2 with instances" in capsys.readouterr().out
    assert len(load_datalist(tmp_path / "list.json", "validation")) == 2


@pytest.mark.parametrize("option", ["--count", "--size"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_generate_nothing(option, number, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", str(tmp_path / "set"), option, number])
    assert f"expected a whole number above 0, got '{number}'" in capsys.readouterr().err


def test_predict(weights, bundle_root, tmp_path, capsys):
    Image.fromarray(np.full((50, 70, 3), 220, np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no image")
    common = [
        "--output",
        str(tmp_path / "out"),
        "--weights",
        str(weights),
        "--bundle",
        str(bundle_root),
        "--device",
        "cpu",
    ]
    assert main(["predict", str(tmp_path), *common]) == 1
    out, err = capsys.readouterr()
    assert "good.png" in out
    assert "nuclei ->" in out
    assert "1 of 2 images failed" in err
    assert "bad.png: not readable as an image" in err
    summary = json.loads((tmp_path / "out" / "good.png" / "summary.json").read_text())
    assert (summary["width_px"], summary["height_px"], summary["mpp_source"]) == (70, 50, "unknown")
    assert summary["precision"] == asdict(resolve("auto", "cpu"))
    assert main(["predict", str(tmp_path / "good.png"), *common, "--skip-existing"]) == 0
    assert "already" in capsys.readouterr().out
    for precision in ("fp32", "bf16"):
        assert main(["predict", str(tmp_path / "good.png"), *common, "--precision", precision]) == 0
        summary = json.loads((tmp_path / "out" / "good.png" / "summary.json").read_text())
        assert summary["precision"] == {"name": precision, "reason": "asked for"}
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "good.png"), *common, "--precision", "fp16"]) == 1
    assert capsys.readouterr().err == "coseg: Expected precision auto, fp32 or bf16 for cpu, got fp16.\n"


def test_slide_precision(weights, bundle_root, tmp_path, capsys):
    """The plan's, which the configuration gives where the command says nothing; none that the device has not got."""
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_root / "configs", bundle / "configs")
    config = bundle / "configs" / "inference.yaml"
    config.write_text(config.read_text().replace("precision: auto", "precision: bf16"))
    Image.fromarray(np.full((60, 60, 3), (200, 120, 160), np.uint8)).save(tmp_path / "a.png")
    common = ["slide", str(tmp_path / "a.png"), "--mpp", "0.25", "--workers", "1", "--weights", str(weights)]
    common += ["--tile-size", "96", "--halo", "16", "--device", "cpu", "--bundle", str(bundle)]
    for options, name in (([], "bf16"), (["--precision", "fp32"], "fp32")):
        assert main([*common, "--output", str(tmp_path / name), *options]) == 0
        summary = json.loads((tmp_path / name / "a.png" / "summary.json").read_text())
        assert summary["precision"] == {"name": name, "reason": "asked for"}
    capsys.readouterr()
    assert main([*common, "--output", str(tmp_path / "none"), "--precision", "fp16"]) == 1
    assert capsys.readouterr().err == "coseg: Expected precision auto, fp32 or bf16 for cpu, got fp16.\n"


def test_predict_without_weights(bundle_root, tmp_path, capsys):
    arguments = ["predict", "a.png", "--output", str(tmp_path), "--bundle", str(bundle_root)]
    assert main([*arguments, "--weights", str(tmp_path / "none.pt")]) == 1
    assert "Weights not found" in capsys.readouterr().err
    assert main(["predict", "a.png", "--output", str(tmp_path), "--bundle", str(tmp_path)]) == 1
    assert "No bundle found" in capsys.readouterr().err


def test_doctor(bundle_root, tmp_path, capsys):
    assert main(["doctor", "--bundle", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "MISSING" in out
    assert "OK       torch" in out
    assert main(["doctor", "--bundle", str(bundle_root)]) == 0
    out = capsys.readouterr().out
    assert "SHA-256" in out
    assert f"precision auto is {resolve('auto', 'cpu')}" in out


def test_demo(bundle_root, tmp_path, capsys):
    """The released weights on the demonstration's image."""
    assert main(["demo", "--output", str(tmp_path), "--bundle", str(bundle_root)]) == 0
    out = capsys.readouterr().out
    assert "nuclei: epithelial" in out
    picture = np.asarray(Image.open(tmp_path / "breast.jpg_picture.png"))
    assert picture.shape == (512, 512 * 2 + 8, 3)
    left, right = picture[:, :512], picture[:, 520:]
    assert (left != right).any(-1).mean() > 0.02  # something was found and drawn
    given = ["--image", str(tmp_path / "image" / "breast.jpg"), "--mpp", "0.1"]
    assert main(["demo", *given, "--output", str(tmp_path / "b"), "--bundle", str(bundle_root)]) == 0
    assert "is the resolution right? (--mpp)" in capsys.readouterr().err


def test_each_image_of_the_demo_has_its_picture(bundle_root, weights, tmp_path):
    """One of the same stem took the place of the other's."""
    for number, name in enumerate(("x/a.png", "x/a.jpg", "y/a.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (200, 100 + 30 * number, 180)).save(tmp_path / name)
        common = ["--output", str(tmp_path / "out"), "--weights", str(weights), "--bundle", str(bundle_root)]
        assert main(["demo", "--image", str(tmp_path / name), *common]) == 0
    pictures = {path.name.removesuffix("_picture.png") for path in (tmp_path / "out").glob("*_picture.png")}
    assert {"a.png", "a.jpg"} < pictures
    assert pictures == {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert len(pictures) == 3


def test_a_full_disk_in_the_demo(bundle_root, tmp_path, capsys):
    with file_size_limit(20_000):
        assert main(["demo", "--output", str(tmp_path), "--bundle", str(bundle_root)]) == 1
    image = tmp_path / "image" / "breast.jpg"
    assert capsys.readouterr().err == f"coseg: {image}: the results cannot be written there (File too large).\n"
    assert not image.exists()

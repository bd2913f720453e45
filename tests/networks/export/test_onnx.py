import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from coseg_bundle.cli import main
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks.export import onnx as coseg_onnx
from coseg_bundle.networks.export.onnx import OnnxError, OnnxNetwork, export_onnx


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 7, 1)).eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "new" / "model.onnx"
    assert export_onnx(network, path, 32, "abc") < 1e-5
    return path


def test_it_is_the_network_for_any_batch(network, exported):
    read = OnnxNetwork(exported)
    assert (read.tile_size, read.weights_sha256, read.two_scales) == (32, "abc", False)
    for batch in (1, 5):
        tiles = torch.rand(batch, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(read(tiles), network(tiles), atol=1e-5, rtol=0)


def test_another_tile_size(exported):
    with pytest.raises(OnnxError, match=r"tiles of 32 px, got \(1, 3, 64, 64\); export it again"):
        OnnxNetwork(exported)(torch.rand(1, 3, 64, 64))


def test_a_file_that_differs_is_not_written(network, tmp_path, monkeypatch):
    monkeypatch.setattr(coseg_onnx, "TOLERANCE", -1.0)
    with pytest.raises(OnnxError, match="was not written: it differs from PyTorch"):
        export_onnx(network, tmp_path / "model.onnx", 32, "abc")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others(exported, tmp_path):
    with pytest.raises(OnnxError, match="does not exist; `coseg export` writes it"):
        OnnxNetwork(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(OnnxError, match="not a readable ONNX file"):
        OnnxNetwork(tmp_path / "text.onnx")
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(OnnxError, match="does not say its tile size"):
        OnnxNetwork(tmp_path / "bare.onnx")


@pytest.mark.slow
def test_export_and_predict_with_the_released_weights(bundle_root, tmp_path, capsys):
    """The whole way: `coseg export`, `coseg predict --engine onnx`, and PyTorch's maps for comparison."""
    bundle = tmp_path / "bundle"
    for name in ("configs", "models"):
        shutil.copytree(bundle_root / name, bundle / name)
    config = bundle / "configs" / "inference.yaml"
    config.write_text(config.read_text().replace("tile_size: 512", "tile_size: 64"))
    assert main(["predict", "x.png", "--output", "o", "--bundle", str(bundle), "--engine", "onnx"]) == 1
    assert "`coseg export` writes it" in capsys.readouterr().err
    assert main(["export", "--bundle", str(bundle)]) == 0
    assert "tiles of 64 px, differs from PyTorch by at most" in capsys.readouterr().out

    rgb = np.asarray(Image.open(bundle_root / "docs" / "images" / "demo.png").convert("RGB"))[:96, :160]
    Image.fromarray(rgb).save(tmp_path / "image.png")
    arguments = [str(tmp_path / "image.png"), "--output", str(tmp_path / "out"), "--bundle", str(bundle)]
    assert main(["predict", *arguments, "--engine", "onnx"]) == 0
    assert (tmp_path / "out" / "image.png" / "instances.tif").is_file()
    by_onnx = Predictor.from_bundle(bundle, engine="onnx")
    summary = json.loads((tmp_path / "out" / "image" / "summary.json").read_text())
    assert summary["precision"] == by_onnx.settings["precision"]
    assert summary["precision"] == {"name": "fp32", "reason": "the engine onnx computes in full precision"}
    assert main(["predict", *arguments, "--engine", "onnx", "--precision", "bf16"]) == 1
    assert "computes in full precision; got bf16" in capsys.readouterr().err
    by_torch = Predictor.from_bundle(bundle, device="cpu", precision="fp32")
    assert np.abs(by_onnx.infer(rgb) - by_torch.infer(rgb)).max() < 1e-3

    with pytest.raises(OnnxError, match=r"made with tile_size 64, and .* says 96; run"):
        Predictor.from_bundle(bundle, engine="onnx", tile_size=96)
    with pytest.raises(OnnxError, match=r"made with two_scales True, and .* says False; run"):
        Predictor.from_bundle(bundle, engine="onnx", two_scales=False)
    weights = bundle / "models" / "model.pt"
    state = torch.load(weights, weights_only=True)
    torch.save({name: value + 0 for name, value in reversed(state.items())}, weights)
    with pytest.raises(OnnxError, match="was made of other weights"):
        Predictor.from_bundle(bundle, engine="onnx")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tile-size", "7"], "multiple of 32, got 7"),
        (["--output", "gone/model.onnx"], "its folder does not exist"),
        (["--output", "."], "no file can be written there"),
    ],
)
def test_what_cannot_be_exported_ends_at_once(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Predictor, "from_bundle", None)  # is never built
    assert main(["export", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

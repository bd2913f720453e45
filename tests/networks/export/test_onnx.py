import json
import pickle
import re
import shutil
from importlib import import_module

import numpy as np
import onnx
import pytest
import torch
from full_disk import file_size_limit
from PIL import Image
from torch import nn

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.cli import main
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks import About, HeadLayout, save_released
from coseg_bundle.networks.export.onnx_network import OnnxError, OnnxNetwork
from coseg_bundle.networks.weights_file import CheckpointError, read_arrays, sha256

coseg_onnx = import_module("coseg_bundle.networks.export.onnx")
ABOUT = About(("background", "tumour"), ("background", "nucleus"), 0.25, {"layout": {"tissue_classes": 2}})


class Small(nn.Module):
    """Seven channels of a small network, in squares of 8 px as windows are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 7, 1))
        self.register_buffer("two_scales", torch.tensor(True))

    def forward(self, image):
        return self.layers(image)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "new" / "model.onnx"
    assert coseg_onnx.export_onnx(network, path, ABOUT, "abc") < 1e-5
    return path


def test_it_is_the_network_for_any_batch_and_size(network, exported):
    read = OnnxNetwork(exported)
    assert (read.about, read.weights_sha256, read.two_scales) == (ABOUT, "abc", True)
    for batch, height, width in ((1, 32, 32), (5, 64, 96)):
        images = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            np.testing.assert_allclose(read(images.numpy()), network(images).numpy(), atol=1e-5)


def test_windows_for_any_size(make_network, tmp_path):
    network = make_network(window=8, subpixel=2).eval()
    about = About.of(network, tissue_classes=("a", "b"), nuclei_classes=("background", "n"), mpp=0.25)
    coseg_onnx.export_onnx(network, tmp_path / "model.onnx", about, "abc")
    read = OnnxNetwork(tmp_path / "model.onnx")
    for batch, height, width in ((2, 96, 160), (1, 128, 256), (1, 288, 32)):
        images = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            np.testing.assert_allclose(read(images.numpy()), network(images).numpy(), atol=1e-3)


def test_it_says_what_it_is(exported):
    said = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert (said["mpp"], json.loads(said["tissue_classes"])) == ("0.25", ["background", "tumour"])
    assert json.loads(said["channels"])["2"] == "nuclei logit"
    assert said["input"].startswith("RGB (B, 3, H, W), float32 in [0, 1], sides multiples of 32")
    assert said.keys() >= {"license", "version", "nuclei_classes", "output", "two_scales", "weights_sha256"}


@pytest.mark.parametrize("which", ["exported", "released"])
def test_it_says_nothing_of_who_wrote_it(exported, bundle_root, which):
    content = (exported if which == "exported" else bundle_root / "models" / "graph.onnx").read_bytes()
    assert not re.search(rb"\.py\b(?!ramid)|site-packages|/home|/root|/work|File \"|Traceback|pkg\.torch", content)
    assert not any(node.doc_string or node.metadata_props for node in onnx.load_from_string(content).graph.node)


def test_wrong_shapes(exported):
    read = OnnxNetwork(exported)
    for shape in ((1, 3, 30, 32), (3, 32, 32), (1, 1, 32, 32)):
        with pytest.raises(OnnxError, match=r"sides that are multiples of 32, got \("):
            read(np.zeros(shape, np.float32))


def test_a_file_that_differs_is_not_written(network, tmp_path, monkeypatch):
    monkeypatch.setattr(coseg_onnx, "TOLERANCE", -1.0)
    with pytest.raises(OnnxError, match="was not written: it differs from PyTorch"):
        coseg_onnx.export_onnx(network, tmp_path / "model.onnx", ABOUT, "abc")
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
    with pytest.raises(OnnxError, match="does not say its classes"):
        OnnxNetwork(tmp_path / "bare.onnx")


def test_a_graph_alone_is_no_network(network, tmp_path, monkeypatch):
    """Where a `model.pt` lay in the working directory, its first bytes were each parameter's values."""
    save_released(network, tmp_path / "model.pt", ABOUT.to_tensor())
    coseg_onnx.export_onnx(network, tmp_path / "graph.onnx", ABOUT, "abc", tmp_path / "model.pt")
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        with pytest.raises(OnnxError, match=r"graph\.onnx is a graph without weights; give the \.pt .*--graph-only"):
            OnnxNetwork(tmp_path / "graph.onnx")


def test_a_graph_takes_the_weights_of_a_file(network, tmp_path):
    """And those of another training of the same network."""
    save_released(network, tmp_path / "model.pt", ABOUT.to_tensor())
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in network.half().state_dict().items()}
    )
    network.float()
    coseg_onnx.export_onnx(network, tmp_path / "graph.onnx", ABOUT, "abc", tmp_path / "model.pt")
    other = Small().half().float().eval()
    nn.init.constant_(other.layers[2].bias, 3)
    other.two_scales.fill_(False)
    said = About(("background", "mine"), ("background", "nucleus"), 0.5, ABOUT.network)
    save_released(other, tmp_path / "other.pt", said.to_tensor())
    read = OnnxNetwork(tmp_path / "graph.onnx", tmp_path / "other.pt")
    assert (read.about, read.two_scales, read.weights_sha256) == (said, False, sha256(tmp_path / "other.pt"))
    images = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        np.testing.assert_allclose(read(images.numpy()), other(images).numpy(), atol=1e-5)


def test_weights_of_another_network(bundle_root, tmp_path, make_network):
    graph = bundle_root / "models" / "graph.onnx"
    network = make_network(HeadLayout(3))
    about = About.of(network, tissue_classes=("a", "b", "c"), nuclei_classes=("background", "n"), mpp=0.25)
    save_released(network, tmp_path / "mine.pt", about.to_tensor())
    remedy = (
        r"where PyTorch is installed, run it with --engine torch, or write `coseg export --weights \S*mine.pt -o FILE"
    )
    with pytest.raises(OnnxError, match=rf"mine.pt belongs to another network than .*graph.onnx; {remedy}"):
        OnnxNetwork(graph, tmp_path / "mine.pt")
    with pytest.raises(CheckpointError, match="does not exist"):
        OnnxNetwork(graph, tmp_path / "gone.pt")
    silent = {
        name: torch.from_numpy(values) for name, values in read_arrays(bundle_root / "models" / "model.pt").items()
    }
    del silent["about"]
    torch.save(silent, tmp_path / "silent.pt")
    with pytest.raises(OnnxError, match="belongs to another network"):
        OnnxNetwork(graph, tmp_path / "silent.pt")


def test_the_released_graph_is_the_released_network(bundle_root):
    """`coseg export --graph-only` wrote it; after a change of the network it must be written again."""
    network = Predictor.from_bundle(bundle_root, device="cpu", engine="torch").network
    read = OnnxNetwork(bundle_root / "models" / "graph.onnx", bundle_root / "models" / "model.pt", threads=1)
    for height, width in ((96, 64), (64, 160)):
        images = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            assert np.abs(read(images.numpy()) - network(images).numpy()).max() < 1e-3


@pytest.mark.slow
def test_export_and_predict_with_the_released_weights(bundle_root, tmp_path, capsys):
    """The whole way: `coseg export`, `coseg predict --engine onnx`, and PyTorch's maps for comparison."""
    bundle = tmp_path / "bundle"
    for name in ("configs", "models"):
        shutil.copytree(bundle_root / name, bundle / name)
    for options in ([], ["--graph-only"]):
        assert main(["export", "--bundle", str(bundle), *options]) == 0
        assert "MB, differs from PyTorch by at most" in capsys.readouterr().out
    assert (bundle / "models" / "graph.onnx").stat().st_size < 2e6

    rgb = np.asarray(Image.open(bundle_root / "docs" / "images" / "demo.png").convert("RGB"))[:96, :160]
    Image.fromarray(rgb).save(tmp_path / "image.png")
    by_torch = Predictor.from_bundle(bundle, device="cpu", engine="torch", precision="fp32")
    for weights in ([], ["--weights", str(bundle / "models" / "model.onnx")]):
        out = tmp_path / f"out{len(weights)}"
        arguments = [str(tmp_path / "image.png"), "--output", str(out), "--bundle", str(bundle), *weights]
        assert main(["predict", *arguments, "--engine", "onnx"]) == 0
        summary = json.loads((out / "image.png" / "summary.json").read_text())
        assert summary["precision"] == {"name": "fp32", "reason": "the engine onnx computes in full precision"}
        by_onnx = Predictor.from_bundle(bundle, weights[-1] if weights else None, engine="onnx")
        assert by_onnx.windows == by_torch.windows
        assert np.abs(by_onnx.infer(rgb) - by_torch.infer(rgb)).max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "gone/model.onnx"], "its folder does not exist"),
        (["--output", "."], "no file can be written there"),
        (["--output", "slide.png"], "slide.png: expected a name that ends in .onnx; name another file"),
    ],
)
def test_what_cannot_be_exported_ends_at_once(arguments, words, bundle_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Predictor, "from_bundle", None)  # is never built
    assert main(["export", "--bundle", str(bundle_root), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_pickled_network_is_opened_anew(bundle_root, tmp_path, monkeypatch):
    """A result holds its predictor, and onnxruntime's session cannot be pickled."""
    shutil.copy(bundle_root / "models" / "graph.onnx", tmp_path)
    shutil.copy(bundle_root / "models" / "model.pt", tmp_path)
    monkeypatch.chdir(tmp_path)
    network = OnnxNetwork("graph.onnx", "model.pt", threads=1)
    pickled = pickle.dumps(network)
    assert len(pickled) < 1000
    monkeypatch.chdir(bundle_root)
    image = np.full((1, 3, 64, 64), 0.5, np.float32)
    assert np.array_equal(pickle.loads(pickled)(image), network(image))
    weights = torch.load(tmp_path / "model.pt")
    next(value for value in weights.values() if value.is_floating_point()).add_(1)
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(OnnxError, match=r"model\.pt holds other weights than when this was pickled"):
        pickle.loads(pickled)


def test_a_full_disk_is_said_with_the_file(network, tmp_path):
    """It was met in a temporary folder, which nobody was told of."""
    with file_size_limit(100), pytest.raises(NoRoomError, match=r"a\.onnx: the results cannot be written there"):
        coseg_onnx.export_onnx(network, tmp_path / "a.onnx", ABOUT, "0" * 64)
    assert not list(tmp_path.iterdir())

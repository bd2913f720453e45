import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from coseg_bundle.benchmarks import ON_REQUEST, SECTIONS, measure
from coseg_bundle.benchmarks.generated import ellipses, write_slide
from coseg_bundle.benchmarks.sections import peers, slides
from coseg_bundle.benchmarks.sections.inference import operations
from coseg_bundle.benchmarks.sections.metrics import masks_one_by_one, monai, ours
from coseg_bundle.networks.blocks.fused import linear


class Channels(nn.Module):
    """A linear layer over the channels of an image, as the network calls its own."""

    def __init__(self, inwards, outwards):
        super().__init__()
        self.layer = nn.Linear(inwards, outwards)

    def forward(self, image):
        return linear(self.layer, image.movedim(1, -1)).movedim(-1, 1)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_a_module(section):
    assert callable(import_module(f"coseg_bundle.benchmarks.sections.{section}").lines)
    assert set(ON_REQUEST) < set(SECTIONS)


def test_metrics_agree():
    truth = ellipses(40, size=256)
    pred = np.roll(truth, (2, 1), (0, 1))
    pq, aji = ours(pred, truth)
    assert monai(pred, truth) == pytest.approx(pq, abs=1e-6)
    assert masks_one_by_one(pred, truth) == pytest.approx((pq, aji), abs=1e-6)


def test_merged_copies(tmp_path):
    slide = write_slide(tmp_path / "slide.tif", 4096, tissue=2048)
    one, two = (slides.merge_copies(slide, tmp_path / str(copies), copies)["nuclei"] for copies in (1, 2))
    assert two == 2 * one > 1000


def test_a_worker_finds_nuclei():
    assert slides.released_network_on_tiles("fp32", batches=1)["nuclei"] > 10


def test_training_section():
    said = " ".join(import_module("coseg_bundle.benchmarks.sections.training").lines(batch_size=1, side=64, rounds=1))
    assert "Muon" in said
    assert "one launch" in said


def test_inference_section():
    said = " ".join(import_module("coseg_bundle.benchmarks.sections.inference").lines(side=128, rounds=1))
    assert "of the matrix product's rate" in said
    assert "image_encoder.trunk" in said


def test_operations_are_the_sum_by_hand():
    """Two for each multiplication with its addition, whether a layer is fused by oneDNN or not."""
    height, width, network = 8, 12, nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.GELU(), Channels(5, 7)).eval()

    class Stand:
        def __init__(self, network):
            self.network = network

        def to_tensor(self, rgb):
            return torch.from_numpy(rgb).permute(2, 0, 1)[None].float()

        def inferer(self, image, network):
            return network(image)

    rgb = np.zeros((height, width, 3), np.uint8)
    by_hand = 2 * height * width * (3 * 5 * 3 * 3 + 5 * 7)
    assert operations(Stand(network), rgb) == by_hand


def test_startup_section():
    said = " ".join(import_module("coseg_bundle.benchmarks.sections.startup").lines(rounds=1))
    assert "coseg predict, 256 x 256 px" in said


@pytest.mark.slow
def test_a_section_measures():
    assert any("onnxruntime / PyTorch" in line for line in measure("peers"))


def test_without_stardist_the_peers_are_one_sentence(monkeypatch):
    monkeypatch.setattr(peers, "_STARDIST", "print('missing No module named stardist', flush=True)")
    monkeypatch.delenv("COSEG_STARDIST", raising=False)
    said = " ".join(peers.stardist(side=64))
    assert "StarDist was not measured (missing No module named stardist): set COSEG_STARDIST" in said


def test_peers_take_turns(monkeypatch):
    answers = "import sys\nprint('ready 0', flush=True)\nfor _ in sys.stdin: print(0.5, flush=True)"
    monkeypatch.setattr(peers, "_STARDIST", answers)
    monkeypatch.delenv("COSEG_STARDIST", raising=False)
    said = list(peers.stardist(side=64))
    assert "0.50 s" in said[1]
    assert "of StarDist's" in said[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_section():
    pytest.importorskip("ray")
    from coseg_bundle.benchmarks.sections import ray

    said = " ".join(ray.lines(side=2048, rounds=1))
    assert "one worker / two" in said
    assert "rest / network" in said


def test_the_script_knows_the_sections(bundle_root):
    path = os.pathsep.join(filter(None, (str(bundle_root), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(bundle_root / "scripts" / "bench.py"), "speed"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "unknown section speed; expected postprocessing, inference" in done.stderr

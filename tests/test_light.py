"""The core needs no PyTorch: `helpers/hidden.py` makes the imports of it, and of all that is built on it, fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.data.synthetic import synthetic_tissue

HERE = Path(__file__).parent
CORE = (
    "data.images data.labels.foreign data.listing data.annotations postprocessing.prediction writers.results "
    "writers.geojson writers.puma_challenge wsi.pipeline wsi.run.workers wsi.results.writing wsi.results.reading "
    "inferers.predictor inferers.predict_files networks.about networks.head_layout networks.weights_file "
    "networks.export.onnx_network demo doctor evaluation.report metrics.panoptic"
).split()


def without_torch(*arguments: str, code: str | None = None, folder: Path | None = None) -> subprocess.CompletedProcess:
    """`coseg` with these arguments, or some code, in a process without PyTorch."""
    if code is None:
        command = [sys.executable, str(HERE / "helpers" / "hidden.py"), *arguments]
    else:
        command = [sys.executable, "-c", f"import hidden; hidden.hide(); {code}"]
    paths = [str(HERE / "helpers"), str(HERE.parent), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder or HERE.parent, env=environment)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """A generated image of 160 x 192 px."""
    sample = synthetic_tissue(192, seed=5)
    path = tmp_path_factory.mktemp("light") / "image.png"
    Image.fromarray(sample.rgb[:160]).save(path)
    return path


@pytest.mark.parametrize("hidden", ["torch", "monai.bundle", "sam2", "peft"])
def test_what_is_hidden_is_not_there(hidden):
    done = without_torch(code=f"import {hidden}")
    assert "hidden by a test" in done.stderr


def test_the_core_imports_no_torch():
    done = without_torch(code="; ".join(f"import coseg_bundle.{name}" for name in CORE))
    assert done.returncode == 0, done.stderr


def test_predict_without_torch_is_predict(image, tmp_path):
    """The released weights, in the released graph; PyTorch in this process."""
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.metrics.panoptic import panoptic_quality

    done = without_torch("predict", str(image), "--output", str(tmp_path), "--mpp", "0.25")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "image.png"
    record = json.loads((folder / "summary.json").read_text())
    assert record["made_from"]["inference"]["engine"] == "onnx"
    prediction = Predictor.from_bundle(HERE.parent, device="cpu", engine="torch", precision="fp32").predict(
        np.asarray(Image.open(image)), 0.25
    )
    found = tifffile.imread(folder / "instances.tif").astype(np.int32)
    assert prediction.instance_map.max() > 3
    assert panoptic_quality(prediction.instance_map, found).pq > 0.99
    assert (tifffile.imread(folder / "tissue.tif") == prediction.tissue_map).mean() > 0.999


def test_a_slide_without_torch(image, tmp_path):
    rgb = np.asarray(Image.open(image))
    tifffile.imwrite(tmp_path / "slide.tif", np.tile(rgb, (2, 2, 1)), tile=(64, 64), photometric="rgb")
    options = ["--mpp", "0.25", "--tile-size", "256", "--halo", "32", "--workers", "1"]
    done = without_torch("slide", str(tmp_path / "slide.tif"), "--output", str(tmp_path / "results"), *options)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "results" / "slide.tif" / "summary.json").read_text())
    assert record["nuclei"] > 10
    assert record["precision"]["name"] == "fp32"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "torch"], "The engine torch needs torch, which is not installed; pip install"),
        (["--precision", "bf16"], "the engine onnx computes in full precision; got bf16"),
        (["--device", "cuda"], "Device 'cuda' cannot be used: this onnxruntime knows the CPU"),
    ],
)
def test_what_only_torch_can_do(image, tmp_path, arguments, words):
    done = without_torch("predict", str(image), "--output", str(tmp_path), *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_command_that_needs_torch(tmp_path):
    done = without_torch("export", "--output", "model.onnx", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "coseg: this needs torch, which is not installed; pip install 'coseg-bundle[torch]'.\n",
    )


def test_doctor_without_torch(tmp_path):
    done = without_torch("doctor", folder=tmp_path)
    assert "Traceback" not in done.stderr
    assert "cores; onnxruntime computes in full precision" in done.stdout
    assert "SHA-256" in done.stdout

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow, create_workflow, verify_metadata, verify_net_in_out
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.release.archive import NAME, build, contents
from coseg_bundle.release.checks import check_release

ROOT = Path(__file__).parents[2]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
SCHEMA = Path(__file__).with_name("meta_schema.json")


@pytest.fixture(scope="module")
def downloaded(archive, tmp_path_factory):
    """What a user has after `monai.bundle.download`."""
    folder = tmp_path_factory.mktemp("bundles")
    monai.bundle.download(name=NAME, bundle_dir=str(folder), url=archive.as_uri(), progress=False)
    return folder / NAME


def test_download_from_a_server(archive, serve, tmp_path):
    monai.bundle.download(
        name=NAME, bundle_dir=str(tmp_path), url=f"{serve(archive.parent)}/{archive.name}", progress=False
    )
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            assert (tmp_path / name).read_bytes() == file.read(name)


def test_logs_of_a_server_stay_at_home(tmp_path):
    for name in (
        "coseg_bundle/label_app/logs/app.log",
        "coseg_bundle/label_app/app.py",
        "configs/x",
        "docs/x",
        "models/graph.onnx",
        "models/model.onnx",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    for name in ("train", "evaluate", "inference", "inference_trt", "multi_gpu_train"):
        (tmp_path / "configs" / f"{name}.yaml").write_text("a: 1")
    names = [name for name, _ in contents(tmp_path)]
    assert "coseg_bundle/label_app/app.py" in names
    assert not [name for name in names if "logs" in name]
    assert [name for name in names if name.startswith("models/")] == ["models/graph.onnx"]  # no export of somebody's


def test_same_files_same_bytes(archive, tmp_path):
    again = build(ROOT, tmp_path)
    assert again.read_bytes() == archive.read_bytes()
    assert archive.with_suffix(".zip.sha256").read_text() == f"{sha256(archive)}  {archive.name}\n"
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    assert all(name.startswith(f"{NAME}/") for name in names)
    assert not any("__pycache__" in name or "/tests/" in name for name in names)


def test_its_pages_link_to_nothing_that_is_left_out(downloaded):
    pages = list(downloaded.rglob("*.md"))
    links = {(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s:]+)[)#\s]", page.read_text())}
    assert (downloaded / "README.md", "CONTRIBUTING.md") in links
    assert [f"{page}: {link}" for page, link in sorted(links) if not (page.parent / link).exists()] == []


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    environment = {**outside, "GIT_DIR": str(folder / "none")}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@needs_make
def test_make_has_what_its_targets_are_made_of(downloaded):
    """The locks of `label` and `docs` were left at home; what asks for the tests says that they are."""
    targets = re.findall(r"^([a-z-]+):.*## ", (downloaded / "Makefile").read_text(), re.M)
    assert {"install", "label-server", "docs", "wheel", "weights"} <= set(targets)
    for target in targets:
        planned = make(downloaded, "--dry-run", target)
        assert planned.returncode == 0, planned.stderr
        if "the tests are in the repository" in planned.stdout:
            done = make(downloaded, target)
            assert (done.returncode, done.stdout) == (
                2,
                "the tests are in the repository, not in the released archive\n",
            )
            assert not (downloaded / ".venv").exists()


@needs_make
def test_the_wheel_has_a_time_outside_of_git_too(downloaded):
    """An empty one ended in a traceback of wheel's."""
    [line] = [line for line in make(downloaded, "-n", "wheel").stdout.splitlines() if "pip wheel" in line]
    command = f"export {line.partition(' .venv')[0]}; echo $SOURCE_DATE_EPOCH"
    environment = {**os.environ, "GIT_DIR": str(downloaded / "none")}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "315532800\n"  # 1980, the first year that a zip file knows
    assert done.stderr == ""


def test_configs_have_json_copies(downloaded):
    for name in ("train", "evaluate", "inference", "inference_trt", "multi_gpu_train"):
        copy = json.loads((downloaded / "configs" / f"{name}.json").read_text())
        assert copy == yaml.safe_load((downloaded / "configs" / f"{name}.yaml").read_text())


def test_it_passes_its_own_checklist(downloaded):
    failed = [check for check in check_release(downloaded) if check.mark == "FAIL"]
    assert failed == []


def test_load(downloaded):
    network = monai.bundle.load(NAME, bundle_dir=str(downloaded.parent), workflow_type="inference", device="cpu")
    assert type(network).__name__ == "CoSeg"
    assert type(network).__module__ == "coseg_bundle.networks.coseg"
    released = torch.load(downloaded / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value, released[name].to(value.dtype)) for name, value in network.state_dict().items())


def test_load_refuses_the_network_of_another_training(downloaded):
    """MONAI's default, `train`, is a network of the datalist's classes, and there is no datalist."""
    with pytest.raises(ValueError, match=r'parameters .*workflow_type="inference"'):
        monai.bundle.load(NAME, bundle_dir=str(downloaded.parent), device="cpu")


RUN_ALONE = """
import sys
sys.path = [path for path in sys.path if path != sys.argv[1]]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import json
from monai.bundle import run
run(sys.argv[2], **json.loads(sys.argv[3]), device='$torch.device("cpu")')
import coseg_bundle
print(coseg_bundle.__file__)
"""
"""Runs a workflow in a process that finds the package in the bundle's folder only."""


@pytest.mark.parametrize("workflow", ["inference", "training", "evaluating"])
def test_workflows_from_the_archive_and_nothing_else(downloaded, generated, tmp_path, workflow):
    """From another working directory."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((64, 64, 3), 230, np.uint8)).save(tmp_path / "images" / "a.png")
    file, options, written = {
        "inference": ("inference", {"dataset_dir": str(tmp_path / "images")}, "a.png/instances.tif"),
        "training": ("train", {"dataset_file": str(generated), "max_epochs": 1, "epoch_length": 4}, "model.pt"),
        "evaluating": ("evaluate", {"dataset_file": str(generated)}, "report.md"),
    }[workflow]
    options |= {"config_file": str(downloaded / "configs" / f"{file}.yaml"), "output_dir": str(tmp_path / "out")}
    arguments = [sys.executable, "-c", RUN_ALONE, str(ROOT), workflow, json.dumps(options)]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == str(downloaded / "coseg_bundle" / "__init__.py")
    assert (tmp_path / "out" / written).is_file()


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_workflows_have_every_property(downloaded, generated, tmp_path, monkeypatch, kind):
    """By ConfigWorkflow and by create_workflow, from the JSON copies, in a foreign working directory."""
    monkeypatch.chdir(tmp_path)
    arguments = {
        "config_file": str(downloaded / "configs" / f"{kind}.json"),
        "meta_file": str(downloaded / "configs" / "metadata.json"),
        "logging_file": False,
        "workflow_type": kind,
        "bundle_root": str(downloaded),
        "dataset_file": str(generated),
        "dataset_dir": str(generated.parent / "images"),
        "output_dir": str(tmp_path / "out"),
    }
    workflow = ConfigWorkflow(**arguments)
    workflow.initialize()
    assert workflow.check_properties() == []
    created = create_workflow(**arguments)
    assert created.check_properties() == []
    assert type(created.network_def).__name__ == "CoSeg"


def test_metadata_against_the_schema(downloaded, tmp_path, metadata):
    """A schema of ours asks what the official one asks; MONAI takes the file that is there already."""
    schema = tmp_path / "schema.json"
    schema.write_text(SCHEMA.read_text())
    verify_metadata(meta_file=str(downloaded / "configs" / "metadata.json"), filepath=str(schema))
    false = tmp_path / "metadata.json"
    metadata["network_data_format"]["inputs"]["image"]["num_channels"] = "three"
    false.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(false), filepath=str(schema))


@pytest.mark.parametrize("n", [2, 3])
def test_network_takes_and_gives_what_the_metadata_says(downloaded, n):
    meta, config = str(downloaded / "configs" / "metadata.json"), str(downloaded / "configs" / "inference.json")
    verify_net_in_out("network_def", meta_file=meta, config_file=config, device="cpu", n=n, bundle_root=str(downloaded))
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(
            "network_def",
            meta_file=meta,
            config_file=config,
            device="cpu",
            n=2,
            bundle_root=str(downloaded),
            tissue_classes=["a", "b"],
        )


def test_tensorrt_overlay(downloaded, make_network, tmp_path, monkeypatch):
    """A TorchScript file stands in for the engine, whose package is not here."""
    from coseg_bundle.networks.export.torchscript import TracedNetwork

    network = make_network()
    (tmp_path / "models").mkdir()
    torch.jit.save(torch.jit.script(TracedNetwork(network, 64)), tmp_path / "models" / "model_trt.ts")
    monkeypatch.setitem(sys.modules, "torch_tensorrt", type(sys)("torch_tensorrt"))
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "images" / "a.png")
    configs = [str(downloaded / "configs" / f"{name}.json") for name in ("inference", "inference_trt")]
    monai.bundle.run(
        "inference",
        config_file=configs,
        bundle_root=str(tmp_path),
        dataset_dir=str(tmp_path / "images"),
        output_dir=str(tmp_path / "out"),
        tile_size=64,
        tissue_classes=["background", "gland"],
        nuclei_classes=["background", "nucleus"],
        device="$torch.device('cpu')",
    )
    assert (tmp_path / "out" / "a.png" / "instances.tif").is_file()


@pytest.mark.slow
def test_torchscript_of_the_released_weights(downloaded, tmp_path):
    """`ckpt_export` as the model zoo's checks call it: no trace asked for, no shape given."""
    monai.bundle.ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(downloaded / "models" / "model.pt"),
        meta_file=str(downloaded / "configs" / "metadata.json"),
        config_file=str(downloaded / "configs" / "inference.json"),
        bundle_root=str(downloaded),
    )
    network = monai.bundle.load(NAME, bundle_dir=str(downloaded.parent), workflow_type="inference", device="cpu").eval()
    image = torch.rand(2, 3, 512, 512)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), network(image), atol=1e-4, rtol=0)


def losses(folder: Path) -> list[float]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars("train_loss")]


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(downloaded, generated, tmp_path):
    """From the archive, in a foreign working directory; no image has labels of both tasks."""
    datalist = json.loads(generated.read_text())
    for number, item in enumerate(datalist["training"]):
        for key in ("tissue",) if number % 2 else ("instances", "types"):
            item.pop(key, None)
    half = generated.parent / "half_labelled.json"
    half.write_text(json.dumps(datalist))
    config = downloaded / "configs"
    common = [
        "--bundle_root",
        str(downloaded),
        "--dataset_file",
        str(half),
        "--crop_size",
        "64",
        "--epoch_length",
        "24",
    ]
    common += ["--max_epochs", "1", "--val_interval", "1", "--num_workers", "0", "--precision", "fp32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}

    def train(launcher: list[str], configs: str, output: Path, batch_size: int) -> list[float]:
        command = [sys.executable, "-m", *launcher, "run", "training", "--config_file", configs, *common]
        command += ["--output_dir", str(output), "--batch_size", str(batch_size)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr[-3000:]
        return losses(output)

    one = train(["monai.bundle"], str(config / "train.json"), tmp_path / "one", 4)
    overlay = f"['{config / 'train.json'}','{config / 'multi_gpu_train.json'}']"
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
    two = train(launcher, overlay, tmp_path / "two", 2)
    assert len(one) == 6
    assert len(set(one)) == 6
    assert two == pytest.approx(one, rel=1e-4)
    assert (tmp_path / "two" / "model.pt").is_file()


def test_no_bundle(tmp_path):
    with pytest.raises(ValueError, match="no complete bundle"):
        build(tmp_path, tmp_path / "dist")

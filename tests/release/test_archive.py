import json
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from PIL import Image

from coseg_bundle.networks.checkpoints import sha256
from coseg_bundle.release.archive import NAME, build, contents
from coseg_bundle.release.checks import check_release

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def downloaded(archive, tmp_path_factory):
    """What a user has after `monai.bundle.download` from a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    folder = tmp_path_factory.mktemp("bundles")
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/{archive.name}"
        monai.bundle.download(name=NAME, bundle_dir=str(folder), url=url, progress=False)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
    return folder / NAME


def test_logs_of_a_server_stay_at_home(tmp_path):
    for name in (
        "coseg_bundle/label_app/logs/app.log",
        "coseg_bundle/label_app/app.py",
        "configs/x",
        "docs/x",
        "models/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    for name in ("train", "evaluate", "inference", "multi_gpu_train"):
        (tmp_path / "configs" / f"{name}.yaml").write_text("a: 1")
    names = [name for name, _ in contents(tmp_path)]
    assert "coseg_bundle/label_app/app.py" in names
    assert not [name for name in names if "logs" in name]


def test_same_files_same_bytes(archive, tmp_path):
    again = build(ROOT, tmp_path)
    assert again.read_bytes() == archive.read_bytes()
    assert archive.with_suffix(".zip.sha256").read_text() == f"{sha256(archive)}  {archive.name}\n"
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    assert all(name.startswith(f"{NAME}/") for name in names)
    assert not any("__pycache__" in name or "/tests/" in name for name in names)


def test_configs_have_json_copies(downloaded):
    import yaml

    for name in ("train", "evaluate", "inference", "multi_gpu_train"):
        copy = json.loads((downloaded / "configs" / f"{name}.json").read_text())
        assert copy == yaml.safe_load((downloaded / "configs" / f"{name}.yaml").read_text())


def test_it_passes_its_own_checklist(downloaded):
    failed = [check for check in check_release(downloaded) if check.mark == "FAIL"]
    assert failed == []


@pytest.mark.parametrize("kind", ["inference", "train"])
def test_load(downloaded, kind):
    network = monai.bundle.load(NAME, bundle_dir=str(downloaded.parent), workflow_type=kind, device="cpu")
    assert type(network).__name__ == "CoSeg"
    assert type(network).__module__ == "coseg_bundle.networks.coseg"


def test_inference_from_the_archive_and_nothing_else(downloaded, tmp_path):
    """In a process that finds the package in the bundle's folder only, from another working directory."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((64, 64, 3), 230, np.uint8)).save(tmp_path / "images" / "a.png")
    code = (
        "import sys; sys.path = [p for p in sys.path if p != sys.argv[1]]; sys.meta_path = "
        "[f for f in sys.meta_path if 'editable' not in repr(f).lower()]; "
        "from monai.bundle import run; run('inference', config_file=sys.argv[2], dataset_dir=sys.argv[3], "
        "output_dir=sys.argv[4], device='$torch.device(\"cpu\")'); import coseg_bundle; print(coseg_bundle.__file__)"
    )
    arguments = [
        str(ROOT),
        str(downloaded / "configs" / "inference.yaml"),
        str(tmp_path / "images"),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == str(downloaded / "coseg_bundle" / "__init__.py")
    assert (tmp_path / "out" / "a" / "instances.tif").is_file()


def test_no_bundle(tmp_path):
    with pytest.raises(ValueError, match="no complete bundle"):
        build(tmp_path, tmp_path / "dist")

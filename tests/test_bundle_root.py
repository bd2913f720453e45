import os
import subprocess
import sys
from pathlib import Path

import pytest

from coseg_bundle.bundle_root import BundleNotFoundError, find_bundle_root


def test_the_checkout_is_found_from_anywhere(bundle_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSEG_BUNDLE", raising=False)
    assert find_bundle_root() == bundle_root.resolve()


def test_order_of_the_places(bundle_root, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_bundle_root() == tmp_path.resolve()
    monkeypatch.setenv("COSEG_BUNDLE", str(bundle_root))
    assert find_bundle_root() == bundle_root.resolve()
    assert find_bundle_root(tmp_path) == tmp_path.resolve()


def test_a_wrong_folder_is_an_error_even_if_another_would_do(tmp_path):
    with pytest.raises(BundleNotFoundError, match=r"inference.yaml does not exist.*--bundle"):
        find_bundle_root(tmp_path)


def test_an_installed_package_brings_the_bundle(bundle_root, tmp_path):
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(build, cwd=bundle_root, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COSEG_BUNDLE": ""}
    ask = [sys.executable, "-c", "from coseg_bundle.bundle_root import find_bundle_root as f; print(f())"]
    found = Path(
        subprocess.run(ask, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    )
    assert found == (tmp_path / "coseg_bundle" / "_bundle").resolve()
    for name in ("configs/train.yaml", "configs/presets/paper.yaml", "models/model.pt", "models/README.md", "LICENSE"):
        assert (found / name).read_bytes() == (bundle_root / name).read_bytes()

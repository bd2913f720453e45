import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coseg_bundle.bundle_root import BundleNotFoundError, find_bundle_root, setting

ASKING = 'bundle_root: "$str(find_bundle_root())"'


def test_the_checkout_is_found_from_anywhere(bundle_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSEG_BUNDLE", raising=False)
    assert find_bundle_root() == bundle_root.resolve()


def test_order_of_the_places(bundle_root, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.yaml").write_text(ASKING)
    monkeypatch.chdir(tmp_path)
    assert find_bundle_root() == tmp_path.resolve()
    monkeypatch.setenv("COSEG_BUNDLE", str(bundle_root))
    assert find_bundle_root() == bundle_root.resolve()
    assert find_bundle_root(tmp_path) == tmp_path.resolve()


def test_the_folder_of_another_bundle_is_none_of_ours(bundle_root, tmp_path, monkeypatch):
    """Its weights were taken where it was the working directory; whoever names it gets it."""
    monkeypatch.delenv("COSEG_BUNDLE", raising=False)
    (tmp_path / "configs" / "notes.json").mkdir(parents=True)  # no file
    (tmp_path / "configs" / "inference.yaml").write_text('bundle_root: "."\nnetwork_def: {_target_: UNet}\n')
    monkeypatch.chdir(tmp_path)
    assert find_bundle_root() == bundle_root.resolve()
    assert setting("precision") == "auto"
    assert find_bundle_root(".") == tmp_path.resolve()
    monkeypatch.setattr("coseg_bundle.bundle_root._PACKAGE", tmp_path / "coseg_bundle")  # beside configs/ of another
    with pytest.raises(BundleNotFoundError, match=r"inference.yaml does not exist or is of another bundle; .*--bundle"):
        find_bundle_root()


def test_a_wrong_folder_is_an_error_even_if_another_would_do(tmp_path):
    with pytest.raises(BundleNotFoundError, match=r"inference.yaml does not exist.*--bundle"):
        find_bundle_root(tmp_path)


def test_an_empty_path_is_the_working_directory_and_not_the_usual_bundle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleNotFoundError, match=r"inference.yaml does not exist.*--bundle"):
        find_bundle_root("")


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


@pytest.fixture
def two_bundles(tmp_path, monkeypatch):
    """The folder of one that holds a configuration and weights only; the working directory is another."""
    for name, file in (("ours", "configs/inference.yaml"), ("theirs", "models/model.pt"), ("theirs", "configs/a.json")):
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_text(ASKING)
    content = {
        "imports": ["$from coseg_bundle.bundle_root import find_bundle_root"],
        "bundle_root": "$str(find_bundle_root())",
        "network_def": "@bundle_root",
        "export": "$open(@bundle_root + '/asked', 'w').close()",
    }
    (tmp_path / "theirs" / "configs" / "a.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path / "ours")
    return tmp_path


def workflow_of(file):
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(str(file), logging_file=False, workflow_type="inference")
    workflow.initialize()
    return workflow


@pytest.mark.parametrize("folder", ["{}/theirs/configs", "../theirs/configs"])
def test_a_configuration_is_of_the_bundle_that_it_lies_in(two_bundles, monkeypatch, folder):
    """Whatever the working directory and the environment are."""
    monkeypatch.setenv("COSEG_BUNDLE", str(two_bundles / "ours"))
    assert workflow_of(f"{folder.format(two_bundles)}/a.json").network_def == str(two_bundles / "theirs")
    assert find_bundle_root() == two_bundles / "ours"
    monkeypatch.chdir(two_bundles / "theirs" / "configs")
    assert workflow_of("a.json").network_def == str(two_bundles / "theirs")


def test_a_configuration_outside_of_bundles_takes_the_usual_one(two_bundles):
    (two_bundles / "theirs" / "models" / "model.pt").unlink()
    assert workflow_of(two_bundles / "theirs" / "configs" / "a.json").network_def == str(two_bundles / "ours")


@pytest.mark.parametrize("several", [False, True])
def test_commands_of_monai_ask_the_bundle_of_their_configuration(two_bundles, several):
    from monai.bundle import ckpt_export

    file = str(two_bundles / "theirs" / "configs" / "a.json")
    checkpoint = str(two_bundles / "theirs" / "models" / "model.pt")
    with pytest.raises(Exception):  # noqa: B017, PT011  # there is no network to export
        ckpt_export("export", config_file=[file] if several else file, ckpt_file=checkpoint)
    assert (two_bundles / "theirs" / "asked").is_file()


def test_a_bundle_with_a_step_of_ours_has_none_of_our_weights(tmp_path, monkeypatch, bundle_root):
    """Its folder was taken for a bundle of ours: usual names of files were enough."""
    (tmp_path / "other" / "configs").mkdir(parents=True)
    (tmp_path / "other" / "models").mkdir()
    (tmp_path / "other" / "models" / "model.pt").touch()
    content = {
        "imports": ["$from coseg_bundle.bundle_root import setting"],
        "network_def": "$str(setting('precision'))",
    }
    file = tmp_path / "other" / "configs" / "inference.json"
    file.write_text(json.dumps(content))
    monkeypatch.setenv("COSEG_BUNDLE", str(bundle_root))
    assert workflow_of(file).network_def == "auto"

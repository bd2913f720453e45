import json
import shutil

import pytest

from coseg_bundle.cli import main
from coseg_bundle.release.checks import check_release


@pytest.fixture
def bundle(bundle_root, tmp_path):
    for name in ("configs", "docs", "models"):
        shutil.copytree(bundle_root / name, tmp_path / name)
    shutil.copy(bundle_root / "LICENSE", tmp_path)
    return tmp_path


def failures(root):
    return [check.what for check in check_release(root) if check.mark == "FAIL"]


def test_this_bundle_is_ready(bundle, capsys):
    assert failures(bundle) == []
    assert main(["release-check", "--bundle", str(bundle)]) == 0
    assert "ready to release" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "9.9.9"}, "version 9.9.9"),
        ({"monai_version": ">=1.5"}, "no exact version of monai"),
        ({"optional_packages_version": {}}, "overwrites the required"),
        ({"network_data_format": {"outputs": {"pred": {"channel_def": {}}}}}, "channel_def differs"),
    ],
)
def test_false_metadata(bundle, change, words):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert any(words in what for what in failures(bundle))


def test_missing_parts(bundle, capsys):
    (bundle / "models" / "model.pt").unlink()
    (bundle / "LICENSE").unlink()
    (bundle / "docs" / "README.md").write_text("# Nothing\n")
    found = " ".join(failures(bundle))
    assert "LICENSE is missing" in found
    assert "no models/model.pt" in found
    assert "lacks Overview" in found
    assert main(["release-check", "--bundle", str(bundle)]) == 1
    assert "4 to mend" in capsys.readouterr().out
    (bundle / "configs" / "metadata.json").write_text("{")
    assert "metadata.json cannot be read" in " ".join(failures(bundle))


def test_weights_of_another_network(bundle):
    path = bundle / "configs" / "inference.yaml"
    path.write_text(path.read_text().replace("pixel_dims: [64, 48]", "pixel_dims: [64, 32]"))
    assert any("fits the network" in what for what in failures(bundle))

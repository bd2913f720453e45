import json
import re
import shutil

import pytest

from coseg_bundle.cli import main
from coseg_bundle.inferers import Predictor
from coseg_bundle.release.checks import card_figures, check_release

IMAGE = {"num_channels": 3, "dtype": "float32", "channel_def": {"0": "R", "1": "G", "2": "B"}}
PRED = {"num_channels": 7, "dtype": "float32", "channel_def": {}}


@pytest.fixture
def bundle(bundle_root, tmp_path):
    for name in ("configs", "docs", "models"):
        shutil.copytree(bundle_root / name, tmp_path / name)
    for name in ("LICENSE", "CHANGELOG.md"):
        shutil.copy(bundle_root / name, tmp_path)
    return tmp_path


def failures(root):
    return [check.what for check in check_release(root) if check.mark == "FAIL"]


def test_this_bundle_is_ready(bundle, capsys):
    assert failures(bundle) == []
    assert main(["release-check", "--bundle", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{bundle}\nPASS  LICENSE\n")
    assert "ready to release" in said


def test_the_copy_in_an_installed_package_is_no_release(bundle, capsys, monkeypatch, tmp_path_factory):
    """It failed for want of documents, where `coseg install` had just brought a sound release."""
    package = tmp_path_factory.mktemp("site-packages") / "coseg_bundle"
    shutil.copytree(bundle / "configs", package / "_bundle" / "configs")
    monkeypatch.delenv("COSEG_BUNDLE", raising=False)
    monkeypatch.setattr("coseg_bundle.bundle_root._PACKAGE", package)
    monkeypatch.chdir(package.parent)
    assert main(["release-check"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "_bundle is the copy inside the installed package" in output.err
    assert "with --bundle." in output.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "9.9.9"}, "version 9.9.9"),
        ({"monai_version": ">=1.5"}, "no exact version of monai"),
        ({"optional_packages_version": {}}, "overwrites the required"),
        ({"network_data_format": {"inputs": {"image": IMAGE}, "outputs": {"pred": PRED}}}, "channel_def differs"),
        ({"eval_metrics": {"nuclei_pq": 0.99}}, "differ from the model card's"),
    ],
)
def test_false_metadata(bundle, change, words):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert any(words in what for what in failures(bundle))


@pytest.mark.parametrize(
    "text", ["[]", "3", "null", '{"changelog": 3}', '{"required_packages_version": [1]}', "[" * 5000]
)
def test_metadata_of_another_kind(tmp_path, text):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(text)
    assert any("metadata.json cannot be read (" in what for what in failures(tmp_path))


def test_missing_parts(bundle, capsys):
    (bundle / "models" / "model.pt").unlink()
    (bundle / "LICENSE").unlink()
    (bundle / "docs" / "README.md").write_text("# Nothing\n")
    found = " ".join(failures(bundle))
    assert "LICENSE is missing" in found
    assert "no models/model.pt" in found
    assert "lacks Model Overview" in found
    assert main(["release-check", "--bundle", str(bundle)]) == 1
    assert "5 to mend" in capsys.readouterr().out
    (bundle / "configs" / "metadata.json").write_text("{")
    assert "metadata.json cannot be read" in " ".join(failures(bundle))


def test_weights_of_another_network(bundle):
    path = bundle / "configs" / "inference.yaml"
    path.write_text(path.read_text().replace("pixel_dims: [64, 48]", "pixel_dims: [64, 32]"))
    assert any("fits the network" in what for what in failures(bundle))


def test_checksum_of_other_weights(bundle):
    (bundle / "models" / "model.pt.sha256").write_text("0" * 64 + "  model.pt\n")
    assert any("model.pt.sha256 is of another file" in what for what in failures(bundle))


def test_changelog_without_the_version(bundle):
    (bundle / "CHANGELOG.md").write_text("# Changelog\n\n## 0.0.9\n")
    assert any("CHANGELOG.md has no section of" in what for what in failures(bundle))


def test_weights_that_large_files_lists(bundle):
    (bundle / "models" / "model.pt").unlink()
    (bundle / "large_files.yml").write_text("large_files: []\n")
    checks = list(check_release(bundle))
    assert [check for check in checks if check.mark == "FAIL"] == []
    assert any("download_large_files" in check.remedy for check in checks if check.mark == "WARN")


def test_card_figures_of_an_empty_card():
    assert card_figures("# Nothing\n") == {}


def test_the_card_says_how_large_the_weights_are(bundle_root):
    """After a change of weights: this line of docs/README.md too."""
    card = (bundle_root / "docs" / "README.md").read_text()
    millions, megabytes = re.search(r"`mini` \(([\d.]+) M parameters, (\d+) MB in half precision\)", card).groups()
    weights = bundle_root / "models" / "model.pt"
    assert float(megabytes) == round(weights.stat().st_size / 1e6)
    network = Predictor.from_bundle(bundle_root, device="cpu").network
    assert float(millions) == round(sum(p.numel() for p in network.parameters()) / 1e6, 1)

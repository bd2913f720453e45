import copy
import io
import json

import pytest
import torch
from full_disk import file_size_limit

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.cli import main
from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.release.archive import NAME, build
from coseg_bundle.release.install import InstallError, install


def refused(source, folder, words, **kwargs):
    """Not installed, with one sentence, and nothing left behind."""
    with pytest.raises(InstallError, match=words) as stop:
        install(str(source), folder, **kwargs)
    assert "\n" not in str(stop.value)
    assert list(folder.iterdir()) == []


def test_from_a_server(archive, serve, tmp_path, capsys):
    url = f"{serve(archive.parent)}/{archive.name}"
    assert main(["install", url, "--bundle-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / NAME)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME / "models" / "model.pt").is_file()
    with pytest.raises(InstallError, match="exists already; remove it"):
        install(url, tmp_path)


def test_wrong_hash(archive, serve, tmp_path):
    refused(archive, tmp_path / "b", "its SHA-256 is .*, expected 0000", checksum="0" * 64)
    refused(f"{serve(archive.parent)}/{archive.name}", tmp_path / "b", "download it again", checksum="0" * 64)


def test_no_archive_or_no_checksum(archive, serve, tmp_path):
    address = serve(tmp_path)
    refused(f"{address}/gone.zip", tmp_path / "b", r"gone.zip cannot be read \(HTTP Error 404")
    (tmp_path / "alone.zip").write_bytes(archive.read_bytes())
    refused(f"{address}/alone.zip", tmp_path / "b", "No checksum at .*; give the published one with --sha256")


def test_damaged_archive(archive, tmp_path):
    """Cut short, and with one byte flipped in the middle of the weights."""
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for data in (whole[: len(whole) // 2], bytes(flipped)):
        path = tmp_path / "bundle.zip"
        path.write_bytes(data)
        refused(path, tmp_path / "b", "is no sound archive", checksum=sha256(path))


def test_paths_that_leave_the_folder(repack, tmp_path):
    refused(repack({"../evil.txt": b"x"}), tmp_path / "b", "no sound archive .*Unsafe path")
    assert not (tmp_path / "evil.txt").exists()


def test_missing_weights(repack, tmp_path):
    refused(repack({"models/model.pt": None}), tmp_path / "b", "was not installed: no models/model.pt")


def test_not_a_bundle(repack, tmp_path):
    refused(repack({"configs/metadata.json": None}), tmp_path / "b", "holds no bundle")


def test_metadata_of_another_network(repack, metadata, tmp_path):
    false = copy.deepcopy(metadata)
    false["network_data_format"]["outputs"]["pred"]["num_channels"] = 9
    words = "metadata says 9 channels of float32"
    refused(repack({"configs/metadata.json": json.dumps(false).encode()}), tmp_path / "b", words)


def test_weights_of_another_network(repack, tmp_path):
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, file)
    refused(repack({"models/model.pt": file.getvalue()}), tmp_path / "b", "belongs to another network")


def test_pickled_code_is_not_run(repack, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil.txt"), "w"))

    file = io.BytesIO()
    torch.save({"weight": Evil()}, file)
    refused(repack({"models/model.pt": file.getvalue()}), tmp_path / "b", "not a readable weights file")
    assert not (tmp_path / "evil.txt").exists()


def test_weights_published_by_themselves(bundle_root, serve, tmp_path):
    """large_files.yml: MONAI's own download takes the weights from it, and checks their hash."""
    address = serve(tmp_path)
    light = build(bundle_root, tmp_path, f"{address}/model.pt")
    assert light.stat().st_size < 5e6
    weights = (bundle_root / "models" / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(weights[:-1] + b"x")
    refused(light, tmp_path / "b", "a file of large_files.yml is not to be had .*hash check")
    (tmp_path / "model.pt").write_bytes(weights)
    root = install(str(light), tmp_path / "b")
    assert (root / "models" / "model.pt").read_bytes() == weights


@pytest.mark.parametrize(
    "source",
    ["http://127.0.0.1:9/a b.zip", "http://127.0.0.1:x/a.zip", "http://", "https://[", "http://127.0.0.1:9/\x01"],
)
def test_addresses_that_are_none(source, tmp_path):
    refused(source, tmp_path, "cannot be read .*; check the address", checksum="0" * 64)


def test_a_full_disk_is_no_fault_of_the_address(archive, tmp_path):
    """The address was to be checked."""
    with file_size_limit(1000), pytest.raises(NoRoomError, match=rf"^{tmp_path / 'b'}: the results cannot be written"):
        install(str(archive), tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []

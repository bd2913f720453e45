import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from coseg_bundle.handlers import same_run
from coseg_bundle.handlers.same_run import (
    check_same_run,
    check_sources,
    free_folder,
    hold_folder,
    plain_values,
    put_aside,
    weights_named,
)
from coseg_bundle.networks.weights_file import CheckpointError


def test_another_run_is_refused_with_what_differs(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    check_same_run(str(checkpoint), {"seed": 0, "names": ("a",)})
    check_same_run(str(checkpoint), {"seed": 1, "names": ["a"]})  # nothing was saved of the first
    checkpoint.write_text("")
    check_same_run(str(checkpoint), {"seed": 1, "names": ["a"]})
    with pytest.raises(ValueError, match=r"run holds another run \(seed was 1, is 2; names was \['a'\], is \['b'\]\)"):
        check_same_run(str(checkpoint), {"seed": 2, "names": ["b"]})
    check_same_run(str(checkpoint), {"seed": 2, "names": ["a"]}, resume=False)
    check_same_run(str(checkpoint), {"seed": 2, "names": ["a"]})


def test_a_run_of_another_version_goes_on(tmp_path):
    """Its record may lack what is compared now, or have what no longer is."""
    checkpoint = tmp_path / "last.pt"
    check_same_run(str(checkpoint), {"seed": 0, "gone": 1})
    checkpoint.write_text("")
    check_same_run(str(checkpoint), {"seed": 0, "loss::lambda_1": 2.0})
    with pytest.raises(ValueError, match=r"\(loss::lambda_1 was 2.0, is 0.1\)"):  # from now on
        check_same_run(str(checkpoint), {"seed": 0, "loss::lambda_1": 0.1})


def test_many_differences_are_counted(tmp_path):
    checkpoint = tmp_path / "last.pt"
    check_same_run(str(checkpoint), {f"s{i}": 0 for i in range(9)})
    checkpoint.write_text("")
    with pytest.raises(ValueError, match=r"\(s0 was 0, is 1; .*s5 was 0, is 1; and 3 more\): give"):
        check_same_run(str(checkpoint), {f"s{i}": 1 for i in range(9)})


def test_plain_values_by_hand():
    class Part:
        def __init__(self, **values):
            vars(self).update(values)

    inner = Part(share=0.5, keys=("a", "b"), _hidden=1, device="cuda", drawn=np.random.RandomState())
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Identity())
    module.register_buffer("weights", torch.tensor([1.0, 2.0]), persistent=False)
    module.register_buffer("kept", torch.zeros(3))  # the checkpoint has it
    assert plain_values(part=Part(inner=inner, again=inner, table={"x": [inner, None]}), module=module, none=None) == {
        "part::_target_": "Part",
        "part::inner::_target_": "Part",
        "part::inner::share": 0.5,
        "part::inner::keys": ("a", "b"),
        "module::weights": [1.0, 2.0],
        "none": None,
        "part::table::x::1": None,
    }


@pytest.fixture
def same(bundle_root, generated, tmp_path):
    """What train.yaml compares, with these settings."""
    shutil.copytree(generated.parent, tmp_path / "data")

    def values(**settings):
        parser = ConfigParser()
        parser.read_config(str(bundle_root / "configs" / "train.yaml"))
        small = {"crop_size": 64, "output_dir": str(tmp_path / "run"), "device": "cpu"}
        parser.update({"dataset_file": str(tmp_path / "data" / generated.name), **small, **settings})
        return json.loads(json.dumps(parser.get_parsed_content("same")))

    return values


def test_every_setting_of_the_result_is_compared(same):
    """However it is given: all go through the configuration, MONAI's command line too."""
    before = same()
    assert len(before["augmentation"]) == 9  # a setting of its own
    assert before == same(max_epochs=3, num_workers=0, val_interval=1, resume=False, precision="fp32")
    for key, value, name in [
        ("loss::lambda_1", 0.1, "loss::lambda_1"),
        ("loss::focal_gamma", 2.0, "loss::focal::gamma"),
        ("loss::type_weights", [1], "loss::type_weights"),
        ("segmentation::min_nucleus_prob", 0.1, "segmentation::min_nucleus_prob"),
        ("network_def::image_encoder::drop_path", 0.5, "network::image_encoder::trunk::blocks::10::drop_path::share"),
        ("network_def::prompting", "own", "network::prompting"),
        ("augmentation::transforms::3::prob", 0.1, "augmentation::transforms::2::prob"),  # of those in use
        ("optimizer::lr", 0.1, "optimizer::lr"),
        ("optimizer::max_grad_norm", 7.0, "optimizer::max_grad_norm"),
        ("ema::warmup_iters", 10, "ema::warmup"),
        ("validate::inferer::inferer::overlap", 0.5, "inferer::inferer::overlap_px"),
        ("train::trainer::prepare_batch::told", 0.5, "prepare_batch::told"),
    ]:
        now = same(**{key: value})
        assert name in [name for name in before if before[name] != now[name]], key


def test_an_edited_label_is_another_run(same, tmp_path):
    before = same()
    label = next((tmp_path / "data").rglob("nuclei/*"))
    label.touch()
    assert same() == before
    label.write_bytes(label.read_bytes() + b" ")
    after = same()
    assert [name for name in before if before[name] != after[name]] == ["content of images and labels"]


def test_a_fresh_run_puts_the_weights_of_the_one_before_aside(tmp_path, caplog):
    """Stopped before it validates, it left the other's weights beside its own record."""
    caplog.set_level("INFO", "coseg_bundle")
    for content in ("first", "second"):
        (tmp_path / "model.pt").write_text(content)
        put_aside(str(tmp_path / "model.pt"), str(tmp_path / "best.pt"))
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"model.former.pt": "first", "model.former-2.pt": "second"}
    assert "model.pt is of the run before: it is model.former.pt now." in caplog.text


def test_a_fresh_run_leaves_no_checkpoint_of_another(tmp_path):
    """Killed before its own first checkpoint, it is not gone on with from the other's."""
    checkpoint = tmp_path / "checkpoints" / "last.pt"
    check_same_run(str(checkpoint), {"seed": 0})
    checkpoint.write_text("of seed 0")
    check_same_run(str(checkpoint), {"seed": 1}, resume=False)
    assert not checkpoint.exists()


def test_weights_of_the_same_name(tmp_path):
    checkpoint, said = tmp_path / "checkpoints" / "last.pt", []
    for folder, content in [("a", "one"), ("b", "one"), ("c", "other")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.pt").write_text(content)
        said.append(weights_named(tmp_path / folder / "model.pt"))
    assert said[0] == said[1]  # wherever they lie
    assert (weights_named(None), weights_named("gone/model.pt")) == ("", "model.pt")
    check_same_run(str(checkpoint), {"start_weights": said[0], "teachers": [said[2]]})
    checkpoint.write_text("")
    with pytest.raises(ValueError, match=r"start_weights was model.pt \(\w{8}\), is model.pt \(\w{8}\)\): give"):
        check_same_run(str(checkpoint), {"start_weights": said[2], "teachers": [said[2]]})
    with pytest.raises(ValueError, match="teachers was"):
        check_same_run(str(checkpoint), {"start_weights": said[0], "teachers": [said[0]]})
    check_same_run(str(checkpoint), {"start_weights": "model.pt", "teachers": ["model.pt"]})  # gone, or not yet said
    check_same_run(str(checkpoint), {"start_weights": said[2], "teachers": [said[2]]})


def test_weights_of_another_name(tmp_path):
    """A run went on from no copy of what it began with, nor after `--fresh` had renamed that."""
    checkpoint = tmp_path / "checkpoints" / "last.pt"
    (tmp_path / "a.pt").write_text("one")
    (tmp_path / "b.pt").write_text("one")
    a, b = weights_named(tmp_path / "a.pt"), weights_named(tmp_path / "b.pt")
    assert (a[:2], b[:2], a[4:]) == ("a.", "b.", b[4:])
    check_same_run(str(checkpoint), {"start_weights": a, "teachers": [a]})
    checkpoint.write_text("")
    check_same_run(str(checkpoint), {"start_weights": b, "teachers": [b]})
    check_same_run(str(checkpoint), {"classes": ["Tumor (positive)", "Stroma (positive)"]})
    with pytest.raises(ValueError, match="classes was "):  # a word of eight letters is no content
        check_same_run(str(checkpoint), {"classes": ["Stroma (positive)", "Tumor (positive)"]})
    check_same_run(str(checkpoint), {"start_weights": b, "teachers": [b]})
    for other in ("", "a.pt"):  # none, and of another name where nobody knows the content
        with pytest.raises(ValueError, match=r"start_weights was b.pt \(\w{8}\), is "):
            check_same_run(str(checkpoint), {"start_weights": other, "teachers": [b]})


def test_a_run_does_not_replace_what_it_starts_from(tmp_path):
    own, other = tmp_path / "run" / "model.pt", tmp_path / "other.pt"
    own.parent.mkdir()
    for path in (own, other):
        path.write_text("")
    check_sources([None, other, ""], [str(own)], True)
    check_sources([own], [str(own)], False)  # begun by a former version: compared by its content
    with pytest.raises(ValueError, match=r"model\.pt would not be there for a run that goes on.*--output.*copy"):
        check_sources([other, tmp_path / "run" / ".." / "run" / "model.pt"], [str(own)], True)
    for begins in (True, False):
        with pytest.raises(CheckpointError, match=r"Weights not found: .*gone\.pt does not exist; check the path"):
            check_sources([tmp_path / "gone.pt"], [], begins)


@pytest.fixture
def held_elsewhere(tmp_path):
    """Has another process hold a folder, until its input ends."""
    code = (
        "import sys; from coseg_bundle.handlers.same_run import hold_folder; "
        "hold_folder(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()
        process.wait(60)


def test_two_trainings_do_not_share_a_folder(tmp_path, held_elsewhere, monkeypatch):
    """Both ended with exit code 0, and the weights of one took the place of the other's."""
    monkeypatch.setattr(same_run, "WAIT_S", 0.2)
    with pytest.raises(ValueError, match=r"run: another training is at work there; wait for its end, or give another"):
        hold_folder(tmp_path / "run")
    hold_folder(tmp_path / "other")
    free_folder(tmp_path / "other")
    held_elsewhere.kill()
    held_elsewhere.wait(60)
    hold_folder(tmp_path / "run")
    hold_folder(str(tmp_path / "other" / ".." / "run"))  # the same process, after a failure
    free_folder(tmp_path / "run")
    free_folder(tmp_path / "run")


def test_file_systems_without_locks_are_said(tmp_path, monkeypatch, caplog):
    """As NFS without its lock daemon answers: no training began there."""

    def none(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("filelock.FileLock.acquire", none)
    code = errno.ENOLCK
    hold_folder(tmp_path)
    assert "its file system has no locks" in caplog.text
    code = errno.EACCES
    with pytest.raises(PermissionError):
        hold_folder(tmp_path)

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from full_disk import file_size_limit

from coseg_bundle.cli import main
from coseg_bundle.commands.training import train
from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import read_state_dict, read_weights

SMALL = ["crop_size=64", "epoch_length=8", "batch_size=2", "num_workers=1", "val_interval=1", "device=cpu"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def named(generated, tmp_path):
    """The generated images in a datalist of their own, with names for the ids."""
    path = tmp_path / "list.json"
    names = ["--nuclei-classes", "1=round", "2=spindle", "--tissue-classes", "background", "gland"]
    assert main(["datalist", str(generated.parent), "--output", str(path), *names]) == 0
    return path


def coseg(cwd, *arguments, code=0):
    command = [sys.executable, "-m", "coseg_bundle.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_one_line_errors(named, generated, tmp_path, capsys):
    (tmp_path / "no.pt").write_text("words")
    here = ["--output", str(tmp_path / "run"), *SMALL, "max_epochs=1"]
    for arguments, words in [
        (["gone.json"], "Datalist not found"),
        ([str(named), "--start-weights", str(tmp_path / "no.pt"), *here], "no.pt is not a readable weights file"),
        ([str(named), "max_epoch=2"], "Unknown setting 'max_epoch': did you mean max_epochs?"),
        ([str(named), "--preset", "papper"], "There is no preset 'papper': expected one of mini_classes"),
        ([str(named), "--nuclei-classes", "a", "b"], "label id 0 of nuclei_classes must be background"),
        ([str(named), "--start-weights", "seed=3", "mpp=1", "seed=1"], "seed is given twice, as 1 and as 3; leave one"),
        ([str(named), "seed=3", "--preset", "quick", "seed=1", *here], "seed is given twice, as 3 and as 1; leave one"),
        (
            [str(named), "--output", "a", "output_dir=b"],
            f"output_dir is given twice, as {os.path.abspath('a')} and as b;",
        ),
        ([str(named), "--fresh", "resume=true"], "resume is given twice, as False and as True; leave one of them out."),
        (
            [str(named), "--nuclei-classes", "background", "a", "nuclei_classes=[background, b]"],
            "is given twice, as ['b",
        ),
        ([str(named), "dataset_file=other.json"], "and as other.json; leave one of them out."),
        ([str(named), "--preset", "papper", "--preset", "quick"], "There is no preset 'papper'"),  # not the last alone
        ([str(named), *here, "network_def=3"], "Expected a list or table for network_def, such as"),
    ]:
        assert main(["train", *arguments]) == 1
        assert words in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["train", str(named), "--seed", "3"])


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            ["device=foo"],
            r"The configuration cannot be built with these settings \(.*foo\); check dataset_file, .*device",
        ),
        (["val_interval=0"], "Expected a val_interval of 1 epoch or more, got 0"),
        (["max_epochs=0"], "Expected max_epochs of 1 or more, got 0"),
        (["seed=-1"], "Expected a seed from 0 to 4294967295, got -1"),
        (["scale_ranges={'consep': [1, 2]}"], r"scale_ranges names unknown datasets \['consep'\]; the datalist has"),
        (
            ["--preset", "list.json"],
            "list.json: Unknown setting 'validation': did you mean validate",
        ),
    ],
)
def test_what_the_configuration_does_not_survive(named, tmp_path, capsys, monkeypatch, last, words):
    monkeypatch.chdir(named.parent)
    keys = {text.partition("=")[0] for text in last}
    small = [text for text in (*SMALL, "max_epochs=1") if text.partition("=")[0] not in keys]
    assert main(["train", str(named), "--output", str(tmp_path / "run"), *small, *last]) == 1
    assert re.search(words, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("learning_ratee: 1.0e-3", r"mine.yaml: Unknown setting 'learning_ratee': did you mean learning_rate"),
        (
            "nuclei_clases: [background, round]",
            r"mine.yaml: Unknown setting 'nuclei_clases': did you mean nuclei_classes",
        ),
        ("learning_rate: 1e-4", r"mine.yaml: Expected a number for learning_rate, such as .*, got '1e-4'"),
        ("'loss::lambda_11': 2.0", r"mine.yaml: .*lambda_11"),
    ],
)
def test_a_preset_of_one_s_own_is_checked(named, tmp_path, capsys, content, words):
    """A misspelt key was ignored: the weights had one class of nuclei."""
    (tmp_path / "mine.yaml").write_text(content + "\n")
    preset = ["--preset", str(tmp_path / "mine.yaml"), "--output", str(tmp_path / "run"), *SMALL, "max_epochs=1"]
    assert main(["train", str(named), *preset]) == 1
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_preset_that_trains_nothing(named, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("run: []\n")
    preset = ["--preset", str(tmp_path / "mine.yaml"), "--output", str(tmp_path / "run"), *SMALL, "max_epochs=1"]
    assert main(["train", str(named), *preset]) == 1
    said = r"Nothing was trained, .*model\.pt was not written: look at max_epochs and at the files"
    assert re.search(said, capsys.readouterr().err)


def test_a_preset_may_have_keys_that_it_reads_itself(bundle_root, tmp_path):
    from monai.bundle import ConfigParser

    (tmp_path / "mine.yaml").write_text("mine: 3\nmax_epochs: '$@mine + 1'\n'loss::lambda_1': 2.0\n")
    config = ConfigParser.load_config_file(str(bundle_root / "configs" / "train.yaml"))
    train._check_preset(tmp_path / "mine.yaml", config)


def test_each_flag_has_its_key(bundle_root):
    """Explained beside it in train.yaml, but for those that name files over it."""
    parser = argparse.ArgumentParser(add_help=False)
    train.add_arguments(parser)
    flags = {action.dest for action in parser._actions} - {"settings", "preset", "profile"}
    keys = {"datalist": "dataset_file", "output": "output_dir", "fresh": "resume", "bundle": "bundle_root"}
    text = (bundle_root / "configs" / "train.yaml").read_text(encoding="utf-8")
    for key in (keys.get(flag, flag) for flag in flags):
        assert re.search(rf"^{key}: .*# \w", text, flags=re.M), key


def test_trained_stopped_and_resumed_from_a_foreign_folder(named, bundle_root, tmp_path):
    """SIGINT to the whole group, as a terminal sends it; the same command; MONAI's, which has nothing left to do."""
    arguments = [named, "--start-weights", *SMALL, "max_epochs=100"]
    command = [sys.executable, "-u", "-m", "coseg_bundle.cli", "train", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "progress: step 2 of 400" in line:
                os.killpg(child.pid, signal.SIGINT)
        assert child.wait(timeout=60) == 130
    said = "".join(lines)
    assert "Traceback" not in said
    assert "ignite" not in said
    step = int(re.search(r"Stopped after step (\d+) of 400, saved: the same command goes on\.$", lines[-1])[1])
    assert "nuclei classes round are new and start as the nuclei mask" in said
    arguments[-1] = f"max_epochs={step // 4 + 1}"
    out, _ = coseg(tmp_path, "train", *arguments)
    assert out.count(f"step {step}.") == 1
    assert "are new" not in out
    run = tmp_path / "runs" / "train"
    assert out.endswith(f"Weights: {run / 'model.pt'}\n")
    assert len(list((run / "tensorboard").iterdir())) == 2  # one each
    about = About.from_tensor(read_weights(run / "model.pt")[1])
    assert about.nuclei_classes == ("background", "round", "spindle")
    assert (about.untrained, about.training["seed"]) == ((), 0)

    words = shlex.split(out.splitlines()[0])
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path / "runs", env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert "epochs are done already" in done.stdout
    _, error = coseg(tmp_path, "train", *arguments, "learning_rate=0.5", code=1)
    assert "holds another run (learning_rate was 0.001, is 0.5" in error
    assert error.count("\n") == 1


def test_the_printed_command_is_the_same_run(named, tmp_path):
    out, _ = coseg(
        tmp_path, "train", named, "-o", "a", *SMALL, "max_epochs=1", "--nuclei-classes", "0=background", "1=nucleus"
    )
    words = shlex.split(out.splitlines()[0])
    words[words.index("--output_dir") + 1] = str(tmp_path / "b")
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True)
    first, second = (read_state_dict(tmp_path / name / "model.pt") for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_full_disk_is_no_setting(named, tmp_path, capsys):
    """The settings were to be checked."""
    run = tmp_path / "run"
    with file_size_limit(500_000):
        assert main(["train", str(named), "-o", str(run), *SMALL, "max_epochs=1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"coseg: {run}/[a-z./]+: the results cannot be written there \(.+\)\.", last)
    assert not list(run.rglob("*.pt"))


def test_own_weights_are_no_start(named, bundle_root, tmp_path, capsys):
    """A run that began with them, and was stopped before its first validation, was of no use: they had been renamed."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.pt").write_text("of another run")
    weights = run / "model.pt"
    weights.write_bytes((bundle_root / "models" / "model.pt").read_bytes())
    arguments = [str(named), "--fresh", "--output", str(run), *SMALL, "max_epochs=1"]
    for words, options in [
        ("model.pt would not be there for a run that goes on", ["--start-weights", str(weights)]),
        ("model.pt would not be there for a run that goes on", [f"teachers=[{weights}]"]),
        ("gone.pt does not exist; check the path", ["--start-weights", str(run / "gone.pt")]),
    ]:
        assert main(["train", *arguments, *options]) == 1
        assert words in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    assert sorted(path.name for path in run.rglob("*") if path.is_file()) == ["last.pt", "model.pt", "run.lock"]

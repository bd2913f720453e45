import re
import subprocess
import sys

import pytest

from coseg_bundle.cli import COMMANDS, command_name, main


def test_help_is_instant_and_names_every_command():
    command = [sys.executable, "-X", "importtime", "-m", "coseg_bundle.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(re.findall(r"\|\s+(\w+)$", done.stderr, re.M))
    assert "argparse" in imported
    assert not imported & {"torch", "monai", "cv2", "skimage", "scipy", "numpy"}
    for module in COMMANDS:
        assert command_name(module) in done.stdout


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_explains_itself(module, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command_name(module), "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "a.png", "--output", "x", "--mpp", "zero"])
    assert stop.value.code == 2
    assert "expected a number above 0, got 'zero'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])


def test_errors_are_one_sentence(tmp_path, capsys):
    assert main(["datalist", str(tmp_path / "gone")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("coseg: ")
    assert error.count("\n") == 1

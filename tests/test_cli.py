import argparse
import os
import re
import subprocess
import sys

import pytest

from coseg_bundle.cli import COMMANDS, build_parser, command_name, main


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


def described(parser, name="coseg"):
    """Every argument of a parser and of those below it, with its help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from described(below, f"{name} {word}")
        else:
            yield f"{name} {action.metavar or action.dest}", action.help


def test_every_argument_says_what_it_is():
    """In words of its own: neither nothing, nor a default alone, nor "the same"."""
    found = list(described(build_parser()))
    assert len(found) > 100
    assert [name for name, said in found if re.fullmatch(r"(the same.*)?(\(.*\))?", said or "")] == []


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "a.png", "--output", "x", "--mpp", "zero"])
    assert stop.value.code == 2
    assert "expected a number above 0, got 'zero'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
    with pytest.raises(SystemExit):
        main(["view", "results", "--port", "70000"])
    assert "expected a port from 0 to 65535, got '70000'" in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads_the_output(unbuffered, tmp_path):
    """`coseg ... | head -1` ends as other programs do: without a word."""
    code = "import sys; from coseg_bundle.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "doctor"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert (running.stderr.read(), running.wait()) == ("", 141)
    running.stderr.close()


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError("the disk is full")])
def test_other_pipes_are_errors(error, monkeypatch, capsys):
    def fails(arguments):
        raise error

    monkeypatch.setattr("coseg_bundle.commands.bundle.doctor.run", fails)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == f"coseg: {error}\n"


def test_errors_are_one_sentence(tmp_path, capsys):
    assert main(["datalist", str(tmp_path / "gone")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("coseg: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("raise RuntimeError('no GEOS\\nat all')", "import broken_geos", "no GEOS"),
        ("", "import broken_geos.parts", "No module named 'broken_geos.parts'; 'broken_geos' is not a package"),
        ("", "from broken_geos import parts", "cannot import name 'parts' from 'broken_geos'"),
    ],
)
def test_a_package_that_does_not_import_is_one_sentence(content, line, reason, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_geos.py").write_text(f"{content}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_geos", raising=False)
    monkeypatch.setattr(
        "coseg_bundle.commands.bundle.doctor.run", lambda arguments: exec(line, {"__name__": "coseg_bundle.x"})
    )
    assert main(["doctor"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"coseg: broken_geos is installed and does not import ({reason}")
    assert error.endswith("; `coseg doctor` says how to mend it.\n")
    with pytest.raises((RuntimeError, ImportError)):
        main(["--verbose", "doctor"])


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    monkeypatch.setattr("coseg_bundle.commands.bundle.doctor.run", lambda arguments: {}["x"])
    with pytest.raises(KeyError, match="x"):
        main(["doctor"])

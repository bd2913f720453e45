import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import Target
from .worker import tried

ROOT = Path(__file__).parents[2]


def _raises(error):
    def call(folder):
        raise error

    return call


def _writes(folder):
    (folder.parent / "escaped").touch()


def _answers(folder):
    (folder / "out").mkdir()
    (folder / "out" / "a").touch()


@pytest.mark.parametrize(
    ("do", "outcome"),
    [
        (_answers, "answer"),
        (_raises(ValueError("a sentence")), "sentence"),
        (_raises(OSError("a sentence")), "sentence"),
        (_raises(KeyError("x")), "traceback"),
        (_raises(MemoryError()), "traceback"),
        (_writes, "files outside"),
        (lambda folder: (folder / "a.txt").write_text("x"), "files outside"),
        ("compare a b", "sentence"),
        ("compare", "exit code 2"),
    ],
)
def test_what_came_of_an_input(tmp_path, monkeypatch, do, outcome):
    monkeypatch.chdir(tmp_path)
    target = Target("door", "a.txt", b"content", do)
    done = tried(target, random.Random(0), tmp_path / "in")
    assert done["outcome"] == outcome, done
    assert ("Traceback" in done["traceback"]) == (outcome == "traceback")


@pytest.mark.slow
def test_ten_seconds_of_it(tmp_path):
    """Inputs are numbered, and a second run of the same seed tries the same."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "fuzz.py"),
        "--worker",
        "--seed",
        "3",
        "--doors",
        "npy",
        "datalist",
    ]
    lines = []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
            lines.append([json.loads(process.stdout.readline()) for _ in range(5)])
            process.kill()
    assert [line["number"] for line in lines[0]] == [0, 1, 2, 3, 4]
    assert [(line["door"], line["outcome"]) for line in lines[0]] == [
        (line["door"], line["outcome"]) for line in lines[1]
    ]

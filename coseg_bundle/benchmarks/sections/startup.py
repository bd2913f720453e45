"""What a command takes from start to end, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.data.synthetic import synthetic_tissue


def lines(rounds: int = 3) -> Iterator[str]:
    """The section."""
    yield "\nStart-up, wall time of whole commands"
    with TemporaryDirectory() as name:
        image = Path(name, "image.png")
        Image.fromarray(synthetic_tissue(size=256, seed=0).rgb).save(image)
        predict = ["predict", str(image), "--output", str(Path(name, "out")), "--overwrite"]
        commands = {
            "coseg --help (at most 0.5)": ["--help"],
            "coseg doctor (at most 3)": ["doctor"],
            "coseg predict, 256 x 256 px (at most 5)": predict,
        }
        taken = seconds(*(lambda options=options: _coseg(options) for options in commands.values()), rounds=rounds)
        for what, spent in zip(commands, taken, strict=True):
            yield row(what, f"{spent:.2f} s")
        (importing,) = seconds(lambda: _python("import coseg_bundle"), rounds=rounds)
        (nothing,) = seconds(lambda: _python("pass"), rounds=rounds)
        yield row("import coseg_bundle (at most 0.2)", f"{importing - nothing:.2f} s")


def _coseg(options: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "coseg_bundle.cli", *options], check=True, capture_output=True)


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

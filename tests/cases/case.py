"""What a case is: an input that is made, what is done with it, and exactly what must come of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Make = Callable[[Path], None]
Look = Callable[[Path, Any], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A row of the corpus.

    Attributes:
        door: Where the input comes in; the module's name.
        name: What is odd about it.
        make: Writes the input into an empty folder, which is also the working directory.
        do: Words after `coseg`, or a call from Python whose ValueError or OSError counts as exit code 1.
        code: The exit code: 0 all well, 1 a sentence, 2 wrong usage.
        says: Regular expression for what is said: for the whole line where the exit code is 1.
        right: What is found afterwards, by the names that `look` gives; a function says whether a value is right.
        look: Looks at the folder and what the call returned.
        writes: What may be written beside `out/`.
    """

    door: str
    name: str
    make: Make
    do: str | Callable[[Path], Any]
    code: int = 0
    says: str = ""
    right: Mapping[str, Any] = field(default_factory=dict)
    look: Look | None = None
    writes: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The words of the command."""
        assert isinstance(self.do, str)
        return shlex.split(self.do)


def upto(limit: float) -> Callable[[Any], bool]:
    """Right is what is no larger."""
    return lambda value: value <= limit


def near(wanted: float, within: float = 1e-3) -> Callable[[Any], bool]:
    """Right is what is about as large."""
    return lambda value: abs(value - wanted) <= within


def with_words(pattern: str) -> Callable[[Any], bool]:
    """Right is a text, or a list of texts, with words in it."""
    return lambda value: re.search(pattern, value if isinstance(value, str) else "\n".join(value)) is not None


def check(case: Case, code: int, said: str, found: Mapping[str, Any]) -> None:
    """Compares what came of a case with what is right."""
    assert code == case.code, said
    assert "Traceback" not in said
    if case.says and case.code == 1:
        lines = [line.removeprefix("coseg: ").strip() for line in said.splitlines()]
        assert any(re.fullmatch(case.says, line) for line in lines), said
    elif case.says:
        assert re.search(case.says, said), said
    for name, right in case.right.items():
        is_right = right(found[name]) if callable(right) else found[name] == right
        assert is_right, f"{name}: found {found[name]!r}, right is {right!r}; said: {said}"


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its content, results aside."""
    return {
        str(path.relative_to(folder)): b"" if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_file() or path.is_symlink()) and path.relative_to(folder).parts[0] != "out"
    }

"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_PARTIAL = re.compile(r"\.(\d+)\.(?!old\.).+")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; it takes the place of `path` when the block ends without an error.

    A process that is killed leaves the file under its temporary name; `clear` removes it.
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the suffix, which writers read the format from
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def rename_aside(path: Path) -> Path:
    """Renames a file in whose place another one goes, and returns its name: `model.former.pt`, then
    `model.former-2.pt`, so that earlier ones stay too."""
    former = path.with_suffix(f".former{path.suffix}")
    for number in count(2):
        if not os.path.lexists(former):
            break
        former = path.with_suffix(f".former-{number}{path.suffix}")
    return path.replace(former)


def not_replaced(path: Path, command: str) -> str:
    """Why `coseg` COMMAND leaves a file that something else wrote."""
    return (
        f"{path} was not written by coseg {command}, which writes a file of that name; move it elsewhere, or give "
        "another --output."
    )


def clear(folder: Path) -> None:
    """Removes what runs that were killed left of a `whole_file` in a folder, for whoever begins to write there."""
    for item in list(folder.iterdir()) if folder.is_dir() else []:
        match = _PARTIAL.fullmatch(item.name)
        if match and item.is_file() and not _runs(int(match[1])):
            item.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields the name of a folder to make beside `path`; it takes the place of `path` when the block ends well.

    Between the old folder and the new one there is an instant with none of this name. A run that is killed in it, or
    earlier, leaves folders with a dot in front: the next run puts an old one back and removes the others.
    """
    for pid in _left_by(path):
        _tidy(path, pid)
    partial, old = _names(path, os.getpid())
    try:
        yield partial
        if path.exists():
            os.replace(path, old)  # a folder that is not empty cannot be replaced
        os.replace(partial, path)
    finally:
        _tidy(path, os.getpid())


def carry_over(former: Path, new: Path, is_own: Callable[[Path], bool]) -> None:
    """Copies what somebody put into a folder into the one that takes its place; links stay links.

    Args:
        former: The folder that goes; nothing is done where there is none.
        new: The folder that comes.
        is_own: Whether a file, by its path in the folder, is one of those that are written anew.
    """
    for file in sorted(former.rglob("*")):
        place = file.relative_to(former)
        if (file.is_symlink() or file.is_file()) and not is_own(place):
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, new / place, follow_symlinks=False)


def _names(path: Path, pid: int) -> tuple[Path, Path]:
    """What a process calls its unfinished folder, and the old one while it is replaced."""
    return path.with_name(f".{pid}.{path.name}"), path.with_name(f".{pid}.old.{path.name}")


def _tidy(path: Path, pid: int) -> None:
    """Removes what a process left; its old folder comes back where no new one took its place."""
    partial, old = _names(path, pid)
    if old.exists() and not path.exists():
        os.replace(old, path)
    for folder in (partial, old):
        shutil.rmtree(folder, ignore_errors=True)


def _left_by(path: Path) -> list[int]:
    """Processes that left something and are gone, in rising order; this one counts, for their ids come again."""
    name = re.compile(rf"\.(\d+)\.(?:old\.)?{re.escape(path.name)}")
    found = {int(match[1]) for item in path.parent.iterdir() if (match := name.fullmatch(item.name))}
    return sorted(pid for pid in found if pid == os.getpid() or not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # it is someone else's
        return True
    return True

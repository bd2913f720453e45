"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quotas
"""Errors of systems that come of writing alone."""

_FULL_WORDS = re.compile(
    r"\d+ requested and \d+ written|encoder error -2 when writing image file"
    r"|\[enforce fail at inline_container\.cc:\d+\] \. (?:unexpected pos|PytorchStreamWriter)"
)
"""The same in the words of NumPy, Pillow and PyTorch, which say no reason."""

_PARTIAL = re.compile(r"\.(\d+)\.(?!old\.).+")


class NoRoomError(OSError):
    """The disk, a quota or a limit takes no more.

    Args:
        path: The file or folder that cannot be written.
        number: The system's `errno`.
        reason: What it means.
    """

    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__(f"{path}: the results cannot be written there ({reason}).")
        self.path, self.errno, self.reason = path, number, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.errno, self.reason)  # it comes from other processes too


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of errors in the block that tell of a full disk what could not be written: they name no file.

    Args:
        path: What is written in the block: a file or a folder. Of blocks in blocks the outermost names it, for those
            inside may have temporary names.

    Raises:
        NoRoomError: Nothing more can be written there.
    """
    try:
        yield
    except Exception as error:
        if (found := _no_room(error)) is None:
            raise
        raise NoRoomError(path, *found) from error


def _no_room(error: BaseException) -> tuple[int, str] | None:
    """The system's number and what it means where an error, or one that it was raised from, tells of a full disk."""
    if isinstance(error, NoRoomError):
        return error.errno or errno.ENOSPC, error.reason
    if isinstance(error, OSError) and error.errno is not None and error.errno in _FULL:
        return error.errno, os.strerror(error.errno)
    if isinstance(error, OSError | RuntimeError) and _FULL_WORDS.match(str(error)):
        return errno.ENOSPC, "the disk is full, or a quota or limit is reached"
    cause = error.__cause__  # pydicom raises its own from the system's; one of ours is said already, with its file
    return None if cause is None or isinstance(cause, NoRoomError) else _no_room(cause)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; it takes the place of `path` when the block ends without an error.

    A process that is killed leaves the file under its temporary name; `clear` removes it.

    Raises:
        NoRoomError: The disk is full.
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the suffix, which writers read the format from
    try:
        with writing(path):
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

    Raises:
        NoRoomError: The disk is full.
    """
    for pid in _left_by(path):
        _tidy(path, pid)
    partial, old = _names(path, os.getpid())
    try:
        with writing(path):
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

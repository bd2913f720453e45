"""Folders of results: which one belongs to a file, who may write into it, and whether what is there is still true.

A folder is called as its file is, suffix and all. Where a folder or a file of that name is someone else's, and where a
command has several files of one name, the folder's name goes on with eight characters that stand for the file's path.
So no two files share a folder, and no file's folder depends on the order in which files are given. A folder with files
that no run wrote is a person's own.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from coseg_bundle.atomic import clear, writing
from coseg_bundle.fingerprint import fingerprint, is_junk
from coseg_bundle.writers.summary import FILES, MADE_FROM, SUMMARY, BrokenRecordError, differences, read_record

logger = logging.getLogger(__name__)

Kind = Literal["predict", "slide"]
LOCK = ".lock"
"""Lies in a folder while a run is at work there, and stays where one ended with files but no record of them."""

MEASURES = "measures"
"""What `coseg measure` makes of a folder of results, in that folder."""

MEASURED = "measures.json"
"""The file that says that a folder is one of measures."""

OF_MEASURES = (
    *(MEASURED, "report.html", "nuclei.parquet", "nuclei.csv"),
    *(f"{table}.csv" for table in ("slide", "tissue", "classes", "regions", "grid")),
)
"""What `coseg measure` writes into it; anything else is a person's."""

JOURNAL = Path(".work", "plan.json")
"""Where a slide's run that is not finished says what it is made from."""


class ResultsFolderError(ValueError):
    """A folder of results that cannot be used; the message names it and the remedy."""


def result_folders(
    files: Sequence[Path], output: Path, is_of: Callable[[Path, Path], bool | None] | None = None
) -> list[Path]:
    """The folder of each file, in `output`.

    A folder that exists is the file's own where it was made from that file, or from one of the same content that is no
    longer where it was: files may be moved.

    Args:
        files: The files.
        output: The folder of folders.
        is_of: Whether what exists under a folder's name belongs to a file; None where it is nobody's. Results of
            `predict` and `slide` by default.
    """
    names = Counter(name for name, _ in {(_same_name(path), path.resolve()) for path in files})
    return [_folder_of(path, output, names[_same_name(path)] == 1, is_of or _is_of) for path in files]


def _folder_of(path: Path, output: Path, alone: bool, is_of: Callable[[Path, Path], bool | None]) -> Path:
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]
    marked = output / f"{os.fsdecode(os.fsencode(path.name)[:200])}-{digest}"
    plain = output / path.name
    own = is_of(plain, path) if os.path.lexists(plain) else None
    if own is False and is_of is _is_of and plain.is_dir() and _is_foreign(plain):
        logger.warning("%s holds files, and no %s of a run; the results of %s go to %s.", plain, SUMMARY, path, marked)
    return marked if os.path.isdir(marked) or own is False or (own is None and not alone) else plain


_MARK = re.compile(r"(?<=\.\w{3})-[0-9a-f]{8}$|(?<=\.\w{4})-[0-9a-f]{8}$")
"""What the folder of a file ends with where several files have one name."""


def without_mark(name: str) -> str:
    """The file's name that a folder of results has.

    Example:
        >>> without_mark("a.png-0123abcd"), without_mark("a.png")
        ('a.png', 'a.png')
    """
    return _MARK.sub("", name)


def _same_name(path: Path) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", path.name).casefold()


def _is_of(folder: Path, path: Path) -> bool | None:
    """Whether what exists under a folder's name belongs to a file; None where it is nobody's."""
    if not folder.is_dir():
        return False
    try:
        made_from = recorded(folder)
    except BrokenRecordError:
        return None  # said when it is to be used
    if made_from is None or not isinstance(made_from.get("file"), str):
        return False if _is_foreign(folder) else None
    then = Path(made_from["file"])
    if then == path.resolve():
        return True
    try:
        return not then.exists() and made_from.get("content") == fingerprint(path)
    except OSError:
        return False


def _is_foreign(folder: Path) -> bool:
    """Whether there are files that no run wrote."""
    return not (folder / LOCK).exists() and _has_unrecorded(folder)


def _has_unrecorded(folder: Path) -> bool:
    """Whether there are files without a word on what they are made from; what systems leave, and folders, aside."""
    try:
        made_from = recorded(folder)
    except BrokenRecordError:
        return False  # said when it is to be used
    return made_from is None and any(item.is_file() and not is_junk(item.name) for item in folder.iterdir())


def recorded(folder: Path) -> dict[str, Any] | None:
    """What the results in a folder, finished or not, are made from; None where there are none.

    Raises:
        BrokenRecordError: The file that says so is broken.
    """
    if (folder / SUMMARY).is_file():
        summary = read_record(folder / SUMMARY)
        said = {"slide": "slide", "image": "predict"}  # by summaries without it
        unsaid = [{"kind": kind, "file": summary[name]} for name, kind in said.items() if name in summary]
        if summary and MADE_FROM not in summary and not unsaid:
            return None  # somebody else's
        made_from = summary.get(MADE_FROM, (unsaid or [{}])[0])
        if not isinstance(made_from, dict):
            raise BrokenRecordError(f"{folder / SUMMARY} is broken (expected {MADE_FROM} to be an object)")
        return made_from
    if (folder / JOURNAL).is_file():
        plan = read_record(folder / JOURNAL)
        return {**plan, "kind": "slide", "file": plan.get("slide")}  # as `Plan.record`
    return None


def check_kind(folder: Path, kind: Kind) -> None:
    """Keeps `predict` and `slide` out of each other's folders.

    Raises:
        ResultsFolderError: The folder holds results of the other command.
    """
    with_work = (folder / JOURNAL).is_file()
    try:
        made_from = recorded(folder)
    except BrokenRecordError:
        made_from = {"kind": "slide"} if with_work else None
    other = "slide" if kind == "predict" else "predict"
    if (made_from or {}).get("kind") == other or (with_work and kind == "predict"):
        raise ResultsFolderError(
            f"{folder} holds results of coseg {other}, and this is coseg {kind}; give another --output."
        )


def finished(folder: Path, now: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of results that are complete and made from the same; None where there are none.

    Args:
        folder: The folder of results.
        now: What they would be made from now.

    Raises:
        ResultsFolderError: They are made from something else, files of them are gone, or their summary is broken.
    """
    if not (folder / SUMMARY).is_file():
        return None
    try:
        then = recorded(folder) or {}
        summary = read_record(folder / SUMMARY)
    except BrokenRecordError as error:
        raise ResultsFolderError(f"{error}; make the results anew with --overwrite, or remove the folder.") from error
    if "content" not in then:
        raise ResultsFolderError(
            f"{folder} holds finished results that do not say what they were made from; make them anew with "
            "--overwrite, or give another --output."
        )
    if different := differences(then, now):
        raise ResultsFolderError(
            f"{folder} holds finished results of {then.get('file')}, which differ in {', '.join(different)}; make them "
            "anew with --overwrite, or give another --output."
        )
    if lost := [name for name, size in _named(summary).items() if not _holds(folder / name, size)]:
        raise ResultsFolderError(
            f"{folder} holds finished results whose {', '.join(lost)} is missing or not whole; make them anew with "
            "--overwrite, or give another --output."
        )
    return summary


def check_own(folder: Path, summary: dict[str, Any], *names: str) -> None:
    """Refuses files that are no longer those which a summary tells of: whoever reads results asks here first.

    Args:
        folder: The folder of results.
        summary: Content of its `summary.json`; those of former versions say no sizes, and nothing is refused.
        names: The files that are to be read; what the summary does not name may be anything.

    Raises:
        ResultsFolderError: A file is gone, or has another size than it was written with.
    """
    for name, size in _named(summary).items():
        if name not in names or size is None:
            continue
        path = folder / name
        came = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        if came != f"{size} bytes":
            command = "predict" if "image" in summary else "slide"
            raise ResultsFolderError(
                f"{path} was changed, or is of other results: expected the {size} bytes that {SUMMARY} says, got "
                f"{came}; put it back, or make the results anew with coseg {command} --overwrite."
            )


def is_measures(folder: Path) -> bool:
    """Whether a folder holds measures or nothing, and may be measured into; a person's files may lie among them."""
    return folder.is_dir() and ((folder / MEASURED).is_file() or not any(folder.iterdir()))


def is_of_measures(place: Path) -> bool:
    """Whether a file in a folder of measures, by its path in there, is one of them or what systems leave."""
    return (place.name in OF_MEASURES and len(place.parts) == 1) or is_junk(place.name)


def remove_measures(folder: Path) -> None:
    """Removes measures, and the folder with them.

    Where a person's files are among them those stay, with the record, by which the folder may be measured into again.
    """
    if not is_measures(folder):
        return
    items = list(folder.iterdir())
    own = [item for item in items if is_of_measures(Path(item.name))]
    if len(own) == len(items):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for item in own:
        if item.name in OF_MEASURES and item.name != MEASURED:
            item.unlink()


def is_own(folder: Path, name: str) -> bool:
    """Whether a file is still the one that the summary beside it names."""
    try:
        named = _named(read_record(folder / SUMMARY))
    except (OSError, BrokenRecordError):
        return False
    return name in named and _holds(folder / name, named[name])


def _named(summary: dict[str, Any]) -> dict[str, Any]:
    """The files that a summary names, and their sizes; summaries of before have no sizes."""
    named = summary.get(FILES)
    if isinstance(named, list):
        return dict.fromkeys(map(str, named))
    return named if isinstance(named, dict) else {}


def _holds(path: Path, size: Any) -> bool:
    """Whether there is a file of a size; of any but 0 where that is None."""
    return path.is_file() and path.stat().st_size > 0 and size in (None, path.stat().st_size)


@contextmanager
def claimed(folder: Path, kind: Kind) -> Iterator[None]:
    """Makes a folder and keeps every other run out of it, as long as the block lasts and this process lives.

    Raises:
        ResultsFolderError: It cannot be written to, another run is at work there, it is the other command's, or holds
            files that no run wrote.
        NoRoomError: The disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_foreign(folder):
            raise ResultsFolderError(
                f"{folder} holds files that are no results of coseg; give another folder, or move them elsewhere."
            )
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise ResultsFolderError(f"{folder}: the results cannot be written there ({error.strerror}).") from error
    with file:
        _lock(folder, file)
        try:
            check_kind(folder, kind)
            clear(folder)
            with writing(folder):
                yield
        finally:
            if not _has_unrecorded(folder):  # while it is held: who waits for this file finds another one
                (folder / LOCK).unlink(missing_ok=True)


def _lock(folder: Path, file: Any) -> None:
    busy = ResultsFolderError(f"{folder}: another run is at work there; wait for its end, or give another --output.")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        _say_no_locks(folder.parent)
        return
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise busy from error
        _say_no_locks(folder.parent)
        return
    held, there = os.fstat(file.fileno()), _stat(folder / LOCK)
    if there is None or (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino):
        raise busy  # its run ended, and perhaps another one began, between opening and locking


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


@cache
def _say_no_locks(output: Path) -> None:
    logger.warning("%s: its file system has no locks; see to it that no other run writes there.", output)

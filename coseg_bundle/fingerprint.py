"""The content of a file in a few bytes: is it still the one that the results were made of?

Files up to 64 MiB are hashed whole. Of larger ones: the size, the first and the last MiB, 64 blocks in between, and of
a TIFF the place and length of every tile, which change with what is in them. A file's name and times do not count.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from pathlib import Path
from typing import Any

WHOLE_BYTES = 64 * 2**20
"""Files of at most this size are hashed whole: less than a tenth of a second."""

_END, _BLOCK, _BLOCKS = 2**20, 2**16, 64
_ABOUT = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
"""Names of the files that say what the others of an OME-Zarr are."""

_REFERENCE = re.compile(rb'(?:FileName|MetadataFile)="([^"<>/\\]+)"')
"""How OME-XML names the other files of a set."""

_JUNK = {
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""Folders that archives, servers and systems make, and files that they leave in others; names that begin with a dot are
theirs too."""

MOST_TIFF_PAGES = 2000
"""Slides have fewer than twenty; stacks of thousands are no image of tissue, and are refused anyway."""


def fingerprint(path: Path) -> str:
    """SHA-256, in hexadecimal, of what a file and its companions hold.

    Args:
        path: An image or a slide; of a folder (a DICOM series, OME-Zarr) all its files count, by their names, sizes and
            blocks of them, but for what systems leave in folders.

    Raises:
        OSError: One of the files cannot be read.

    Example:
        >>> _ = Path("a.txt").write_bytes(b"abc")                                           # doctest: +SKIP
        >>> fingerprint(Path("a.txt"))[:8]                                                  # doctest: +SKIP
        'c12cc8e5'
    """
    digest = hashlib.sha256()
    if path.is_dir():
        _add_folder(digest, path)
        return digest.hexdigest()
    for file in (path, *companions(path)):
        digest.update(f"{'' if file == path else file.name}\0{file.stat().st_size}\0".encode())
        _add(digest, file)
    return digest.hexdigest()


def companions(path: Path) -> list[Path]:
    """The other files of a slide, sorted: a MIRAX folder, the files that a Hamamatsu index or OME-XML names, the rest
    of a DICOM series."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        folder = path.with_suffix("")
        return _meant(folder) if folder.is_dir() else []
    with path.open("rb") as file:
        head = file.read(_END)
    if head[128:132] == b"DICM":
        return _same_series(path)
    if suffix in (".vms", ".vmu"):
        named = [line.partition("=")[2].strip() for line in head.decode("latin-1").splitlines()]
    elif b"<OME" in head:
        named = [name.decode("utf-8", "replace") for name in _REFERENCE.findall(head)]
    else:
        return []
    beside = {file.name: file for file in path.parent.iterdir() if file.is_file() and file != path}
    return [beside[name] for name in sorted(set(named)) if name in beside]


def bytes_of(path: Path) -> int:
    """Bytes in a file, or in all files of a folder."""
    return sum(file.stat().st_size for file in files_in(path)) if path.is_dir() else path.stat().st_size


def files_in(folder: Path) -> list[Path]:
    """The files of a folder and of those in it, sorted."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def is_junk(name: str) -> bool:
    """Whether a file or a folder of this name was left by a system: hidden, or `__MACOSX`, `Thumbs.db` and the like."""
    return name.startswith(".") or name.lower() in _JUNK


def _meant(folder: Path) -> list[Path]:
    """The files in a folder but for what systems leave there; some of an OME-Zarr begin with a dot."""
    return [file for file in files_in(folder) if file.name.startswith(".z") or not is_junk(file.name)]


def tiff_pages_end(file: Any) -> bool:
    """Whether an open `tifffile.TiffFile` has at most `MOST_TIFF_PAGES` pages.

    To be asked before its `series`: each page names the next one's place, and those of a damaged file go in circles.
    Asked for a late page, tifffile finds most circles and cuts them; page by page it follows each.
    """
    try:
        file.pages[MOST_TIFF_PAGES]
    except IndexError:
        return True
    return next(islice(file.pages, MOST_TIFF_PAGES, None), None) is None


def _add_folder(digest: Any, folder: Path) -> None:
    """Adds every file's name and size, and the contents of all, or where they are many those that say what is in the
    others and as many blocks of the rest as of a large file."""
    files = _meant(folder)
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
    whole = sum(file.stat().st_size for file in files) <= WHOLE_BYTES
    about = [file for file in files if whole or file.name in _ABOUT]
    rest = [file for file in files if file not in set(about)]
    for file in [*about, *rest[:: max(1, len(rest) // _BLOCKS)]]:
        _add(digest, file)


def _add(digest: Any, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            whole = hashlib.sha256()
            while part := file.read(_BLOCK):
                whole.update(part)
            digest.update(whole.digest())
            return
        digest.update(file.read(_END))
        for number in range(_BLOCKS):
            file.seek(_END + (size - 2 * _END) * number // _BLOCKS)
            digest.update(file.read(_BLOCK))
        file.seek(size - _END)
        digest.update(file.read(_END))
    _add_index(digest, path)


def _add_index(digest: Any, path: Path) -> None:
    """Adds where a TIFF's tiles lie and how long they are; other files have no index that is known here."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            levels = [level for series in file.series for level in series.levels] if tiff_pages_end(file) else []
            index = [(page.dataoffsets, page.databytecounts) for level in levels for page in level.pages if page]
    except Exception:  # no TIFF, or one that the reader refuses in its own words
        return
    digest.update(repr(index).encode())


def _same_series(path: Path) -> list[Path]:
    """The DICOM files of the folder that belong to the same series; all of them where pydicom is not installed."""
    try:
        import pydicom
    except ImportError:
        pydicom = None

    def series(file: Path) -> str:
        if pydicom is None:
            return ""
        try:
            tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            return str(tags.get("SeriesInstanceUID", ""))
        except Exception:  # damaged: of no series
            return str(file)

    own = series(path)
    return [file for file in sorted(path.parent.iterdir()) if file != path and _is_dicom(file) and series(file) == own]


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"

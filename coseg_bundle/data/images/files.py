"""What a file must be before anything of it is decoded."""

from __future__ import annotations

import unicodedata
from os import PathLike
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".nii.gz")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")
SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".dcm", ".zarr")
"""Whole slides that `coseg slide` reads and nothing else here does, as far as a suffix tells."""

MAX_PIXELS = 1_000_000_000
"""Larger images are slides: read whole they would need more than 3 GB. What a header says counts, before decoding."""

LEFT_OUT = "left out: "
"""How a note begins on what a file holds beside the image that is read, where it may be tissue."""


class ImageFileError(ValueError):
    """A file that cannot be used as an image or a label map; the message names it and the remedy."""


def suffix_of(path: str | PathLike[str]) -> str:
    """Lower-case suffix of a file; `.nii.gz` counts as one."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: str | PathLike[str]) -> str:
    """File name without its suffix, as `composed`, to be compared with others; `.nii.gz` counts as one."""
    name = Path(path).name
    suffix = suffix_of(path)
    return composed(name[: len(name) - len(suffix)] if suffix else name)


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): a Mac writes an umlaut as two characters, which look like one.

    Example:
        >>> composed("a\u0308") == "\u00e4"
        True
    """
    return unicodedata.normalize("NFC", name)


def spellings(name: str, made_from: str | PathLike[str] | None = None) -> tuple[str, ...]:
    """The names that a file of a composed name may have on a disk: composed, decomposed, and as another file is spelt.

    Keyboards of Windows type some letters half composed, which is neither form.

    Args:
        name: The composed name.
        made_from: A file whose stem, or folders and stem joined by `_`, is the name.

    Example:
        >>> [len(name) for name in spellings("\u1ebf", "\u00ea\u0301.png")]
        [1, 3, 2]
    """
    own = []
    if made_from is not None and not name.isascii():
        joined = "_".join(Path(made_from).parts)
        end = len(joined) - len(suffix_of(made_from))
        own = [tail for start in range(end) if composed(tail := joined[start:end]) == name]
    return tuple(dict.fromkeys((name, unicodedata.normalize("NFD", name), *own)))


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raises ImageFileError where an image is too large to be read whole.

    Args:
        path: The file, for the message.
        width: Width that its header says, px.
        height: Height.
    """
    if width * height > MAX_PIXELS:
        raise ImageFileError(
            f"{path}: its header says {width} x {height} pixels, and at most {MAX_PIXELS} are read whole; cut regions "
            "from it, or save it as a tiled TIFF for `coseg slide`."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something did not fit in memory; PyTorch and OpenCV have no exception of their own for it on a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in text for words in ("out of memory", "allocate memory", "failed to allocate", "insufficient memory")
    )


def spares_others(error: BaseException, *kinds: type[Exception]) -> bool:
    """Whether an error is about one file, which is listed while the others go on; any other is a fault of the program.

    Args:
        error: The error.
        kinds: Kinds that count beside ours and the system's.
    """
    return isinstance(error, (ValueError, OSError, *kinds)) or is_out_of_memory(error)


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return str(error).splitlines()[0] if str(error).strip() else type(error).__name__


def sentence_of(path: Path, error: BaseException, too_large: str = "") -> str:
    """What is to be said of a file that failed, in one line that names it; `too_large` is what to do where it does not
    fit in memory."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        reason = f"does not fit in memory ({first_line(error)}){too_large}"
    return reason if str(path) in reason else f"{path}: {reason}"


def package_needed(path: Path, package: str) -> str:
    """What to tell of a file that only another package reads."""
    return f"{path}: {package} is needed to read it; pip install 'coseg-bundle[full]'."


def missing_package(error: BaseException) -> str | None:
    """Which package is not installed, where that is what an error says."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0] or None
        return "imagecodecs" if package == "compression" else package  # of Python 3.14, which tifffile tries instead
    return "imagecodecs" if "requires the 'imagecodecs' package" in str(error) else None  # tifffile's words

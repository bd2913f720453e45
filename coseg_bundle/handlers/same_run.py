"""One folder, one run: a resumed training is the one that was begun there."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from coseg_bundle.atomic import rename_aside, whole_file
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.networks.weights_file import CheckpointError

logger = logging.getLogger(__name__)

_locks: dict[Path, Any] = {}
"""Those of this process: a lock that nobody knows any more is free."""

WAIT_S = 15
"""Seconds for which a folder that another training holds is waited for."""

_SAID = 6
"""Differences that a sentence lists; it counts the others."""

_NOT_THE_RESULTS = ("training", "precision", "device", "model", "ema_model", "teachers", "batch_size")
"""Attributes that may change in a run, or that are compared by another name."""

_NOT_OURS = ("builtins", "torch", "numpy")
"""Packages whose objects are left alone: generators, tensors, layers (their sizes are the checkpoint's)."""

_CONTENT = re.compile(r" \(([0-9a-f]{8})\)$")
"""What `weights_named` says behind the name of a file."""


_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""What file systems answer that know none: some of networks."""


def hold_folder(folder: str | PathLike[str]) -> None:
    """Keeps every other training out of a folder until `free_folder`, or until this process ends.

    Of one that was killed the loaders hold it for some seconds longer.

    Args:
        folder: The run's; it is made where it is not there.

    Raises:
        ValueError: Another training is at work there.
    """
    from filelock import Timeout

    try:
        _lock_of(folder).acquire(timeout=WAIT_S)
    except Timeout as error:
        raise ValueError(
            f"{folder}: another training is at work there; wait for its end, or give another output_dir (--output)."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s: its file system has no locks; see to it that no other training writes there.", folder)


def free_folder(folder: str | PathLike[str]) -> None:
    """Lets other trainings into a folder."""
    _lock_of(folder).release(force=True)


def _lock_of(folder: str | PathLike[str]) -> Any:
    """The one lock of this process for a folder: a training that failed in it can be run again."""
    from filelock import FileLock

    path = Path(folder).resolve() / "checkpoints" / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return _locks.setdefault(path, FileLock(str(path), thread_local=False))


def check_sources(weights: Sequence[str | PathLike[str] | None], written: Sequence[str], begins: bool) -> None:
    """Refuses weights that a stopped run could not find again: one that goes on reads what it began with, too.

    Args:
        weights: Files that a run starts from or is taught by; None is none.
        written: Files that it writes.
        begins: Whether it begins; one that goes on may have been begun by a former version from what it replaced.

    Raises:
        CheckpointError: A file of weights is not there.
        ValueError: The run would write its own in the place of one.
    """
    for path in (Path(file) for file in weights if file):
        if not path.is_file():
            raise CheckpointError(f"Weights not found: {path} does not exist; check the path, or put them back.")
        if begins and path.resolve() in {Path(file).resolve() for file in written}:
            raise ValueError(
                f"{path} would not be there for a run that goes on, since this one writes its own in that place: give "
                "another output_dir (--output), or copy the weights elsewhere and name the copy."
            )


def check_same_run(checkpoint: str, settings: Mapping[str, Any], resume: bool = True) -> None:
    """Refuses to go on from the checkpoint of another run, and writes down which run this is, beside it.

    Args:
        checkpoint: The last checkpoint, which may not be there yet.
        settings: Plain values, by name, that a resumed run must have in common with the one before; names that only
            one of them has are another version's, and do not count.
        resume: False begins anew: the checkpoint goes, so that nobody takes it for one of this run (`put_aside` keeps
            the weights).

    Raises:
        ValueError: Data, classes or settings differ.
    """
    record = Path(checkpoint).with_name("run.json")
    now = json.loads(json.dumps(settings))
    if resume and Path(checkpoint).is_file() and record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        names = [name for name in before if name in now and not _alike(before[name], now[name])]
        if names:
            differing = "; ".join(f"{name} was {before[name]}, is {now[name]}" for name in names[:_SAID])
            differing += f"; and {len(names) - _SAID} more" if len(names) > _SAID else ""
            raise ValueError(
                f"{record.parent.parent} holds another run ({differing}): give the same to go on with it, another "
                "output_dir (--output), or resume false (--fresh) to begin anew there."
            )
    record.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        Path(checkpoint).unlink(missing_ok=True)
    with whole_file(record) as partial:
        partial.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def put_aside(*weights: str) -> None:
    """Renames what a run before left where a run that begins will write, so that nobody takes it for this one's.

    Args:
        weights: Files, which may not be there: `model.pt` becomes `model.former.pt`, the next `model.former-2.pt`.
    """
    for path in map(Path, weights):
        if path.is_file():
            former = rename_aside(path)
            logger.info("%s is of the run before: it is %s now.", path, former.name)


def plain_values(**parts: Any) -> dict[str, Any]:
    """The numbers and words in what a training is built of, by their place, however they came there: by KEY=VALUE of a
    command, by a preset, by a default.

    Args:
        parts: Networks, losses, transforms and the like, by name. What a network learns, and what it computes in and
            on, is left out.

    Example:
        >>> from monai.transforms import Compose, RandFlip
        >>> plain_values(augmentation=Compose([RandFlip(prob=0.5)]))["augmentation::transforms::0::prob"]
        0.5
    """
    return dict(_values("", parts, set()))


def _values(name: str, part: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if _is_plain(part):
        yield name, part
        return
    if id(part) in seen:
        return
    seen.add(id(part))
    inside: dict[Any, Any] = {}
    if isinstance(part, Mapping):
        inside = dict(part)
    elif isinstance(part, Sequence):
        inside = dict(enumerate(part))
    elif type(part).__module__.partition(".")[0] not in _NOT_OURS:
        yield f"{name}::_target_", type(part).__name__
        inside = {key: value for key, value in getattr(part, "__dict__", {}).items() if not key.startswith("_")}
    if isinstance(part, nn.Module):
        constants = {key: value for key, value in part._buffers.items() if key not in part.state_dict()}
        inside |= {key: None if value is None else value.tolist() for key, value in constants.items()}
        inside |= dict(part.named_children())
    for key, value in inside.items():
        if key not in _NOT_THE_RESULTS:
            yield from _values(f"{name}::{key}" if name else str(key), value, seen)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def weights_named(path: str | PathLike[str] | None) -> str:
    """Name and content of a weights file, wherever it lies: most are called `model.pt`.

    Example:
        >>> weights_named(None)
        ''
    """
    if not path:
        return ""
    path = Path(path)
    return f"{path.name} ({fingerprint(path)[:8]})" if path.is_file() else path.name


def _alike(before: Any, now: Any) -> bool:
    """Whether values are the same. Weights are by their content, for files are renamed; by their name where one of the
    two has no content beside it."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return all(map(_alike, before, now))
    if not (isinstance(before, str) and isinstance(now, str)):
        return bool(before == now)
    contents = [_CONTENT.findall(text) for text in (before, now)]
    return contents[0] == contents[1] if all(contents) else _CONTENT.sub("", before) == _CONTENT.sub("", now)

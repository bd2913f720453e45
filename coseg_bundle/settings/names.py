"""Which settings a configuration has, by name."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pydoc import locate
from typing import Any


def unknown_setting(key: str, part: str, names: Iterable[str], file: str, before: Sequence[str] = ()) -> str:
    """What to say of a setting that a configuration has not: the nearest one, or where all are.

    Args:
        key: The setting as it was given.
        part: What of it is unknown.
        names: What could stand in its place.
        file: The configuration.
        before: What of the key leads to that place.
    """
    near = difflib.get_close_matches(part, names, n=1, cutoff=0.5)
    meant = f"did you mean {'::'.join([*before, near[0]])}?" if near else f"{file} lists them all."
    return f"Unknown setting {key!r}: {meant}"


def default_of(key: str, config: Mapping[str, Any], file: str) -> Any:
    """What a configuration says of a setting; None of an argument that it leaves to the code.

    Args:
        key: Its id; `a::b` or `a#b` is `b` in `a`, or an argument of what `a` builds.
        config: The configuration, as its files have it.
        file: Its name, for messages.

    Raises:
        ValueError: There is no such setting.
    """
    node: Any = config
    parts = re.split("::|#", key)
    for number, part in enumerate(parts):
        names = _names(node, is_last=number == len(parts) - 1)
        if part not in names:
            raise ValueError(unknown_setting(key, part, names, file, parts[:number]))
        node = node[int(part)] if isinstance(node, list) else node.get(part)
    return node


def _names(node: Any, is_last: bool) -> list[str]:
    """What may follow a node: its keys, and in the end the arguments of its target."""
    if isinstance(node, list):
        return [str(number) for number in range(len(node))]
    if not isinstance(node, Mapping):
        return []
    target = node.get("_target_")
    names = list(node)
    if is_last and isinstance(target, str):
        names += ["_disabled_", "_requires_"]
        built = locate(target) or locate(f"monai.transforms.{target}")
        names += list(inspect.signature(built).parameters) if callable(built) else []
    return names

"""Settings of a command, `KEY=VALUE`, checked against the configuration that they change."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from coseg_bundle.settings.names import default_of

_EXPRESSION = ("$", "@", "%")
"""How text begins that MONAI's parser computes."""


def parse_setting(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` with a value as Python or YAML writes it.

    Raises:
        ValueError: There is no `=`, or nothing before it.

    Example:
        >>> parse_setting("learning_rate=1e-4"), parse_setting("scale_range=[1, 2]"), parse_setting("two_scales=true")
        (('learning_rate', 0.0001), ('scale_range', [1, 2]), ('two_scales', True))
    """
    import yaml

    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValueError(f"Expected KEY=VALUE, such as max_epochs=20, got {text!r}.")
    try:
        return name.replace("#", "::"), ast.literal_eval(value)
    except (ValueError, SyntaxError):
        pass
    try:
        return name.replace("#", "::"), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: {value!r} is no value that YAML reads; put text with brackets in quotes.") from error


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings by name, of `KEY=VALUE` each.

    Flags may take some of a command's in, so which one is the last cannot be told.

    Raises:
        ValueError: One is none, or a key has two values.

    Example:
        >>> parse_settings(["max_epochs=3", "learning_rate=1e-4", "max_epochs=3"])
        {'max_epochs': 3, 'learning_rate': 0.0001}
    """
    return together(*({name: value} for name, value in map(parse_setting, texts)))


def together(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from several places, such as flags and KEY=VALUE, of which none comes before another.

    Raises:
        ValueError: A key has two values.
    """
    settings: dict[str, Any] = {}
    for name, value in (pair for part in parts for pair in part.items()):
        if settings.setdefault(name, value) != value:
            raise ValueError(f"{name} is given twice, as {settings[name]} and as {value}; leave one of them out.")
    return settings


def check_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuses what the configuration would take without a word and never read, and numbers that are none.

    Args:
        config: The configuration, as its files have it.
        settings: Values by id; `a::b` is `b` in `a`, or an argument of what `a` builds.

    Raises:
        ValueError: A key is unknown, or its value is of another kind than the configuration's.
    """
    for key, value in settings.items():
        _check_kind(key, default_of(key, config, "configs/train.yaml"), value)


def _check_kind(key: str, default: Any, value: Any) -> None:
    if isinstance(value, str) and value.startswith(_EXPRESSION):
        return
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, float):
        fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif isinstance(default, list | dict):
        fits, wanted = value is None or isinstance(value, list | tuple | dict), "a list or table"
    else:
        return
    if not fits:
        such = textwrap.shorten(str(default), 100, placeholder=" ...")
        raise ValueError(f"Expected {wanted} for {key}, such as {such}, got {value!r}.")

"""Packages whose names are imported when they are used: what nobody uses need not be installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a package.

    Args:
        package: Its name.
        homes: Names that it gives, and the module inside it that each is defined in.

    Example:
        >>> attribute, names = lazily("coseg_bundle", {"find_bundle_root": "bundle_root"})
        >>> attribute("find_bundle_root").__name__, names()
        ('find_bundle_root', ['find_bundle_root'])
    """

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return attribute, lambda: sorted(homes)

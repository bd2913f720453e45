"""`summary.json`: what every folder of results ends with."""

from __future__ import annotations

import platform
from importlib.metadata import version

SUMMARY = "summary.json"
"""Written last: where it is, the results are complete."""


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of packages, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}

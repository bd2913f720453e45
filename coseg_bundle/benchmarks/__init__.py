"""Measurements of speed, in sections.

Every number is a median of rounds in which both sides take turns, in one run, and is stated as a ratio.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

SECTIONS = (
    "postprocessing",
    "inference",
    "startup",
    "training",
    "metrics",
    "slides",
    "ray",
    "slide_agreement",
    "corrections",
    "peers",
)
ON_REQUEST = ("slide_agreement",)
"""Sections that are left out unless they are named: this one needs the real slide, in `COSEG_DATA`/slides."""


def measure(section: str) -> Iterator[str]:
    """Runs a section.

    Args:
        section: One of `SECTIONS`.

    Yields:
        Its lines, each as soon as its figures are there.
    """
    yield from import_module(f"{__name__}.sections.{section}").lines()

"""Say what is installed, which weights are found, what is missing and how to mend it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Prints the examination; 1 if anything that is needed is missing or broken."""
    from coseg_bundle.doctor import examine

    code = 0
    for finding in examine(arguments.bundle):
        remedy = f"\n         -> {finding.remedy}" if finding.remedy else ""
        print(f"{finding.mark:<8} {finding.what}{remedy}", flush=True)
        if finding.mark in ("MISSING", "BROKEN"):
            code = 1
    return code

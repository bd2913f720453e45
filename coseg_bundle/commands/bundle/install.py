"""Install a released bundle: download its archive, check it, unpack it.

The archive's SHA-256, its paths, and whether configurations, metadata and weights agree are checked before anything is
put into place. Configurations are code: install archives of people you trust.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("source", metavar="ARCHIVE", help="URL or file of the zip that `make bundle` wrote")
    parser.add_argument("--sha256", metavar="HEX", help="its SHA-256; what ARCHIVE.sha256 says by default")
    parser.add_argument("--bundle-dir", type=Path, default=Path("bundles"), metavar="DIR", help="default: bundles")


def run(arguments: argparse.Namespace) -> int:
    """Installs."""
    from coseg_bundle.release.install import install

    print(install(arguments.source, arguments.bundle_dir, arguments.sha256))
    return 0

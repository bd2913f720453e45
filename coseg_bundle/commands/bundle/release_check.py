"""Go through the release checklist: what MONAI and its model zoo ask of a bundle.

Every line is PASS, WARN or FAIL, with what to do. The exit code is 1 after a FAIL.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Prints the checklist."""
    from coseg_bundle.bundle_root import PACKED, find_bundle_root
    from coseg_bundle.release.checks import check_release

    root = find_bundle_root(arguments.bundle)
    if root.name == PACKED:
        raise ValueError(
            f"{root} is the copy inside the installed package, without a release's documents; name the folder of a "
            "checkout, or of an installed archive, with --bundle."
        )
    print(root)
    failed = 0
    for check in check_release(root):
        print(f"{check.mark}  {check.what}" + (f"  ->  {check.remedy}" if check.remedy else ""))
        failed += check.mark == "FAIL"
    print(f"{failed} to mend" if failed else "ready to release")
    return 1 if failed else 0

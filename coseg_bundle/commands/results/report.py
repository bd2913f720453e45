"""Write a report of finished results: one HTML file with pictures and tables, to read, send or print.

RESULTS are folders that coseg slide or coseg predict wrote, or a cohort, the folder that coseg measure --output wrote.
What is not measured yet is measured first, as coseg measure does; what was measured before the results or its regions
changed, with what it was measured with. The page is RESULTS/measures/report.html, of a cohort COHORT/report.html. It
loads nothing and runs nothing.

For example:
  coseg report results/slide.svs
  coseg report cohort
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coseg_bundle.commands.arguments import check_slide, positive_number, unused_mpp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="finished folders, or a cohort")
    parser.add_argument("--slide", type=Path, metavar="FILE", help="the slide or image of one RESULTS, where it is now")
    parser.add_argument("--mpp", type=positive_number, help="microns per pixel, where nothing says them")


def run(arguments: argparse.Namespace) -> int:
    """Writes reports; 1 if any failed."""
    from coseg_bundle.measures.cohort import doubts_of, report
    from coseg_bundle.measures.files import RECORD
    from coseg_bundle.writers.summary import read_record

    paths = list(dict.fromkeys(arguments.results))
    check_slide(arguments.slide, paths)
    failed = False
    for path in paths:
        outcome = report(path, arguments.slide, arguments.mpp)
        failed |= outcome.error is not None
        print(f"coseg: {outcome.error}" if outcome.error else f"{path}: {outcome.folder / 'report.html'}",
              file=sys.stderr if outcome.error else sys.stdout, flush=True)  # fmt: skip
        if outcome.error:
            continue
        unused = unused_mpp(arguments.mpp, read_record(outcome.folder / RECORD)["mpp"]) if arguments.mpp else ()
        for sentence in (*doubts_of(path), *unused):
            print(f"coseg: {sentence}", file=sys.stderr)
    return 1 if failed else 0

"""Compare two reports of `coseg evaluate` image by image.

Prints for each score the mean of both, the paired difference B - A with its 95 % bootstrap interval, and the p-value of
the Wilcoxon signed-rank test. Says what is left out, on how many images only one report has a score (* and their mean),
and how small a p-value so many images can give.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("report_a", type=Path, metavar="REPORT_A", help="report.json, or the folder that holds it")
    parser.add_argument("report_b", type=Path, metavar="REPORT_B", help="another report on the same images")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison."""
    from coseg_bundle.evaluation.compare import compare, format_differences, left_out, read_report

    a, b = read_report(arguments.report_a), read_report(arguments.report_b)
    print(format_differences(compare(a, b, arguments.seed)))
    for sentence in left_out(a, b):
        print(sentence)
    return 0

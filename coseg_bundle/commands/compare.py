"""Compare two reports of `coseg evaluate` image by image.

Prints for each score the mean of both, the paired difference B - A with its 95 % bootstrap interval, and the p-value of
the Wilcoxon signed-rank test.
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
    from coseg_bundle.evaluation.compare import compare

    print(f"{'score':<24}{'images':>7}{'A':>10}{'B':>10}{'B - A':>10}{'95 % interval':>24}{'p':>10}")
    for row in compare(arguments.report_a, arguments.report_b, arguments.seed):
        interval = f"[{row.low:+.4f}, {row.high:+.4f}]"
        numbers = f"{row.images:>7}{row.mean_a:>10.4f}{row.mean_b:>10.4f}{row.difference:>+10.4f}"
        print(f"{row.name:<24}{numbers}{interval:>24}{row.p_value:>10.2g}")
    return 0

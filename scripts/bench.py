"""Measures speed as ratios: every number is a median of rounds in which both sides take turns, in one run.

python scripts/bench.py                     all sections
python scripts/bench.py postprocessing      one of them
"""

import argparse
import os

from coseg_bundle.benchmarks import ON_REQUEST, SECTIONS, measure
from coseg_bundle.engine.cores import keep_memory

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; all if none is named"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; expected {', '.join(SECTIONS)}")
    keep_memory()  # as `coseg` does
    print(f"{os.cpu_count()} cores")
    for section in arguments.sections or [name for name in SECTIONS if name not in ON_REQUEST]:
        for line in measure(section):
            print(line, flush=True)

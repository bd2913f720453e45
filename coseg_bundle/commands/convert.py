"""Write a slide's finished results in another format, beside those that are there.

dicom: nuclei.dcm (Microscopy Bulk Simple Annotations, a group for each class) and tissue.dcm (Segmentation), for DICOM
viewers and archives. They refer to the slide where it is DICOM; give the DICOM version of any other slide with --slide.
Without it they refer to an image with made-up identities, the same at every conversion.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="folders that coseg slide wrote")
    parser.add_argument("--to", required=True, choices=("dicom",), help="the format")
    parser.add_argument("--slide", type=Path, metavar="FILE", help="a DICOM file of the slide, for results to refer to")


def run(arguments: argparse.Namespace) -> int:
    """Converts."""
    from coseg_bundle.wsi.dicom import write_dicom
    from coseg_bundle.wsi.finished import FinishedSlide

    if arguments.slide and len(arguments.results) > 1:
        raise ValueError("--slide is for one folder of results.")
    for folder in arguments.results:
        finished = FinishedSlide.open(folder)
        written = write_dicom(finished, arguments.slide)
        print(
            f"{folder}: {finished.summary['nuclei']} nuclei -> {', '.join(path.name for path in written)}", flush=True
        )
    return 0

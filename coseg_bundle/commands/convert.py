"""Write a slide's finished results in another format, beside those that are there.

dicom: nuclei.dcm (Microscopy Bulk Simple Annotations, a group for each class) and tissue.dcm (Segmentation), for DICOM
viewers and archives. They refer to the slide where it is DICOM; give the DICOM version of any other slide with --slide.
Without it they refer to an image with made-up identities, the same at every conversion.

spatialdata: spatialdata.zarr, nuclei as shapes with a table, tissue as labels and shapes, for Python and napari.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="folders that coseg slide wrote")
    parser.add_argument("--to", required=True, choices=("dicom", "spatialdata"), help="the format")
    parser.add_argument("--slide", type=Path, metavar="FILE", help="a DICOM file of the slide, for DICOM to refer to")


def run(arguments: argparse.Namespace) -> int:
    """Converts."""
    from coseg_bundle.wsi.dicom import write_dicom
    from coseg_bundle.wsi.finished import FinishedSlide
    from coseg_bundle.wsi.spatial_data import write_spatialdata

    if arguments.slide and (len(arguments.results) > 1 or arguments.to != "dicom"):
        raise ValueError("--slide is for one folder of results, and --to dicom.")
    for folder in arguments.results:
        finished = FinishedSlide.open(folder)
        if arguments.to == "dicom":
            written = write_dicom(finished, arguments.slide)
        else:
            written = [write_spatialdata(finished)]
        print(
            f"{folder}: {finished.summary['nuclei']} nuclei -> {', '.join(path.name for path in written)}", flush=True
        )
    return 0

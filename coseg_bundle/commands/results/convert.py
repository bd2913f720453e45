"""Write a slide's finished results in another format, beside those that are there.

dicom: nuclei.dcm (Microscopy Bulk Simple Annotations, a group for each class) and tissue.dcm (Segmentation), for DICOM
viewers and archives. They refer to the slide where it is DICOM; give the DICOM version of any other slide with --slide.
Without it they refer to an image with made-up identities, the same at every conversion. What they refer to is printed.

spatialdata: spatialdata.zarr, nuclei as shapes with a table, tissue as labels and shapes, for Python and napari.

Earlier conversions are replaced. What another program wrote under their names is refused, and so is SpatialData that
was changed since; DICOM files that a person changed are replaced: save those under other names.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="folders that coseg slide wrote")
    parser.add_argument("--to", required=True, choices=("dicom", "spatialdata"), help="the format")
    parser.add_argument("--slide", type=Path, metavar="FILE", help="a DICOM file of the slide or their folder, for DICOM to refer to")


def run(arguments: argparse.Namespace) -> int:
    """Converts; 1 if any folder failed."""
    if arguments.slide and (len(arguments.results) > 1 or arguments.to != "dicom"):
        raise ValueError("--slide is for one folder of results, and --to dicom.")
    failed = False
    for folder in arguments.results:
        try:
            line, doubts = _converted(folder, arguments.to, arguments.slide)
            print(line, flush=True)
            for sentence in doubts:
                print(f"coseg: {folder}: {sentence}", file=sys.stderr)
        except (ValueError, OSError) as error:  # the messages are written for users
            logger.debug("%s", folder, exc_info=True)
            failed = True
            message = str(error) if str(folder) in str(error) else f"{folder}: {error}"
            print(f"coseg: {message}", file=sys.stderr)
    return 1 if failed else 0


def _converted(folder: Path, to: str, slide: Path | None) -> tuple[str, list[str]]:
    """Converts one slide's results; returns a line about them, and what makes them doubtful."""
    from shapely.errors import ShapelyError

    from coseg_bundle.writers.corrections import doubts_about
    from coseg_bundle.writers.summary import doubts_in
    from coseg_bundle.wsi.results.dicom import write_dicom
    from coseg_bundle.wsi.results.reading import FinishedSlide
    from coseg_bundle.wsi.results.spatial_data import write_spatialdata

    finished = FinishedSlide.open(folder)
    notes: tuple[str, ...] = ()
    try:
        if to == "spatialdata":
            names, refer = write_spatialdata(finished).name, ""
        else:
            files = write_dicom(finished, slide)
            names, notes = ", ".join(path.name for path in files.paths), files.notes
            refer = f"; they refer to {files.image or 'made-up identities, for want of a DICOM image (see --slide)'}"
    except ShapelyError as error:  # outlines that are damaged
        raise ValueError(
            f"{folder}: its outlines are broken ({error}); make the results anew with coseg slide --overwrite."
        ) from error
    line = f"{folder}: {finished.summary['nuclei']} nuclei -> {names}{refer}"
    return line, [*notes, *doubts_about(folder, doubts_in(finished.summary))]

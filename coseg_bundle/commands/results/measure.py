"""Measure finished results: tables of nuclei, tissue and regions, and a report.

RESULTS are folders that coseg slide or coseg predict wrote, or nuclei of other programs: GeoJSON (QuPath, CellViT,
HoVer-NeXt, StarDist), label maps (Cellpose, InstanSeg: TIFF, PNG, NPY), annotation stores (TIAToolbox). Writes into
RESULTS/measures, or into DIR/<name> for each:

  nuclei.parquet   a row per nucleus: shape, haematoxylin and eosin, neighbours, distances, probabilities (GeoParquet)
  slide.csv        one row: area, nuclei by class with intervals, densities, means and quantiles of every measure
  tissue.csv       the same for each tissue class, classes.csv for each nuclei class
  regions.csv      for each region, with --regions or --by region
  grid.csv         for each cell of a grid, with --by grid:250um
  report.html      one page with pictures and tables, to read or to print
  measures.json    what it was made from, settings, versions, what was left out

With --output, DIR/slides.csv has a row for each slide, with what failed and why, and the other tables are there for all
slides together, those that were measured into DIR before too. Glass, pen and what was not scanned are no part of an
area, and corrections that were saved in coseg view are left out, which is said. docs/measures.md defines every column.

For example:
  coseg measure results/slide.svs                                      beside the results
  coseg measure results/* --output cohort                              one table for all slides
  coseg measure results/slide.svs --regions regions.geojson            and a row for each region that was drawn
  coseg measure results/slide.svs --by grid:250um --by region          a grid, and each connected region of tissue
  coseg measure results/* --role tumor=Nest --role stroma=Stroma       what classes of yours are
  coseg measure cells.geojson --slide slide.svs --output measured      nuclei of another program
  coseg measure masks/* --slide images --mpp 0.5 --output cohort       Cellpose's masks a_cp_masks.tif, ... of a.png, ...
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from coseg_bundle.commands.arguments import check_slide, positive_number, unused_mpp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    said = "finished folders, or nuclei as GeoJSON, label map or annotation store"
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help=said)
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="FILE",
        help="regions of interest: GeoJSON of QuPath, ASAP's XML, or a label image over the slide; by default those "
        "that coseg slide --regions was given",
    )
    parser.add_argument(
        "--by",
        action="append",
        type=_by,
        default=[],
        metavar="tissue|region|grid:SIDEum",
        help="more tables: region for each region (of --regions, or else each connected region of tissue), grid:250um "
        "for each cell of a grid; tissue is always there. May be given several times",
    )
    parser.add_argument(
        "--role",
        action="append",
        type=_role,
        default=[],
        metavar="ROLE=CLASS",
        help="what a class is, in place of what its name says: tumor or stroma of tissue, inflammatory of nuclei; ratios "
        "and infiltration are of these. Given several times they add up; ROLE= is none",
    )
    parser.add_argument("--output", "-o", type=Path, metavar="DIR", help="folder for the measures of all")
    parser.add_argument("--slide", type=Path, metavar="FILE|DIR", help="the slide or image of one RESULTS, where it is now; or a folder that holds those of all")
    parser.add_argument("--mpp", type=positive_number, help="microns per pixel, where nothing says them")
    parser.add_argument(
        "--origin",
        choices=("bounds", "canvas"),
        help="where pixel (0, 0) of such nuclei lies on slides that say which part of the glass was scanned (SCN, "
        "MRXS, BIF): at the corner of that part, as in QuPath, or of the glass, as in OpenSlide and tools that read with "
        "it (CellViT, TIAToolbox). By default bounds, and canvas for annotation stores",
    )
    parser.add_argument("--no-stains", action="store_true", help="leave out haematoxylin and eosin: far less to read")
    parser.add_argument("--csv", action="store_true", help="write the nuclei as nuclei.csv too")


def run(arguments: argparse.Namespace) -> int:
    """Measures; 1 if anything failed or was left out because it could not be used."""
    from coseg_bundle.measures.cohort import Given, measure_all, measure_folders, write_cohort
    from coseg_bundle.measures.groups.roles import said_of_roles
    from coseg_bundle.measures.measuring import Wanted
    from coseg_bundle.measures.opening import is_folder_of_slides
    from coseg_bundle.measures.remembered import CHANGED, OTHER_IMAGE, OTHER_REGIONS
    from coseg_bundle.measures.source import place_of
    from coseg_bundle.measures.report.cohort_page import write_cohort_page
    from coseg_bundle.writers.summary import listed_doubts
    from coseg_bundle.wsi.results.cohort import COHORT

    once: dict[Path, Path] = {}
    for path in arguments.results:
        once.setdefault(place_of(path), path)  # however it is spelled
    paths = [path for path in once.values() if path.name != COHORT]  # of coseg slide, in results/*
    if not paths:
        raise ValueError("Expected folders of results, got none; give those that coseg slide or coseg predict wrote.")
    check_slide(arguments.slide, [] if arguments.slide and is_folder_of_slides(arguments.slide) else paths)
    grids = [by for by in arguments.by if isinstance(by, float)]
    if len(grids) > 1:
        raise ValueError("Expected one grid; give --by grid:SIDEum once.")
    wanted = Wanted(
        by_region="region" in arguments.by,
        grid_um=grids[0] if grids else None,
        regions=arguments.regions,
        stains=not arguments.no_stains,
        csv=arguments.csv,
        roles={role: [name for of, name in arguments.role if of == role and name] for role, _ in arguments.role},
    )
    given = Given(arguments.slide, arguments.mpp, arguments.origin)
    folders = measure_folders(paths, arguments.output)
    outcomes, complete = [], True
    said_once: set[str] = set()  # the slides of a cohort have the same classes
    for outcome in measure_all(paths, folders, wanted, given):
        outcomes.append(outcome)
        if outcome.measured is None:
            print(f"coseg: {outcome.error}", file=sys.stderr, flush=True)
        else:
            print(f"{outcome.path}: {outcome.measured.record['nuclei']} nuclei -> {outcome.folder}", flush=True)
            measured = outcome.measured
            doubts, unused = listed_doubts(measured.record["results"]), unused_mpp(arguments.mpp, measured.record["mpp"])
            for sentence in (*measured.notes, *measured.refused, *doubts, *unused):
                is_named = sentence.startswith((f"{outcome.path}:", f"{outcome.path} "))
                named = sentence if is_named else f"{outcome.path}: {sentence}"
                print(f"coseg: {named}", file=sys.stderr)
            if (roles := said_of_roles(measured.record)) and roles not in said_once:
                print(f"coseg: {roles}", file=sys.stderr)
                said_once.add(roles)
        complete &= outcome.measured is not None and not outcome.measured.refused
    if arguments.output:
        rows = write_cohort(arguments.output, outcomes)
        write_cohort_page(arguments.output)
        before = len(rows) - len(outcomes)
        for error in filter(None, (row["error"] for row in rows[:before])):
            print(f"coseg: {error}", file=sys.stderr)
            complete = False
        for row in rows[:before]:
            for change in (CHANGED, OTHER_REGIONS, OTHER_IMAGE):
                if change in row["doubts"]:
                    print(f"coseg: {row['results']}: {change}", file=sys.stderr)
        many = f"{len(outcomes)} slide{'s' if len(outcomes) > 1 else ''}"
        many += f" and {before} from before" if before else ""
        print(f"{many} -> {arguments.output / 'slides.csv'}, {arguments.output / 'report.html'}")
    return 0 if complete else 1


def _role(text: str) -> tuple[str, str]:
    """What a class is, and its name; without a name none is."""
    role, equals, name = text.partition("=")
    if role not in ("tumor", "stroma", "inflammatory") or not equals:
        raise argparse.ArgumentTypeError(f"expected tumor=CLASS, stroma=CLASS or inflammatory=CLASS, got {text!r}")
    return role, name


def _by(text: str) -> str | float:
    """`tissue`, `region`, or the side of a grid's cells in microns."""
    if text in ("tissue", "region"):
        return text
    match = re.fullmatch(r"grid:(\d+(?:\.\d+)?)(?:um)?", text)
    if match and float(match[1]) >= 1:
        return float(match[1])
    raise argparse.ArgumentTypeError(f"expected tissue, region or grid:SIDEum (such as grid:250um), got {text!r}")

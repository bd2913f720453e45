"""The page of a slide: what was found, where, how sure, what was left out, and how it was made."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.labels.regions import read_regions
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.measures.files import NUCLEI, RECORD, REPORT, class_ids, each_row, read_rows
from coseg_bundle.measures.groups.columns import area_columns, count_columns
from coseg_bundle.measures.groups.roles import said_of_roles
from coseg_bundle.measures.report.figures import BLUR_UM, histograms, maps_figure, tissue_picture
from coseg_bundle.measures.report.page import bullets, number, numbers, paragraph, picture, section, table, write_page
from coseg_bundle.measures.source import Source
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.nuclei_table import MEASURES
from coseg_bundle.writers.summary import listed_doubts
from coseg_bundle.wsi.segment.foreground import KINDS, TISSUE

_SHOWN = (
    "area_um2",
    "circularity",
    "eccentricity",
    "solidity",
    "haematoxylin_od",
    "eosin_od",
    "ring_haematoxylin_od",
    "nearest_um",
    "neighbours_50um",
    "local_density_per_mm2",
    "tissue_border_um",
    "nuclei_prob",
)
"""Histograms of the page."""

_MOST_ROWS = 30
"""Longer tables are cut; the files have all rows."""

_SIDE = 1200


def write_slide_page(folder: Path, source: Source) -> Path:
    """Writes `report.html` beside the measures of a slide.

    Args:
        folder: The measures.
        source: What they are of, for the pictures.
    """
    import pyarrow.parquet as pq

    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    slide = read_rows(folder / "slide.csv")[0]
    there = set(pq.read_schema(folder / NUCLEI).names)
    rows = pq.read_table(
        folder / NUCLEI,
        columns=["x", "y", "type", *(name for name in _SHOWN if name in there)],
        read_dictionary=["type"],
    )
    points = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1)
    type_id = class_ids(rows["type"], source.nuclei_classes)
    measures = {
        name: (_title(name), rows[name].to_numpy().astype(np.float32)) for name in _SHOWN if name in rows.column_names
    }
    spread = _HISTOGRAMS + (_BY_CLASS if len(source.nuclei_classes) > 2 else "")
    parts = [
        numbers(_cards(slide, source)),
        paragraph(roles[0].upper() + roles[1:] + ".") if (roles := said_of_roles(record)) else "",
        section("In doubt", bullets(doubts_about(source.path, listed_doubts(record["results"])))),
        section("Where", _maps(source, points, record)),
        section(
            "Tissue",
            _groups(folder / "tissue.csv", source),
            paragraph(_SHARES) if (folder / "tissue.csv").is_file() else "",
        ),
        section("Nuclei by class", _by_class(slide, source)),
        section("Regions", _groups(folder / "regions.csv", source)),
        section("How sure", _sure(slide, source)),
        section("Nuclei", picture(histograms(measures, type_id, source.nuclei_classes), spread), _measures(slide)),
        section("Left out", _left_out(record)),
        section("How it was made", _made(record)),
    ]
    lead = str(record["image"] or record["source"])
    write_page(folder / REPORT, source.name, lead, parts)
    return folder / REPORT


_SHARES = (
    "Areas are of tissue: glass, pen and what was not scanned or could not be read are left out. Shares are of all "
    "tissue. Density is the number of nuclei that were found, per square millimetre."
)
_HISTOGRAMS = "How measures spread over all nuclei; the outermost two in a thousand on each side are cut off."
_BY_CLASS = " Each line is of the nuclei of one class, few or many: its area is the same."


def _cards(slide: Mapping[str, str], source: Source) -> list[tuple[str, str]]:
    cards = [
        (number(slide["nuclei"]), "nuclei found"),
        (number(slide["area_mm2"]), "mm² of tissue"),
        (number(slide["nuclei_per_mm2"]), "nuclei per mm²"),
        (number(slide.get("area_um2_q50", "")), "µm², median area of a nucleus"),
    ]
    more = {
        "tumor_stroma_ratio": "tumor : stroma, by area",
        "infiltration_per_mm2": "inflammatory nuclei per mm² of stroma",
        "infiltration_50um_per_mm2": "of them within 50 µm of tumor, per mm² there",
    }
    return cards + [(number(slide[name]), what) for name, what in more.items() if slide.get(name)]


def _maps(source: Source, points: NDArray[np.float64], record: Mapping[str, Any]) -> str:
    thumbnail = None
    if source.image is not None:
        with source.reader() as reader:
            thumbnail = reader.thumbnail(_SIDE)
    tissue = None if source.plane is None else tissue_picture(source.plane)
    size = source.size_xy or tuple(points.max(axis=0, initial=1.0).tolist())
    outlines, said_of_them = _outlines(source, record)
    figure = maps_figure(
        thumbnail,
        tissue,
        source.tissue_classes,
        points * source.mpp,
        (size[0] * source.mpp, size[1] * source.mpp),
        outlines,
    )
    return picture(figure, f"Density is blurred over {BLUR_UM:.0f} µm." + said_of_them)


def _outlines(source: Source, record: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], str]:
    """The regions that were measured, in um, where they are still there; and what is said of them."""
    import shapely

    given = record["settings"]["regions"]
    file = Path(given) if given else source.regions
    if file is None:
        return [], ""
    if not file.is_file() or (given and fingerprint(file) != record["regions_content"]):
        return [], f" Regions are not outlined: {file} is no longer what was measured."
    found = read_regions(file, source.size_xy, source.origin_xy, source.scanned_xy).regions
    outlines = [(region.name, shapely.transform(region.polygon, lambda xy: xy * source.mpp)) for region in found]
    return outlines, " Outlines are regions of interest."


def _groups(path: Path, source: Source) -> str:
    """A row for each group: area, share, nuclei, interval, density, nuclei by class."""
    if not path.is_file():
        return ""
    count = sum(1 for _ in each_row(path))
    if count > _MOST_ROWS:  # the largest ones
        rows = heapq.nlargest(_MOST_ROWS, each_row(path), key=lambda row: float(row["area_mm2"] or 0))
    else:
        rows = read_rows(path)
    names = source.nuclei_classes.names[1:] if len(source.nuclei_classes) > 2 else ()
    classes = dict(zip(count_columns(names), names, strict=True))
    tissue = dict(zip(area_columns(source.tissue_classes.names), source.tissue_classes.names, strict=True))
    tissue = {column: name for column, name in tissue.items() if rows and {"class", column} <= rows[0].keys()}
    head = ["", *(["class"] if rows and "class" in rows[0] else []), "mm²", "share"]
    text = range(2 if rows and "class" in rows[0] else 1)
    head += ["nuclei", "expected (95 %)", "per mm²", *classes.values()]
    head += [f"{name} mm²" for name in tissue.values()]
    lines = []
    for row in rows:
        share = f"{100 * float(row['share']):.1f} %" if row["share"] else "–"
        line = [
            row["name"],
            *([row["class"]] if "class" in row else []),
            number(row["area_mm2"]),
            share,
        ]
        line += [number(row["nuclei"]), _interval(row, "nuclei"), number(row["nuclei_per_mm2"])]
        lines.append(line + [number(row[name]) for name in (*classes, *tissue)])
    cut = paragraph(f"The largest {_MOST_ROWS} of {count}; {path.name} has all.") if count > _MOST_ROWS else ""
    return table(head, lines, text) + cut


def _interval(row: Mapping[str, str], name: str) -> str:
    if not row.get(f"{name}_expected"):
        return "–"
    return f"{number(row[f'{name}_expected'])} ({number(row[f'{name}_low'])} to {number(row[f'{name}_high'])})"


def _by_class(slide: Mapping[str, str], source: Source) -> str:
    """Found and expected nuclei of each class, where there are several."""
    if len(source.nuclei_classes) <= 2:
        return ""
    rows = []
    names = source.nuclei_classes.names[1:]
    for name, column in zip(names, count_columns(names), strict=True):
        rows.append([name, number(slide[column]), _interval(slide, column), number(slide[f"{column}_per_mm2"])])
    return table(["class", "found", "expected (95 %)", "per mm²"], rows)


def _sure(slide: Mapping[str, str], source: Source) -> str:
    if not slide.get("nuclei_expected"):
        return paragraph("The file says nothing of probabilities, so there are no intervals.")
    return paragraph(
        f"{number(slide['nuclei'])} nuclei were found. If each is one with the probability that the network gives it, "
        f"{_interval(slide, 'nuclei')} of them are (95 % interval, Poisson-binomial). Nuclei that were missed are not "
        "in it, nor whether the network is right about its probabilities on this stain and scanner. No nucleus is "
        "certain, so fewer are expected than were found."
    )


def _measures(slide: Mapping[str, str]) -> str:
    """Mean and quantiles of every measure."""
    columns = [name.removesuffix("_mean") for name in slide if name.endswith("_mean") and slide[name]]
    rows = [[_title(c), *(number(slide[f"{c}_{part}"]) for part in ("mean", "q10", "q50", "q90"))] for c in columns]
    return table(["measure", "mean", "10 %", "median", "90 %"], rows)


def _title(column: str) -> str:
    if column in MEASURES:
        label = MEASURES[column].label
    else:
        label = column.replace("nearest_", "Nearest ").replace("_um", " um").replace("_", " ")
    for unit, sign in (
        (" um2", ", µm²"),
        (" per mm2", ", 1/mm²"),
        (" um", ", µm" if " within " not in label else " µm"),
    ):
        if label.endswith(unit):
            return label.removesuffix(unit) + sign
    return label


def _left_out(record: Mapping[str, Any]) -> str:
    results = record["results"]
    shares = results.get("thumbnail", {})
    said = [
        f"{name}: {100 * shares[name]:.1f} % of the slide"
        for name in KINDS
        if shares.get(name) and name != KINDS[TISSUE]
    ]
    said += [sentence[0].upper() + sentence[1:] for sentence in (*record["left_out"], *record["refused"])]
    return bullets(said or ["Nothing."])


def _made(record: Mapping[str, Any]) -> str:
    results, settings = record["results"], record["settings"]
    size = record["size_px"]
    rows: list[Sequence[str]] = [
        ("results", record["source"]),
        ("microns per pixel", str(record["mpp"])),
        ("size", f"{size[0]:,} x {size[1]:,} px" if size else "not known"),
    ]
    if "weights" in results:
        rows.append(("weights", f"{results['weights']}, SHA-256 {results.get('weights_sha256')}"))
    if "precision" in results:
        precision = results["precision"] or {}
        rows.append(("precision", str(precision.get("name"))))
    rows += [(name.replace("_", " "), str(value)) for name, value in settings.items() if value not in (None, False)]
    rows += [(f"taken for {role}", ", ".join(names)) for role, names in record["taken_for"].items() if names]
    made = {**results.get("versions", {}), **record["versions"]}
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in made.items())))
    return table(["", ""], rows, text=(0, 1))

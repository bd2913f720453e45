"""The page of a cohort: every slide in a row, what failed, and how slides differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coseg_bundle.measures.files import RECORD, REPORT, read_rows
from coseg_bundle.measures.groups.columns import COUNTED
from coseg_bundle.measures.groups.roles import said_of_roles
from coseg_bundle.measures.report.figures import tissue_colours
from coseg_bundle.measures.report.page import bullets, number, numbers, paragraph, picture, section, table, write_page
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.summary import read_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ROWS = 400
_COMPARED = {
    "nuclei_per_mm2": "Nuclei per mm²",
    "area_um2_q50": "Nuclear area, median, µm²",
    "haematoxylin_od_q50": "Haematoxylin OD, median",
    "circularity_q50": "Circularity, median",
}


def write_cohort_page(folder: Path) -> Path:
    """Writes `report.html` from `slides.csv`.

    Args:
        folder: The cohort.
    """
    rows = read_rows(folder / "slides.csv")
    good = [row for row in rows if not row["error"]]
    failed = [row for row in rows if row["error"]]
    total = [float(row["nuclei"]) for row in good]
    area = [float(row["area_mm2"]) for row in good if row.get("area_mm2")]
    cards = [
        (number(str(len(good))), "slide measured" if len(good) == 1 else "slides measured"),
        (number(str(sum(total))), "nuclei found"),
    ]
    cards += [(number(str(sum(area))), "mm² of tissue")] if area else []
    cards += [(str(len(failed)), "failed")] if failed else []
    parts = [
        numbers(cards),
        section("Failed", bullets(row["error"] for row in failed)),
        section(
            "In doubt", bullets(f"{row['name']}: {said}" for row in good if (said := "; ".join(doubts_in_row(row))))
        ),
        section("Slides", _table(good), *map(paragraph, _roles(folder, good))),
        section("How slides differ", picture(_figure(good), "Each dot is a slide, the line is the median.")),
        section("Tissue", picture(_tissue(good), "Share of the tissue of each slide.")),
    ]
    write_page(folder / REPORT, folder.resolve().name, "1 slide" if len(rows) == 1 else f"{len(rows)} slides", parts)
    return folder / REPORT


def _roles(folder: Path, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What classes were taken for, in sentences: one where it was the same in all slides."""
    files = (folder / row["name"] / RECORD for row in rows)
    records = (read_record(file) for file in files if file.is_file())
    said = dict.fromkeys(filter(None, map(said_of_roles, records)))
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in said]


def doubts_in_row(row: Mapping[str, str]) -> list[str]:
    """Doubts of a slide of `slides.csv`: those of when it was measured, and corrections that were saved since."""
    return doubts_about(Path(row["results"]), filter(None, row.get("doubts", "").split("; ")))


def _table(rows: Sequence[dict[str, str]]) -> str:
    names = [name for name in (rows[0] if rows else {}) if name.startswith("nuclei_")]
    classes = [name for name in names if all(name + end in rows[0] for end in COUNTED)]
    more = [n for n in ("tumor_stroma_ratio", "infiltration_per_mm2") if any(row.get(n) for row in rows)]
    head = ["slide", "mm²", "nuclei", "expected (95 %)", "per mm²"]
    head += [f"{name.removeprefix('nuclei_')} per mm²" for name in classes] + [name.replace("_", " ") for name in more]
    lines = []
    for row in rows[:_MOST_ROWS]:
        interval = "–"
        if row.get("nuclei_expected"):
            interval = "{} ({} to {})".format(*(number(row[f"nuclei_{part}"]) for part in ("expected", "low", "high")))
        line = [row["name"], number(row["area_mm2"]), number(row["nuclei"]), interval, number(row["nuclei_per_mm2"])]
        line += [number(row.get(f"{name}_per_mm2", "")) for name in classes]
        lines.append(line + [number(row.get(name, "")) for name in more])
    return table(head, lines)


def _values(rows: Sequence[dict[str, str]], column: str) -> Any:
    return np.array([float(row[column]) for row in rows if row.get(column)])


def _figure(rows: Sequence[dict[str, str]]) -> Figure | None:
    from matplotlib.figure import Figure

    shown = {title: values for name, title in _COMPARED.items() if len(values := _values(rows, name)) > 1}
    if not shown:
        return None
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    for ax, (title, values) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        ax.plot(np.random.default_rng(0).uniform(-0.15, 0.15, len(values)), values, "o", color="#4f7cac", alpha=0.7)
        ax.hlines(np.median(values), -0.25, 0.25, color="black")
        ax.set_title(title, fontsize=9)
        ax.set_xlim(-0.6, 0.6)
        ax.set_xticks([])
        ax.tick_params(labelsize=7)
        for side in ("top", "right", "bottom"):
            ax.spines[side].set_visible(False)
    return figure


def _tissue(rows: Sequence[dict[str, str]]) -> Figure | None:
    from matplotlib.figure import Figure

    from coseg_bundle.classes import ClassMap

    columns = [name for name in (rows[0] if rows else {}) if name.startswith("tissue_") and name.endswith("_mm2")]
    shown = [row for row in rows if any(row.get(name) for name in columns)][:40]  # networks differ in their classes
    if not columns or not shown:
        return None
    names = ClassMap([name.removeprefix("tissue_").removesuffix("_mm2") for name in columns])
    values = np.array([[float(row[name] or 0) for name in columns] for row in shown])
    values = values / np.maximum(values.sum(1, keepdims=True), 1e-12)
    figure = Figure(figsize=(10, 0.9 + 0.28 * len(shown)), layout="constrained")
    ax = figure.add_subplot()
    left = np.zeros(len(shown))
    for i, (name, colour) in enumerate(zip(names.names, tissue_colours(names) / 255, strict=True)):
        ax.barh(range(len(shown)), values[:, i], left=left, color=colour, edgecolor="0.6", linewidth=0.5, label=name)
        left += values[:, i]
    ax.set_yticks(range(len(shown)), [row["name"][:40] for row in shown], fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.tick_params(axis="x", labelsize=7)
    figure.legend(loc="outside lower center", ncol=6, fontsize=8, frameon=False)
    return figure
